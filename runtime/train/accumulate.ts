// Gradient accumulation: a batch that is computed in parts, one after the other, with one update for all of them. The memory is that of a part.

import { abortError } from '../base/errors.ts';
import {
  type Batch,
  type BatchMetrics,
  type Executable,
  GRADIENTS,
  type Hyperparameters,
  type RunOptions,
  type Update,
} from '../device.ts';
import { ForwardingExecutable } from '../forwarding.ts';

/** Rows of the largest of `parts` parts of a batch. */
export const rowsOfPart = (batch: number, parts: number): number => Math.ceil(batch / parts);

/** Takes batches of any size: gradients, loss and hits are those of all rows, batch normalisation that of each part's. */
export class AccumulatingExecutable extends ForwardingExecutable {
  protected readonly target: Executable;
  readonly #imageBytes: number;
  /** Calls are carried out one after the other: a gradient is several of the target's. */
  #turn: Promise<unknown> = Promise.resolve();
  /** Why the last gradient is none. */
  #failed: { readonly error: unknown } | undefined;

  /** @param imageBytes Of an image. */
  constructor(target: Executable, imageBytes: number) {
    super();
    this.target = target;
    this.#imageBytes = imageBytes;
  }

  /** Each gradient is waited for. */
  override get stepsAhead(): undefined {
    return undefined;
  }

  /** There is no time of a call to take: a step has each several times. */
  override get profile(): undefined {
    return undefined;
  }

  override gradient(batch: Batch, { signal }: RunOptions = {}): Promise<BatchMetrics> {
    const whole = this.#rows(batch, 0, batch.rows, true);
    return this.#inTurn(async () => {
      try {
        this.#failed = undefined;
        return await this.#gradientOf(whole, signal);
      } catch (error) {
        this.#failed = { error };
        throw error;
      }
    });
  }

  async #gradientOf(batch: Batch, signal?: AbortSignal): Promise<BatchMetrics> {
    const { rows } = batch;
    const parts = Math.ceil(rows / this.target.capacity);
    let [loss, correct] = [0, 0];
    let sum: Float64Array | undefined;
    for (let part = 0; part < parts; part++) {
      if (signal?.aborted) throw abortError(signal);
      // As equal as they can be: a small part would have statistics of a few rows.
      const [begin, end] = [part, part + 1].map((k) => Math.floor((k * rows) / parts));
      const metrics = await this.target.gradient(this.#rows(batch, begin, end), { signal });
      const share = (end - begin) / rows;
      loss += metrics.loss * share;
      correct += metrics.correct;
      if (parts === 1) return metrics;
      const gradients = await this.target.read(GRADIENTS);
      sum ??= new Float64Array(gradients.length);
      for (let i = 0; i < gradients.length; i++) sum[i] += gradients[i] * share;
    }
    // The device's own check sees the loss of the last part alone.
    if (sum && !Number.isFinite(loss)) sum[0] = Number.NaN;
    if (sum) await this.target.write(GRADIENTS, sum);
    return { loss, correct };
  }

  override update(hyper: Hyperparameters): Promise<Update> {
    return this.#inTurn(() => {
      if (this.#failed) throw this.#failed.error; // there may be an older one on the device
      return this.target.update(hyper);
    });
  }

  override calibrate(batch: Batch, bnMomentum: number, options?: RunOptions): Promise<void> {
    const whole = this.#rows(batch, 0, batch.rows, true);
    return this.#inTurn(async () => {
      const parts = Math.ceil(whole.rows / this.target.capacity);
      for (let part = 0; part < parts; part++) {
        const [begin, end] = [part, part + 1].map((k) => Math.floor((k * whole.rows) / parts));
        // So that all parts weigh the same in the end, and what was there before as much as was asked for.
        const left = (k: number) => 1 - ((parts - k) * (1 - bnMomentum)) / parts;
        const momentum = left(part + 1) === 0 ? 0 : left(part) / left(part + 1);
        await this.target.calibrate(this.#rows(whole, begin, end), momentum, options);
      }
    });
  }

  override evaluate(batch: Batch, options?: RunOptions): ReturnType<Executable['evaluate']> {
    const copy = this.#rows(batch, 0, batch.rows, true);
    return this.#inTurn(() => this.target.evaluate(copy, options));
  }

  override predict(batch: Batch, options?: RunOptions): Promise<Float32Array> {
    const copy = this.#rows(batch, 0, batch.rows, true);
    return this.#inTurn(() => this.target.predict(copy, options));
  }

  override read(name: string): Promise<Float32Array> {
    return this.#inTurn(() => this.target.read(name));
  }

  override write(name: string, data: ArrayLike<number>): Promise<void> {
    const copy = Float64Array.from(data);
    return this.#inTurn(() => this.target.write(name, copy));
  }

  async #inTurn<T>(call: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(call);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** Some rows of a batch; `copied`, because the caller may use its arrays again before the turn comes. */
  #rows({ images, picks, labels, samples, epoch }: Batch, begin: number, end: number, copied = false): Batch {
    const of = <T extends Uint8Array | Int32Array>(all: T, each = 1): T =>
      (copied ? all.slice(begin * each, end * each) : all.subarray(begin * each, end * each)) as T;
    const bytes = images.length === 0 ? images : of(images, this.#imageBytes);
    return {
      rows: end - begin,
      images: bytes,
      picks: picks && of(picks),
      labels: labels && of(labels),
      samples: samples && of(samples),
      epoch,
    };
  }
}
