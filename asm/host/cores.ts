// What a gang takes of the cores and the memory that this process may have.

import { host } from '../../runtime/hosts/index.ts';

/**
 * Threads of a gang by default. From four cores on one is left to the main thread, the data workers and everything else, so that no
 * barrier waits for a thread that has lost its core to them; with fewer, a core would be too high a price for the little they take.
 */
export function gangThreads(cores = host.cores()): number {
  return cores < 4 ? cores : cores - 1;
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
export function availableMemory(
  threads: number,
  { limit, used, free }: MemoryState = { limit: host.memory.physical(), ...host.memory.state() },
): number {
  return Math.max(0, Math.min(limit - used, free) - NODE_BYTES - threads * THREAD_BYTES);
}
