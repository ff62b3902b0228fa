// What threads note of a run: when each was through with its part of a call. A profile and a timeline are made of it.

import type { Trace } from '../../runtime/base/trace.ts';
import type { Program } from './gang.ts';

/** Element i + 1 is of call i, 0 the start. */
export interface Times {
  /** When each thread was through. */
  readonly threads: readonly Float64Array[];
  /** When all were. */
  readonly done: Float64Array;
}

/** Reads the tables of `threads` threads, one after the other from `address` on. */
export function readTimes(buffer: SharedArrayBuffer, address: number, calls: number, threads: number): Times {
  const each = Array.from({ length: threads }, (_, thread) => new Float64Array(buffer, address + thread * 8 * (calls + 1), calls + 1));
  return { threads: each, done: Float64Array.from({ length: calls + 1 }, (_, i) => Math.max(...each.map((times) => times[i]))) };
}

/** Time of each call, from the end of the one before to its own. */
export const callTimes = ({ done }: Times): Float64Array => done.subarray(1).map((end, i) => end - done[i]);

/** Draws a run into a timeline, a lane for each thread. */
export function drawTimes(trace: Trace, program: Program, { threads, done }: Times): void {
  for (const [thread, own] of threads.entries())
    for (let call = 0; call < program.calls; call++) {
      // It began when the slowest was through with the call before. What is left white is waiting for others.
      trace.span(`compute thread ${thread + 1}`, program.describe(call), call === 0 ? own[0] : done[call], own[call + 1]);
    }
}
