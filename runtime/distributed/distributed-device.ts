// A device that is one rank's part of a group: every rank runs the same training loop over the same batches, and computes its own
// rows of each. Nothing above it knows: a batch goes in whole, and its loss, gradients and logits are those of the whole.
//
//   gradient    own rows on the own device → gradients, loss and hits, weighted by rows, added up over the ranks (gradient-sum.ts)
//   update      the same on every rank, from the same gradients; then moving statistics become the mean over the ranks
//   evaluate, predict    own rows; the logits of all are gathered
//
// Stopping is a common decision. A rank that is asked to stop says so in its next exchange, and all stop after it: the signal of
// the loop is the one that `distribute` returns, which all ranks abort at the same place.

import { abortError, HybridError, invariant } from '../base/errors.ts';
import {
  type Batch,
  type BatchMetrics,
  type CompileOptions,
  type Device,
  type Exchange,
  type Executable,
  GRADIENTS,
  type Hyperparameters,
  type ModelGraphs,
  type RunOptions,
  STATISTICS,
  type Update,
} from '../device.ts';
import { elementCount } from '../ir/graph.ts';
import type { Communicator } from './communicator.ts';
import { GradientSum } from './gradient-sum.ts';

/** A device and the group that it becomes part of. */
export interface DistributeOptions {
  readonly device: Device;
  readonly communicator: Communicator;
  /** Batch normalisation over the rows of all ranks, on devices that can. Default: over those of each. */
  readonly syncBatchNorm?: boolean;
  /** Asks all ranks to stop. */
  readonly signal?: AbortSignal;
}

/** What takes the place of device and signal in each rank. */
export interface Distributed {
  readonly device: Device;
  /** For the training loop, in place of the signal above: aborted on all ranks at the same step. */
  readonly signal: AbortSignal;
}

/** The device as this rank's part of the group. Closing it leaves the communicator open. */
export function distribute({ device, communicator, signal, syncBatchNorm = false }: DistributeOptions): Distributed {
  const agreed = new AbortController();
  const rank = new Rank(communicator, agreed, signal, syncBatchNorm);
  return {
    signal: agreed.signal,
    device: {
      name: device.name,
      arithmetic: device.arithmetic,
      description: `${device.description}, ${communicator.size} ranks`,
      threads: device.threads,
      memoryLimit: device.memoryLimit,
      holds: device.holds && (() => ({ worthwhile: false, possible: false, reason: 'ranks get the rows of a batch that are theirs' })),
      compile: async (graphs, options) => {
        const gradients = new GradientSum(rank, options.trace);
        const local = await device.compile(graphs, { ...rank.local(options), onGradients: gradients.add });
        return new DistributedExecutable({ local, capacity: options.capacity, imageBytes: imageBytes(graphs), gradients, rank });
      },
      memoryFor: (graphs, options) => device.memoryFor(graphs, rank.local(options)),
      inspect: (graphs, options) => device.inspect(graphs, rank.local(options)),
      close: () => device.close(),
      [Symbol.asyncDispose]: () => device.close(),
    },
  };
}

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
class Rank {
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

interface DistributedParts {
  /** Over the rows of this rank. */
  readonly local: Executable;
  /** Of the whole batch. */
  readonly capacity: number;
  readonly imageBytes: number;
  readonly gradients: GradientSum;
  readonly rank: Rank;
}

class DistributedExecutable implements Executable {
  readonly capacity: number;
  readonly state: Executable['state'];
  readonly memoryBytes: number;
  readonly #local: Executable;
  readonly #rank: Rank;
  readonly #imageBytes: number;
  readonly #normalizes: boolean;
  /** Calls are carried out one after the other: the ranks must exchange in the same order. */
  #turn: Promise<unknown> = Promise.resolve();
  readonly #gradients: GradientSum;
  /** Of this rank's own rows in the last step, kept to tell where something is not finite. */
  #ownGradients: Float32Array = new Float32Array(0);
  #ownLoss = 0;
  /** Of all rows in the last step. */
  #loss = 0;

  constructor({ local, capacity, imageBytes, gradients, rank }: DistributedParts) {
    this.#local = local;
    this.#rank = rank;
    this.#gradients = gradients;
    this.#imageBytes = imageBytes;
    this.capacity = capacity;
    this.state = local.state;
    this.memoryBytes = local.memoryBytes;
    this.#normalizes = local.state.some(({ kind }) => kind === 'statistic');
  }

  gradient(batch: Batch, { signal }: RunOptions = {}): Promise<BatchMetrics> {
    const copy = this.#copyOf(batch);
    return this.#inTurn(async () => {
      if (signal?.aborted) throw abortError(signal);
      const { part, weight } = this.#part(copy);
      const { loss, correct } = await this.#local.gradient(part);
      this.#ownLoss = weight > 0 ? loss : 0;
      this.#ownGradients = await this.#local.read(GRADIENTS);
      const all = await this.#gradients.finish(this.#ownGradients, { loss: this.#ownLoss, correct, wish: this.#rank.wish });
      this.#rank.heed(all.wishes);
      this.#loss = all.loss;
      // The finite check of an update looks at the own loss too: no rank may apply what another does not.
      if (!Number.isFinite(all.loss)) all.gradients[0] = Number.NaN;
      await this.#local.write(GRADIENTS, all.gradients);
      return { loss: all.loss, correct: all.correct };
    });
  }

  update(hyper: Hyperparameters): Promise<Update> {
    return this.#inTurn(async () => {
      const scales = Number.isFinite(this.#loss) ? [] : await this.#lossScales();
      const { applied, overflow } = await this.#local.update(hyper);
      // To a device whose own loss is finite it was an overflow. The scale stays the same on all ranks.
      for (const [name, data] of scales) await this.#local.write(name, data);
      if (applied) {
        await this.#averageStatistics();
        return { applied };
      }
      const cause = await this.#culprits();
      // Each rank's device looked at the rank's own loss; where that of any is not finite the scale is not to blame.
      return Number.isFinite(this.#loss) ? { applied, cause, overflow } : { applied, cause };
    });
  }

  calibrate(batch: Batch, bnMomentum: number, { signal }: RunOptions = {}): Promise<void> {
    const copy = this.#copyOf(batch);
    return this.#inTurn(async () => {
      if (signal?.aborted) throw abortError(signal);
      const { part } = this.#part(copy);
      await this.#local.calibrate(part, bnMomentum);
      await this.#averageStatistics();
      const wishes = Float64Array.of(this.#rank.wish);
      await this.#rank.sum(wishes);
      this.#rank.heed(wishes[0]);
    });
  }

  evaluate(batch: Batch, { signal }: RunOptions = {}): Promise<BatchMetrics & { readonly logits: Float32Array }> {
    const copy = this.#copyOf(batch);
    return this.#inTurn(async () => {
      if (signal?.aborted) throw abortError(signal);
      const { part, weight } = this.#part(copy);
      const { loss, correct, logits } = await this.#local.evaluate(part);
      const sums = Float64Array.of(weight > 0 ? loss * weight : 0, weight > 0 ? correct : 0, this.#rank.wish);
      await this.#rank.sum(sums);
      this.#rank.heed(sums[2]);
      return { loss: Math.fround(sums[0]), correct: sums[1], logits: await this.#gather(logits, weight > 0) };
    });
  }

  predict(batch: Batch, { signal }: RunOptions = {}): Promise<Float32Array> {
    const copy = this.#copyOf(batch);
    return this.#inTurn(async () => {
      if (signal?.aborted) throw abortError(signal);
      const { part, weight } = this.#part(copy);
      return this.#gather(await this.#local.predict(part), weight > 0);
    });
  }

  read(name: string): Promise<Float32Array> {
    return this.#inTurn(() => this.#local.read(name));
  }

  write(name: string, data: ArrayLike<number>): Promise<void> {
    const copy = Float64Array.from(data);
    return this.#inTurn(() => this.#local.write(name, copy));
  }

  close(): Promise<void> {
    return this.#local.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #inTurn<T>(call: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(call);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** A batch as it is at the call: the caller may use its arrays again before the turn comes. */
  #copyOf({ rows, images, labels, samples, epoch }: Batch): Batch {
    const copy = { images: images.slice(0, rows * this.#imageBytes), labels: labels?.slice(0, rows), samples: samples?.slice(0, rows) };
    return { rows, epoch, ...copy };
  }

  /** The own rows and their share of all. Where there are none, a row of somebody else's, which counts nothing. */
  #part(batch: Batch): { part: Batch; weight: number } {
    invariant(batch.rows >= 1 && batch.rows <= this.capacity, `${batch.rows} rows, capacity ${this.capacity}`);
    const { begin, rows } = this.#rank.share(batch);
    const from = rows > 0 ? begin : 0;
    const count = Math.max(rows, 1);
    const part = {
      rows: count,
      images: batch.images.subarray(from * this.#imageBytes, (from + count) * this.#imageBytes),
      labels: batch.labels?.subarray(from, from + count),
      samples: batch.samples?.subarray(from, from + count),
      epoch: batch.epoch,
    };
    this.#rank.weight = rows / batch.rows;
    return { part, weight: this.#rank.weight };
  }

  async #averageStatistics(): Promise<void> {
    if (!this.#normalizes) return;
    const statistics = await this.#local.read(STATISTICS);
    for (let i = 0; i < statistics.length; i++) statistics[i] *= this.#rank.weight;
    await this.#rank.sum(statistics);
    await this.#local.write(STATISTICS, statistics);
  }

  #lossScales(): Promise<(readonly [string, Float32Array])[]> {
    const entries = this.state.filter(({ kind }) => kind === 'scale');
    return Promise.all(entries.map(async ({ name }) => [name, await this.#local.read(name)] as const));
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

/** Of one image: every graph reads the same ones. */
function imageBytes({ train, calibrate, evaluate, predict }: ModelGraphs): number {
  const graph = train ?? calibrate ?? evaluate ?? predict;
  return graph ? elementCount(graph.values[graph.inputs.images].spec) : 0;
}

/**
 * Whether all ranks are about to do the same. `facts`: what must be equal, by name. Throws E_RANK with the first differences
 * and their ranks, on every rank.
 */
export async function agree(communicator: Communicator, facts: Readonly<Record<string, string>>): Promise<void> {
  const all = await communicator.gather(new TextEncoder().encode(JSON.stringify(facts)));
  const told = all.map((bytes) => JSON.parse(new TextDecoder().decode(bytes)) as Record<string, string>);
  const differences = Object.keys(told[0]).flatMap((name) => {
    const other = told.findIndex((one) => one[name] !== told[0][name]);
    return other < 0 ? [] : [`${name} is ${told[0][name]} on rank 0, but ${told[other][name]} on rank ${other}`];
  });
  if (differences.length === 0) return;
  throw new HybridError(
    'E_RANK',
    `the ranks were started differently: ${differences.join('; ')}`,
    'Start all ranks with the same program, options and data.',
    { onAllRanks: true },
  );
}
