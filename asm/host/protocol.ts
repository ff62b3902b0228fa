// The words and messages by which the host and the threads of a gang talk. How they are used is told where a thread waits
// (thread.worker.ts) and where a run starts (gang.ts).

import { GANG_WORDS } from './abi.ts';

/** Index, in 32-bit words from the start of the memory, of the k-th gang word. Two cache lines apart: no false sharing. */
const word = (k: number): number => (GANG_WORDS + 128 * k) / 4;

/** Number of the current run. The host adds one to start a run; threads wait for it to change. */
export const RUN = word(0);
/** Threads that have arrived at the barrier. */
export const ARRIVED = word(1);
/** Number of barriers passed. Threads wait for it to change. */
export const PHASE = word(2);
/** Decision of the last thread to arrive at a barrier: 1, all leave the run; 0, all go on. */
export const STOP = word(3);
/** The host writes 1 to ask for a stop. */
export const ABORT = word(4);
/** Calls of this run that are complete. */
export const COMPLETE = word(5);
/** Address of the program of this run. */
export const PROGRAM = word(6);
/** Its calls. */
export const CALLS = word(7);
/** The calls before its update phase. Later ones change state: a run that has come to them is not stopped any more. */
export const COMMIT = word(8);
/**
 * Address of tables of f64, one for each thread and each one longer than the calls, where a thread notes when it began the run and
 * when it was through with its part of each call, in ms of the machine's clock; 0: they note nothing.
 */
export const TIMES = word(9);

/** The one message to a thread: what it works with. */
export interface ThreadData {
  readonly memory: WebAssembly.Memory;
  readonly modules: readonly WebAssembly.Module[];
  /** Names of the kernels; programs name them by index. */
  readonly kernels: readonly string[];
  /** Threads of the gang, and which this one is. */
  readonly threads: number;
  readonly thread: number;
  /** Address of the thread's private scratch area. */
  readonly scratch: number;
  /** How often a thread looks at the barrier before it goes to sleep. */
  readonly spins: number;
}

/** What a thread says. Only thread 0 says `done`. */
export type ThreadMessage = { readonly type: 'ready' } | { readonly type: 'done'; readonly stopped: boolean };
