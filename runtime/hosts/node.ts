// Node as the host.

import { readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { availableParallelism, constants, freemem, platform, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { Host, ThreadBody } from '../host.ts';

/** Threads and assets always come from dist, where this module runs, too, unless under the tests. */
const ASSETS = new URL(import.meta.url.endsWith('.ts') ? '../../dist/asm/' : '../../asm/', import.meta.url);

const THREADS: Readonly<Record<ThreadBody, string>> = { gang: 'host/thread.worker.js', data: '../runtime/data/data.worker.js' };

export const nodeHost: Host = {
  /** By affinity and by the quota of the control group. Node asks for affinity; the quota it learns only in later versions, and never for less than one core. */
  cores: () => Math.max(1, Math.min(availableParallelism(), Math.floor(quota()))),
  memory: {
    physical: physicalMemory,
    // macOS counts caches as used: no telling.
    state: () => ({
      used: Math.max(process.memoryUsage.rss(), groupMemory()),
      free: platform() === 'darwin' ? Number.POSITIVE_INFINITY : freemem(),
    }),
  },
  platform: platform(),
  unshared: null,
  warn: (text, tell) => tell?.(text),
  turn: () => new Promise((resolve) => setImmediate(resolve)),
  asset: (path) => readFile(new URL(path, ASSETS)),
  assets: async (folder) => (await readdir(new URL(`${folder}/`, ASSETS))).sort(),
  assetPath: (path) => fileURLToPath(new URL(path, ASSETS)),
  // No flags of the host process: a loader for TypeScript, say, has no business in a thread.
  thread: (script, { name, onMessage, onError, onExit }) =>
    new Worker(script instanceof URL ? script : new URL(THREADS[script], ASSETS), { name, execArgv: [] })
      .on('message', onMessage)
      .on('error', onError)
      .on('exit', onExit),
  gpu: {
    load: async () => (await import('webgpu')).create,
    isMissing: (error) => (error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND',
    missing: () =>
      platform() !== 'linux' || hasVulkan()
        ? null
        : {
            message: 'there is no Vulkan here (libvulkan.so.1)',
            remedy: "Install a Vulkan driver (of the GPU's vendor, or Mesa's) and the package libvulkan1, or use `device: wasm`.",
          },
    get remedy() {
      const driver = platform() === 'linux' ? 'a Vulkan driver (`vulkaninfo` lists them)' : 'a graphics driver';
      return `Install ${driver} and look at \`hybrid doctor\`, or use \`device: wasm\`.`;
    },
  },
};

/** CPU quota of the control group in cores, Infinity where there is none. */
function quota(): number {
  const number = (file: string): number => Number.parseInt(readFileSync(file, 'utf8'), 10);
  const attempts = [
    () => {
      // Version 2: "max 100000" or "200000 100000", microseconds of each period.
      const [time, period] = readFileSync('/sys/fs/cgroup/cpu.max', 'utf8').split(' ').map(Number);
      return time / period;
    },
    () => number('/sys/fs/cgroup/cpu/cpu.cfs_quota_us') / number('/sys/fs/cgroup/cpu/cpu.cfs_period_us'),
  ];
  for (const attempt of attempts) {
    try {
      const cores = attempt();
      if (cores > 0) return cores; // "max" gives NaN, version 1 says -1
    } catch {
      // No such file: not Linux, or the other version.
    }
  }
  return Number.POSITIVE_INFINITY;
}

function physicalMemory(): number {
  const constrained = process.constrainedMemory?.() ?? 0;
  return constrained > 0 ? Math.min(totalmem(), constrained) : totalmem();
}

/** Bytes that all processes of the control group use, without caches of files that could be given back; 0 where nobody tells. */
function groupMemory(): number {
  if (physicalMemory() === totalmem()) return 0; // no limit of a group
  const attempts = [
    ['/sys/fs/cgroup/memory.current', '/sys/fs/cgroup/memory.stat', /^inactive_file (\d+)$/m],
    ['/sys/fs/cgroup/memory/memory.usage_in_bytes', '/sys/fs/cgroup/memory/memory.stat', /^total_inactive_file (\d+)$/m],
  ] as const;
  for (const [current, stat, caches] of attempts) {
    try {
      return Number(readFileSync(current, 'utf8')) - Number(caches.exec(readFileSync(stat, 'utf8'))?.[1] ?? 0);
    } catch {
      // No such file: not Linux, or the other version.
    }
  }
  return 0;
}

function hasVulkan(): boolean {
  try {
    process.dlopen({ exports: {} }, 'libvulkan.so.1', constants.dlopen.RTLD_LAZY);
    return true;
  } catch (error) {
    // A library that is found is no addon of Node's, which is an error as well.
    return !/cannot open shared object/.test((error as Error).message);
  }
}
