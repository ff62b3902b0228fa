// What this machine and this process are: for `hybrid doctor`, for the run folder and for bug reports. Holds no environment variables
// and no command line, which may contain what is nobody else's business.

import { createRequire } from 'node:module';
import os from 'node:os';

/** Sizes in bytes. */
export interface Machine {
  readonly hybrid: string;
  readonly node: string;
  readonly v8: string;
  readonly nodeFlags: readonly string[];
  readonly system: string;
  readonly cpu: string;
  readonly cores: number;
  /** Those that this process may use. */
  readonly usableCores: number;
  readonly memory: number;
  /** What a container allows; 0: no limit. */
  readonly memoryLimit: number;
  /** Version of the package `webgpu`; null: not installed. */
  readonly webgpuPackage: string | null;
}

export function describeMachine(): Machine {
  const memory = os.totalmem();
  const limit = process.constrainedMemory();
  return {
    hybrid: versionOf('@hybrid-train/hybrid') ?? '',
    node: process.version,
    v8: process.versions.v8,
    nodeFlags: process.execArgv,
    system: `${os.type()} ${os.release()} ${process.arch}`,
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.cpus().length,
    usableCores: os.availableParallelism(),
    memory,
    memoryLimit: limit > memory ? 0 : limit,
    webgpuPackage: versionOf('webgpu'),
  };
}

function versionOf(name: string): string | null {
  try {
    return createRequire(import.meta.url)(`${name}/package.json`).version;
  } catch {
    return null;
  }
}
