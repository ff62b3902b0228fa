// An executable whose runs are noted in a timeline. A device has one run at a time, in the order of the calls, and several may be
// queued: a run begins when it was asked for or when the one before has ended, whichever is later.

import { clock, type Trace } from '../base/trace.ts';
import type { Batch, BatchMetrics, Executable, Hyperparameters, RunOptions, Update } from '../device.ts';
import { ForwardingExecutable } from '../forwarding.ts';

export class TracedExecutable extends ForwardingExecutable {
  protected readonly target: Executable;
  readonly #trace: Trace;
  #previousEnd = 0;

  constructor(target: Executable, trace: Trace) {
    super();
    this.target = target;
    this.#trace = trace;
  }

  override gradient(batch: Batch, options?: RunOptions): Promise<BatchMetrics> {
    return this.#timed('gradient', () => super.gradient(batch, options), batch);
  }

  override update(hyper: Hyperparameters): Promise<Update> {
    return this.#timed('update', () => super.update(hyper));
  }

  override calibrate(batch: Batch, bnMomentum: number, options?: RunOptions): Promise<void> {
    return this.#timed('calibrate', () => super.calibrate(batch, bnMomentum, options), batch);
  }

  override evaluate(batch: Batch, options?: RunOptions): ReturnType<Executable['evaluate']> {
    return this.#timed('evaluate', () => super.evaluate(batch, options), batch);
  }

  override predict(batch: Batch, options?: RunOptions): Promise<Float32Array> {
    return this.#timed('predict', () => super.predict(batch, options), batch);
  }

  async #timed<T>(name: string, run: () => Promise<T>, batch?: Batch): Promise<T> {
    const asked = clock();
    try {
      return await run();
    } finally {
      const end = clock();
      this.#trace.span('device', name, Math.max(asked, this.#previousEnd), end, batch && { rows: batch.rows });
      this.#previousEnd = end;
    }
  }
}
