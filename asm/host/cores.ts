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

/** Bytes that can be had without swapping, as far as the system can tell. (macOS counts caches as used: no telling.) */
export function availableMemory(): number {
  return Math.min(physicalMemory(), platform() === 'darwin' ? Number.POSITIVE_INFINITY : freemem());
}
