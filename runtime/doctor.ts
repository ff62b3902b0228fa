// What this machine offers to hybrid, and what hybrid makes of it: for people who wonder, and for bug reports.

import type { AdapterReport } from '../gpu/host/adapter.ts';
import { describeMachine, type Machine } from './base/machine.ts';
import { type SelfTestResult, selfTest } from './compile/self-test.ts';
import { openDevice } from './devices.ts';

/** What this machine offers, and whether its devices compute right. */
export interface MachineReport extends Machine {
  readonly wasm: { readonly description: string; readonly selfTest: SelfTestResult };
  readonly webgpu: {
    /** Null: none. */
    readonly adapter: AdapterReport | null;
    readonly selfTest: SelfTestResult | null;
  };
  /** What `--device auto` opens, and why. */
  readonly auto: { readonly device: 'wasm' | 'webgpu'; readonly reason: string };
}

/** Looks at the machine and runs the self-test of both devices; a few seconds. Threads and flags as of `openDevice`. */
export async function examineMachine(options: { readonly threads?: number; readonly v8Flags?: boolean } = {}): Promise<MachineReport> {
  const wasm = await openDevice('wasm', options);
  const wasmReport = { description: wasm.description, selfTest: await selfTest(wasm).finally(() => wasm.close()) };
  const { openTrustedGpu } = await import('../gpu/host/auto.ts');
  const { device, reason, adapter = null, selfTest: gpuTest = null } = await openTrustedGpu({ testSoftware: true });
  await device?.close();
  return {
    ...describeMachine(),
    wasm: wasmReport,
    webgpu: { adapter, selfTest: gpuTest },
    auto: { device: device ? 'webgpu' : 'wasm', reason },
  };
}
