// What this machine offers to hybrid, and what hybrid makes of it: for people who wonder, and for bug reports.

import { createRequire } from 'node:module';
import { availableParallelism, cpus, totalmem } from 'node:os';
import type { AdapterReport } from '../gpu/host/adapter.ts';
import { type SelfTestResult, selfTest } from './compile/self-test.ts';
import { openDevice } from './devices.ts';

export interface MachineReport {
  readonly hybrid: string;
  readonly node: string;
  readonly v8: string;
  readonly system: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly wasm: { readonly description: string; readonly selfTest: SelfTestResult };
  readonly webgpu: {
    /** Version of the package `webgpu`; null: not installed. */
    readonly package: string | null;
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
    hybrid: versionOf('@hybrid-train/hybrid') ?? '',
    node: process.versions.node,
    v8: process.versions.v8,
    system: `${process.platform} ${process.arch}`,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    wasm: wasmReport,
    webgpu: { package: versionOf('webgpu'), adapter, selfTest: gpuTest },
    auto: { device: device ? 'webgpu' : 'wasm', reason },
  };
}

function versionOf(name: string): string | null {
  try {
    return createRequire(import.meta.url)(`${name}/package.json`).version;
  } catch {
    return null;
  }
}
