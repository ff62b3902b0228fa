// One epoch of a loader: batches in order, filled ahead as far as there are slots, and what ends it.

import { abortError, invariant } from '../base/errors.ts';
import type { Batch } from '../device.ts';

/** A batch with all that the loader knows of it. The arrays are exactly as long as `rows` needs. */
export interface LoadedBatch extends Required<Omit<Batch, 'picks' | 'features'>>, Pick<Batch, 'picks' | 'features'> {
  /** Position in its epoch, from 0. */
  readonly index: number;
  /** The float32 form of `images`, if the feed asks for it. */
  readonly floats: Float32Array | null;
}

/** Where an epoch begins, and what may end it. */
export interface EpochOptions {
  /** Batch to begin with. */
  readonly from?: number;
  readonly signal?: AbortSignal;
}

interface EpochParts {
  readonly epoch: number;
  readonly from: number;
  readonly count: number;
  readonly signal: AbortSignal | undefined;
  /** A free slot, now the caller's; undefined: there is none. */
  hold(): number | undefined;
  release(slot: number): void;
  prepare(index: number, slot: number): Promise<LoadedBatch>;
  /** Tells the tasks that fill a slot to stop. */
  callOff(slot: number): void;
}

/** A batch on its way. */
interface Fill {
  readonly slot: number;
  readonly batch: Promise<LoadedBatch>;
}

/** The batches of one epoch, in order. The arrays of a batch stay valid until the next one is asked for. */
export class Epoch implements AsyncIterableIterator<LoadedBatch> {
  readonly epoch: number;
  /** Batch it began with. */
  readonly from: number;
  readonly #parts: EpochParts;
  /** In the order of the epoch. */
  readonly #fills: Fill[] = [];
  /** Next batch to fill. */
  #next: number;
  /** Slot of the batch that the consumer has. */
  #inUse: number | undefined;
  #ended = false;
  /** Why the epoch ended, if not with its last batch or because its consumer left. */
  #error: unknown;
  /** Tells `next` that the epoch was ended from outside. */
  #interrupt: (error: unknown) => void = () => {};
  /** Tells `next` that there is something to wait for, or nothing any more. */
  #wake: () => void = () => {};
  readonly #abort = (): void => this.end(abortError(this.#parts.signal));

  constructor(parts: EpochParts) {
    invariant(Number.isInteger(parts.from) && parts.from >= 0, `an epoch from batch ${parts.from}`);
    this.epoch = parts.epoch;
    this.from = parts.from;
    this.#parts = parts;
    this.#next = parts.from;
    if (parts.signal?.aborted) this.#abort();
    else parts.signal?.addEventListener('abort', this.#abort);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Begins to fill what there are slots for. */
  fill(): void {
    const { count, hold, prepare } = this.#parts;
    while (!this.#ended && this.#next < count) {
      const slot = hold();
      if (slot === undefined) return;
      const batch = prepare(this.#next++, slot);
      batch.catch(() => {}); // told by next()
      this.#fills.push({ slot, batch });
      this.#wake();
    }
  }

  /** The next batch. Rejects with what reading threw, E_WORKER, or an AbortError. */
  async next(): Promise<IteratorResult<LoadedBatch, undefined>> {
    if (this.#error) throw this.#error;
    this.#giveBack();
    // One a call: a promise that outlives them would keep what each has raced it with.
    const interrupted = new Promise<never>((_, reject) => {
      this.#interrupt = reject;
    });
    interrupted.catch(() => {});
    try {
      // All slots may still be busy with an epoch that was called off.
      while (!this.#ended && this.#fills.length === 0 && this.#next < this.#parts.count) {
        const filling = new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        await Promise.race([filling, interrupted]);
      }
      const batch = this.#fills.length > 0 ? await Promise.race([this.#fills[0].batch, interrupted]) : undefined;
      // Ended by its consumer, in another turn, while this call waited; or at its end.
      if (this.#ended || !batch) {
        this.end();
        return { value: undefined, done: true };
      }
      this.#inUse = this.#fills.shift()?.slot;
      return { value: batch, done: false };
    } catch (error) {
      this.end(error);
      throw error;
    }
  }

  /** What `break` calls. The slots are free when the tasks that fill them have ended. */
  async return(): Promise<IteratorResult<LoadedBatch, undefined>> {
    this.end();
    return { value: undefined, done: true };
  }

  /** Ends the epoch; with an error, that is what `next` throws from now on. */
  end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    if (error) this.#interrupt(error);
    this.#wake();
    this.#parts.signal?.removeEventListener('abort', this.#abort);
    this.#giveBack();
    for (const { slot, batch } of this.#fills.splice(0)) {
      this.#parts.callOff(slot);
      const release = () => this.#parts.release(slot);
      batch.then(release, release);
    }
  }

  #giveBack(): void {
    const slot = this.#inUse;
    this.#inUse = undefined;
    if (slot !== undefined) this.#parts.release(slot);
  }
}
