// The executable of a rank: calls go in whole, the rows of this rank are computed, and what comes out is that of the whole.

import { abortError } from '../base/errors.ts';
import { stepOf } from '../compile/programs.ts';
import {
  type Batch,
  type BatchMetrics,
  type Executable,
  GRADIENTS,
  type Hyperparameters,
  type RunOptions,
  STATISTICS,
  type Update,
} from '../device.ts';
import { ForwardingExecutable } from '../forwarding.ts';
import type { GradientSum } from './gradient-sum.ts';
import type { Rank } from './rank.ts';

interface DistributedParts {
  /** Over the rows of this rank. */
  readonly local: Executable;
  /** Of the whole batch. */
  readonly capacity: number;
  /** Elements that a row has of each input. */
  readonly perRow: { readonly images: number; readonly features: number };
  readonly gradients: GradientSum;
  readonly rank: Rank;
}

export class DistributedExecutable extends ForwardingExecutable {
  protected readonly target: Executable;
  readonly #capacity: number;
  readonly #rank: Rank;
  readonly #perRow: DistributedParts['perRow'];
  readonly #normalizes: boolean;
  /** Calls are carried out one after the other: the ranks must exchange in the same order. */
  #turn: Promise<unknown> = Promise.resolve();
  readonly #gradients: GradientSum;
  /** Of this rank's own rows in the last step, kept to tell where something is not finite. */
  #ownGradients: Float32Array = new Float32Array(0);
  #ownLoss = 0;
  /** Of all rows in the last step. */
  #loss = 0;
  /** Share of this rank in the last step: what comes between a gradient and its update has shares of its own. */
  #weight = 1;
  /** Why the last gradient is none. */
  #failed: { readonly error: unknown } | undefined;

  constructor({ local, capacity, perRow, gradients, rank }: DistributedParts) {
    super();
    this.target = local;
    this.#rank = rank;
    this.#gradients = gradients;
    this.#perRow = perRow;
    this.#capacity = capacity;
    this.#normalizes = local.state.some(({ kind }) => kind === 'statistic');
  }

  override get capacity(): number {
    return this.#capacity;
  }

  /** Each gradient is waited for: the ranks exchange it. */
  override get stepsAhead(): undefined {
    return undefined;
  }

  /** The programs have stops, at which ranks exchange: there is no time of a call to take. */
  override get profile(): undefined {
    return undefined;
  }

  override gradient(batch: Batch, { signal }: RunOptions = {}): Promise<BatchMetrics> {
    const copy = this.#copyOf(batch);
    return this.#inTurn(async () => {
      try {
        return await this.#gradientOf(copy, signal);
      } catch (error) {
        this.#failed = { error };
        throw error;
      }
    });
  }

  async #gradientOf(batch: Batch, signal?: AbortSignal): Promise<BatchMetrics> {
    if (signal?.aborted) throw abortError(signal);
    const { part, weight } = this.#part(batch);
    const { loss, correct } = await this.target.gradient(part);
    this.#ownLoss = weight > 0 ? loss : 0;
    this.#ownGradients = await this.target.read(GRADIENTS);
    const all = await this.#gradients.finish(this.#ownGradients, { loss: this.#ownLoss, correct, wish: this.#rank.wish });
    this.#rank.heed(all.wishes);
    this.#loss = all.loss;
    // The finite check of an update looks at the own loss too: no rank may apply what another does not.
    if (!Number.isFinite(all.loss)) all.gradients[0] = Number.NaN;
    await this.target.write(GRADIENTS, all.gradients);
    this.#weight = weight;
    this.#failed = undefined;
    return { loss: all.loss, correct: all.correct };
  }

  override update(hyper: Hyperparameters): Promise<Update> {
    return this.#inTurn(async () => {
      if (this.#failed) throw this.#failed.error; // there may be an older one on the device
      const scales = Number.isFinite(this.#loss) ? [] : await this.#lossScales();
      const { applied, overflow } = await this.target.update(hyper);
      // To a device whose own loss is finite it was an overflow. The scale stays the same on all ranks.
      for (const [name, data] of scales) await this.target.write(name, data);
      if (applied) {
        await this.#averageStatistics(this.#weight);
        return { applied };
      }
      const cause = await this.#culprits();
      // Each rank's device looked at the rank's own loss; where that of any is not finite the scale is not to blame.
      return Number.isFinite(this.#loss) ? { applied, cause, overflow } : { applied, cause };
    });
  }

  override calibrate(batch: Batch, bnMomentum: number, { signal }: RunOptions = {}): Promise<void> {
    const copy = this.#copyOf(batch);
    return this.#inTurn(async () => {
      if (signal?.aborted) throw abortError(signal);
      const { part, weight } = this.#part(copy);
      await this.target.calibrate(part, bnMomentum);
      await this.#averageStatistics(weight);
      const wishes = Float64Array.of(this.#rank.wish);
      await this.#rank.sum(wishes);
      this.#rank.heed(wishes[0]);
    });
  }

  override evaluate(batch: Batch, { signal }: RunOptions = {}): Promise<BatchMetrics & { readonly logits: Float32Array }> {
    const copy = this.#copyOf(batch);
    return this.#inTurn(async () => {
      if (signal?.aborted) throw abortError(signal);
      const { part, weight } = this.#part(copy);
      const { loss, correct, logits } = await this.target.evaluate(part);
      const sums = Float64Array.of(weight > 0 ? loss * weight : 0, weight > 0 ? correct : 0, this.#rank.wish);
      await this.#rank.sum(sums);
      this.#rank.heed(sums[2]);
      return { loss: Math.fround(sums[0]), correct: sums[1], logits: await this.#gather(logits, weight > 0) };
    });
  }

  override predict(batch: Batch, { signal }: RunOptions = {}): Promise<Float32Array> {
    const copy = this.#copyOf(batch);
    return this.#inTurn(async () => {
      if (signal?.aborted) throw abortError(signal);
      const { part, weight } = this.#part(copy);
      return this.#gather(await this.target.predict(part), weight > 0);
    });
  }

  override read(name: string): Promise<Float32Array> {
    return this.#inTurn(() => this.target.read(name));
  }

  override write(name: string, data: ArrayLike<number>): Promise<void> {
    const copy = Float64Array.from(data);
    return this.#inTurn(() => this.target.write(name, copy));
  }

  #inTurn<T>(call: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(call);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** A batch as it is at the call: the caller may use its arrays again before the turn comes. */
  #copyOf({ rows, images, features, labels, samples, epoch }: Batch): Batch {
    const perRow = this.#perRow;
    const copy = {
      images: images.slice(0, rows * perRow.images),
      features: features?.slice(0, rows * perRow.features),
      labels: labels?.slice(0, rows),
      samples: samples?.slice(0, rows),
    };
    return { rows, epoch, ...copy };
  }

  /** The own rows and their share of all. Where there are none, a row of somebody else's, which counts nothing. */
  #part(batch: Batch): { part: Batch; weight: number } {
    stepOf(batch, { capacity: this.capacity, seed: 0n });
    const { begin, rows } = this.#rank.share(batch);
    const from = rows > 0 ? begin : 0;
    const count = Math.max(rows, 1);
    const part = {
      rows: count,
      images: batch.images.subarray(from * this.#perRow.images, (from + count) * this.#perRow.images),
      features: batch.features?.subarray(from * this.#perRow.features, (from + count) * this.#perRow.features),
      labels: batch.labels?.subarray(from, from + count),
      samples: batch.samples?.subarray(from, from + count),
      epoch: batch.epoch,
    };
    this.#rank.weight = rows / batch.rows;
    return { part, weight: this.#rank.weight };
  }

  async #averageStatistics(weight: number): Promise<void> {
    if (!this.#normalizes) return;
    const statistics = await this.target.read(STATISTICS);
    for (let i = 0; i < statistics.length; i++) statistics[i] *= weight;
    await this.#rank.sum(statistics);
    await this.target.write(STATISTICS, statistics);
  }

  #lossScales(): Promise<(readonly [string, Float32Array])[]> {
    const entries = this.state.filter(({ kind }) => kind === 'scale');
    return Promise.all(entries.map(async ({ name }) => [name, await this.target.read(name)] as const));
  }

  async #gather(logits: Float32Array, counts: boolean): Promise<Float32Array> {
    const own = counts ? new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength) : new Uint8Array(0);
    const parts = await this.#rank.communicator.gather(own);
    const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return new Float32Array(all.buffer);
  }

  /** Which ranks brought what is not finite. */
  async #culprits(): Promise<string> {
    const { rank, size } = this.#rank.communicator;
    const flags = new Float64Array(size);
    flags[rank] = Number.isFinite(this.#ownLoss) && this.#ownGradients.every(Number.isFinite) ? 0 : 1;
    await this.#rank.sum(flags);
    const ranks = [...flags.keys()].filter((index) => flags[index] > 0);
    return ranks.length === 0 ? 'summed over the ranks' : `of rank${ranks.length === 1 ? '' : 's'} ${ranks.join(', ')}`;
  }
}
