// A rank of a group: its part of a batch, sums over all of them, and the common decision to stop.

import { abortError } from '../base/errors.ts';
import type { Batch, CompileOptions, Exchange } from '../device.ts';
import type { Communicator } from './communicator.ts';

/** Rows of a batch that a rank computes. */
interface Share {
  readonly begin: number;
  readonly rows: number;
}

/** Shares of consecutive rows; the first ranks have one more where it does not come out even. */
export function shareOf(rows: number, rank: number, size: number): Share {
  const least = Math.floor(rows / size);
  const more = rows % size;
  return { begin: rank * least + Math.min(rank, more), rows: least + (rank < more ? 1 : 0) };
}

/** This rank's place in the group, and the common decision to stop. */
export class Rank {
  readonly communicator: Communicator;
  readonly #agreed: AbortController;
  readonly #asked: AbortSignal | undefined;
  readonly #syncBatchNorm: boolean;
  /** Share of the rows of the batch at hand that this rank computes. */
  weight = 0;
  #sums: Promise<void> = Promise.resolve();

  constructor(communicator: Communicator, agreed: AbortController, asked: AbortSignal | undefined, syncBatchNorm: boolean) {
    this.communicator = communicator;
    this.#agreed = agreed;
    this.#asked = asked;
    this.#syncBatchNorm = syncBatchNorm;
  }

  local(options: CompileOptions): CompileOptions {
    const exchange = this.#syncBatchNorm ? this.#exchange : undefined;
    return { ...options, capacity: Math.ceil(options.capacity / this.communicator.size), exchange };
  }

  /**
   * Adds up over the ranks. Several may be asked for at a time; they are made in the order of the calls, which is the same on all ranks.
   * After one that failed all fail: the group is over.
   */
  sum(data: Float32Array | Float64Array): Promise<void> {
    this.#sums = this.#sums.then(() => this.communicator.sum(data));
    this.#sums.catch(() => {}); // who asked will hear of it
    return this.#sums;
  }

  /**
   * Statistics of the rows here become those of all rows, by Chan's formula: variances add up with the squared distances of the means
   * from the common one. Sums over gradients are in the units of a rank's own mean loss, so weights apply to them as well.
   */
  readonly #exchange: Exchange = async (kind, first, second) => {
    const { weight } = this;
    const common = Float64Array.from(first, (value) => value * weight);
    if (kind === 'sums') {
      const both = new Float64Array(2 * first.length);
      both.set(common);
      for (let i = 0; i < second.length; i++) both[first.length + i] = second[i] * weight;
      await this.sum(both);
      first.set(both.subarray(0, first.length));
      second.set(both.subarray(first.length));
      return;
    }
    await this.sum(common);
    const variance = Float64Array.from(second, (value, i) => (value + (first[i] - common[i]) ** 2) * weight);
    await this.sum(variance);
    first.set(common);
    second.set(variance);
  };

  share(batch: Batch): Share {
    return shareOf(batch.rows, this.communicator.rank, this.communicator.size);
  }

  /** What this rank says about stopping, for an exchange: more than zero asks for it. */
  get wish(): number {
    return this.#asked?.aborted ? 1 : 0;
  }

  /** Stops where the sum of the wishes says so. */
  heed(wishes: number): void {
    if (wishes === 0) return;
    if (!this.#agreed.signal.aborted) this.#agreed.abort(this.#asked?.reason ?? 'another rank was stopped');
    throw abortError(this.#agreed.signal);
  }
}
