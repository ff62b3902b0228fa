// A thread of a gang: is handed what it works with, waits for a run, walks its program, meets the others at a barrier after
// every call, waits again. It never returns to an event loop: the host ends it with terminate().

import { clock } from '../../runtime/base/trace.ts';
import { listen, tell as post } from '../../runtime/hosts/port.ts';
import { TASKS } from './abi.ts';
import { instantiate } from './instances.ts';
import {
  ABORT,
  ARRIVED,
  CALLS,
  COMMIT,
  COMPLETE,
  PHASE,
  PROGRAM,
  RUN,
  STOP,
  type ThreadData,
  type ThreadMessage,
  TIMES,
} from './protocol.ts';

const data = await new Promise(listen);
const { memory, threads, thread, spins } = data as ThreadData;
const words = new Int32Array(memory.buffer);
const doubles = new Float64Array(memory.buffer);
const tell = (message: ThreadMessage): void => post(message);
const kernels = instantiate(data as ThreadData);

/**
 * The barrier after a call. The last thread to arrive prepares the next call (task counter back to zero, stop or go on) and
 * then changes PHASE, which publishes all of that; the others wait for PHASE to change. True: leave the run.
 *
 * STOP is written only here, between the arrival of the last thread and the release: a thread that is slow to wake up still
 * reads the decision of its own barrier, because nobody can pass the next one without it.
 */
function meet(call: number, commit: number): boolean {
  const phase = Atomics.load(words, PHASE);
  if (Atomics.add(words, ARRIVED, 1) === threads - 1) {
    Atomics.store(words, ARRIVED, 0);
    Atomics.store(words, TASKS / 4, 0);
    Atomics.store(words, COMPLETE, call + 1);
    Atomics.store(words, STOP, call < commit ? Atomics.load(words, ABORT) : 0);
    Atomics.add(words, PHASE, 1);
    Atomics.notify(words, PHASE);
  } else {
    // Most waits are shorter than going to sleep and being woken: look for a while first.
    let looks = spins;
    while (looks > 0 && Atomics.load(words, PHASE) === phase) looks--;
    while (Atomics.load(words, PHASE) === phase) Atomics.wait(words, PHASE, phase);
  }
  return Atomics.load(words, STOP) !== 0;
}

/**
 * Walks the program of the current run: pairs of kernel index and address of arguments. True: stopped before its end.
 *
 * A trap in a kernel is not caught: it ends the thread, of which the host hears. The others wait at a barrier that will never
 * be complete, until the host ends them too.
 */
function walk(): boolean {
  const calls = Atomics.load(words, CALLS);
  const commit = Atomics.load(words, COMMIT);
  let at = Atomics.load(words, PROGRAM) >>> 2; // addresses above 2 GiB are negative as i32
  const tables = Atomics.load(words, TIMES) >>> 3;
  const times = tables && tables + thread * (calls + 1);
  if (times) doubles[times] = clock();
  for (let call = 0; call < calls; call++, at += 2) {
    kernels[words[at]](words[at + 1]);
    if (times) doubles[times + call + 1] = clock();
    if (meet(call, commit)) return true;
  }
  return false;
}

tell({ type: 'ready' });
for (let run = 0; ; ) {
  // The host writes the run's words, then changes RUN and notifies. The next run cannot start before this one has been
  // reported, so RUN is never more than one ahead.
  while (Atomics.load(words, RUN) === run) Atomics.wait(words, RUN, run);
  run = (run + 1) | 0;
  const stopped = walk();
  // Thread 0 has passed the last barrier, so all calls are complete. Others may still be on their way out of it: they
  // touch nothing any more but the words of the barrier and of RUN.
  if (thread === 0) tell({ type: 'done', stopped });
}
