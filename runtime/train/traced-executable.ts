// An executable whose runs are noted in a timeline. A device has one run at a time, in the order of the calls, and several may be
// queued: a run begins when it was asked for or when the one before has ended, whichever is later.

import { clock, type Trace } from '../base/trace.ts';
import type { Batch, Executable } from '../device.ts';

export function tracedExecutable(executable: Executable, trace: Trace): Executable {
  let previousEnd = 0;
  const timed = async <T>(name: string, run: () => Promise<T>, batch?: Batch): Promise<T> => {
    const asked = clock();
    try {
      return await run();
    } finally {
      const end = clock();
      trace.span('device', name, Math.max(asked, previousEnd), end, batch && { rows: batch.rows });
      previousEnd = end;
    }
  };
  return {
    capacity: executable.capacity,
    state: executable.state,
    memoryBytes: executable.memoryBytes,
    stepsAhead: executable.stepsAhead,
    gradient: (batch, options) => timed('gradient', () => executable.gradient(batch, options), batch),
    update: (hyper) => timed('update', () => executable.update(hyper)),
    calibrate: (batch, momentum, options) => timed('calibrate', () => executable.calibrate(batch, momentum, options), batch),
    evaluate: (batch, options) => timed('evaluate', () => executable.evaluate(batch, options), batch),
    predict: (batch, options) => timed('predict', () => executable.predict(batch, options), batch),
    read: (name) => executable.read(name),
    write: (name, data) => executable.write(name, data),
    close: () => executable.close(),
    [Symbol.asyncDispose]: () => executable.close(),
  };
}
