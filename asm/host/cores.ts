// How many cores this process may use, and how much memory it may have.

import { readFileSync } from 'node:fs';
import { availableParallelism, freemem, platform, totalmem } from 'node:os';

/**
 * Cores by affinity and by the quota of the control group, whichever is less. Node asks for affinity; the quota it learns
 * only in later versions, and never for less than one core.
 */
export function usableCores(): number {
  return Math.max(1, Math.min(availableParallelism(), Math.floor(quota())));
}

/**
 * Threads of a gang by default. From four cores on one is left to the main thread, the data workers and everything else, so that no
 * barrier waits for a thread that has lost its core to them; with fewer, a core would be too high a price for the little they take.
 */
export function gangThreads(cores = usableCores()): number {
  return cores < 4 ? cores : cores - 1;
}

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

/** Bytes of memory that this machine, or the control group, can give to a process at all. */
export function physicalMemory(): number {
  const constrained = process.constrainedMemory?.() ?? 0;
  return constrained > 0 ? Math.min(totalmem(), constrained) : totalmem();
}

/** What Node takes beside the memory of a program once it runs: measured, 50 MiB and 5 more a thread; with a reserve. */
const NODE_BYTES = 80 * 2 ** 20;
const THREAD_BYTES = 6 * 2 ** 20;

/** Of this process and the machine, in bytes: what may be used at all, what is, and what is free. */
interface MemoryState {
  readonly limit: number;
  readonly used: number;
  readonly free: number;
}

/**
 * Bytes that a program of so many threads can have without swapping, and without being killed for what Node itself takes, as far as the system can
 * tell. (macOS counts caches as used: no telling.)
 */
export function availableMemory(threads: number, { limit, used, free }: MemoryState = memoryState()): number {
  return Math.max(0, Math.min(limit - used, free) - NODE_BYTES - threads * THREAD_BYTES);
}

const memoryState = (): MemoryState => ({
  limit: physicalMemory(),
  used: Math.max(process.memoryUsage.rss(), groupMemory()),
  free: platform() === 'darwin' ? Number.POSITIVE_INFINITY : freemem(),
});

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
