// What this machine offers to hybrid, and what hybrid makes of it: for people who wonder, and for bug reports.

import type { AdapterReport } from '../gpu/host/adapter-report.ts';
import { abortError } from '../runtime/base/errors.ts';
import { describeMachine, type Machine } from '../runtime/base/machine.ts';
import { type SelfTestResult, selfTest } from '../runtime/compile/self-test.ts';
import type { Precision } from '../runtime/device.ts';
import { openDevice } from '../runtime/devices.ts';

/** What this machine offers, and whether its devices compute right. */
export interface MachineReport extends Machine {
  readonly wasm: { readonly description: string; readonly selfTest: SelfTestResult };
  readonly webgpu: {
    /** With all that it offers where f16 is asked for. Null: none. */
    readonly adapter: AdapterReport | null;
    readonly selfTest: SelfTestResult | null;
    /** Self-tests of the other tiers that it offers; none of software adapters, which take long. Null: it could not run. */
    readonly tiers: Readonly<Partial<Record<Precision, SelfTestResult | null>>>;
  };
  /** What `--device auto` opens, and why. */
  readonly auto: { readonly device: 'wasm' | 'webgpu'; readonly reason: string };
}

/**
 * Looks at the machine and runs the self-test of both devices; a few seconds. Threads and flags as of `openDevice`; `signal` is looked at
 * between the tests. Rejects with an AbortError.
 */
export async function examineMachine({
  signal,
  ...options
}: {
  readonly threads?: number;
  readonly v8Flags?: boolean;
  readonly signal?: AbortSignal;
} = {}): Promise<MachineReport> {
  const check = (): void => {
    if (signal?.aborted) throw abortError(signal);
  };
  const wasm = await openDevice('wasm', options);
  const wasmReport = { description: wasm.description, selfTest: await selfTest(wasm).finally(() => wasm.close()) };
  check();
  const { describeGpu, openTrustedGpu } = await import('../gpu/host/auto.ts');
  const { device, reason, adapter: opened, selfTest: gpuTest = null } = await openTrustedGpu({ testSoftware: true });
  await device?.close();
  check();
  const adapter = opened ? ((await describeGpu()) ?? opened) : null;
  const tiers: Partial<Record<Precision, SelfTestResult | null>> = {};
  for (const precision of adapter?.software ? [] : (adapter?.precisions.filter((tier) => tier !== 'f32') ?? [])) {
    const tested = await openTrustedGpu({ precision });
    tiers[precision] = tested.selfTest ?? null;
    await tested.device?.close();
    check();
  }
  return {
    ...describeMachine(),
    wasm: wasmReport,
    webgpu: { adapter, selfTest: gpuTest, tiers },
    auto: { device: device ? 'webgpu' : 'wasm', reason },
  };
}
