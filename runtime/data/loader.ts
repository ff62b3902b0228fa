// From datasets to batches: order, read, augment, ahead of time. A pipeline has one crew of workers and, for each feed (the
// training set, say), a loader with its ring of slots.
//
// Credits: a batch is filled as soon as a slot is free, in the order of the epoch, and its slot is free again when the consumer
// asks for the next batch. Tasks end in any order; every row has its place, so batches are the same for any number of workers.

import { abortError, HybridError, invariant } from '../base/errors.ts';
import type { Trace } from '../base/trace.ts';
import type { Batch } from '../device.ts';
import type { AugmentOptions, MixOptions } from './augment/augmentation.ts';
import { drawsOf, needsMean } from './augment/augmentations.ts';
import { type Mix, mixImage, mixOf, mixProblem } from './augment/mix.ts';
import type { Dataset, Subset } from './dataset.ts';
import { type KernelModule, kernelCalls, loadDataKernels, normalization } from './kernels.ts';
import { type Crew, type CrewOptions, type CrewStats, openCrew } from './pool.ts';
import type { FeedSetup } from './preparer.ts';
import { Ring, type RingOptions, tasksOf } from './ring.ts';
import { Sampler } from './sampler.ts';
import { samplesOf } from './split.ts';

/** How batches are made of a dataset. */
export interface FeedOptions {
  /** The samples of a `Subset` keep the random draws they have in the whole set. */
  readonly dataset: Dataset | Subset;
  /** Rows of a batch. The last one has what remains; none is dropped. */
  readonly batch: number;
  readonly seed: bigint;
  readonly shuffle: boolean;
  /** Off by default. */
  readonly augment?: AugmentOptions;
  /** Asks for the float32 form too: (x / 255 − mean) / std, a value a channel. */
  readonly normalize?: { readonly mean: readonly number[]; readonly std: readonly number[] };
  /** Batches that are prepared ahead of the one after the next; 2 by default. */
  readonly prefetch?: number;
  /** Rows of a task; by default what suits the number of workers. */
  readonly chunk?: number;
  /** A device has the images: batches say by `picks` which they are, and have none themselves. Off by default. */
  readonly resident?: boolean;
}

/** What works on the batches of a pipeline. */
export interface PipelineOptions {
  /** Worker threads; 1 by default, which is enough for any set in memory. 0: the calling thread prepares batches between its other work. */
  readonly workers?: number;
  readonly trace?: Trace;
  /** Limits and the body of the workers, for tests. */
  readonly crew?: Pick<CrewOptions, 'taskLimitMs' | 'startLimitMs' | 'script'>;
}

/** A batch with all that the loader knows of it. The arrays are exactly as long as `rows` needs. */
export interface LoadedBatch extends Required<Omit<Batch, 'picks'>> {
  readonly picks?: Int32Array;
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

export const batchesPerEpoch = (samples: number, batch: number): number => Math.ceil(samples / batch);

const PREFETCH = 2;
/** Tasks that are worth their messages, and not so long that the others wait for one. */
const LEAST_CHUNK = 128;
const MOST_CHUNK = 512;
/** The same for images that are decoded: each takes a thousand times as long. */
const LEAST_DECODED = 8;

/**
 * From datasets to batches, prepared ahead of time by worker threads. `train` and `evaluate` open their own; a loop of one's own opens
 * one.
 */
export class DataPipeline<Name extends string = string> implements AsyncDisposable {
  readonly #loaders: ReadonlyMap<string, Loader>;
  readonly #crew: Crew;

  /**
   * Throws E_USAGE for options that are not possible, E_ENVIRONMENT where the kernels were not built, E_WORKER_BOOT where workers do
   * not start, E_MEMORY where the slots cannot be had.
   */
  static async open<Name extends string>(
    feeds: { readonly [name in Name]?: FeedOptions },
    options: PipelineOptions = {},
  ): Promise<DataPipeline<Name>> {
    const { workers = 1, trace, crew } = options;
    if (!(Number.isInteger(workers) && workers >= 0 && workers <= 256))
      throw new HybridError('E_USAGE', `${workers} data workers`, 'Give a whole number from 0 to 256.');
    const entries = Object.entries<FeedOptions | undefined>(feeds).flatMap(([name, feed]) => (feed ? [[name, feed] as const] : []));
    const kernels = await loadDataKernels();
    const setups = await Promise.all(entries.map(([, feed]) => setUp(feed, workers)));
    const opened = await openCrew({ workers, trace, kernels, feeds: setups, ...crew });
    return new DataPipeline(
      entries.map(([name, feed], index) => [name, feed, setups[index]] as const),
      opened,
      kernels,
    );
  }

  private constructor(feeds: readonly (readonly [string, FeedOptions, FeedSetup])[], crew: Crew, kernels: KernelModule) {
    this.#crew = crew;
    // Datasets that this thread reads are asked one call at a time, whichever loaders they feed.
    const turn = turns();
    this.#loaders = new Map(feeds.map(([name, feed, setup], index) => [name, new Loader({ feed, setup, index, crew, turn, kernels })]));
  }

  /** The loader of a feed. Throws E_INTERNAL for a name that the pipeline was not opened with. */
  loader(name: Name): Loader {
    const loader = this.#loaders.get(name);
    invariant(loader, `the pipeline has no feed ${name}`);
    return loader;
  }

  get workers(): number {
    return this.#crew.workers;
  }

  get stats(): Readonly<CrewStats> {
    return this.#crew.stats;
  }

  /** Ends epochs and workers. */
  async close(): Promise<void> {
    for (const loader of this.#loaders.values()) loader.close();
    await this.#crew.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

async function setUp(feed: FeedOptions, workers: number): Promise<FeedSetup> {
  const { dataset, batch, seed, augment, normalize, prefetch = PREFETCH } = feed;
  invariant(Number.isInteger(batch) && batch > 0, `a batch of ${batch} rows`);
  invariant(Number.isInteger(prefetch) && prefetch >= 0, `a prefetch of ${prefetch} batches`);
  const { shape } = dataset;
  // Nobody reads images that a device has.
  // Where they are is looked up when a batch is made up: workers need no list of them.
  const source = feed.resident || !dataset.images ? undefined : { ...dataset.images, places: undefined };
  const mixing = mixingOf(augment);
  if (mixing && normalize)
    throw new HybridError('E_USAGE', 'mixed images have no float32 form', 'Leave mixup and cutmix out, or normalize.');
  // The images that are mixed into those of a batch are further rows of its slot.
  const capacity = Math.max(1, Math.min(batch, dataset.size)) * (mixing ? 2 : 1);
  const least = source?.kind === 'module' ? LEAST_DECODED : LEAST_CHUNK;
  const chunk = feed.chunk ?? Math.min(MOST_CHUNK, Math.max(least, Math.ceil(capacity / Math.max(1, workers))));
  invariant(Number.isInteger(chunk) && chunk > 0, `tasks of ${chunk} rows`);
  const set = { shape, mean: needsMean(augment) ? await meanColour(dataset) : new Array<number>(shape[2]).fill(0) };
  const calls = feed.resident ? [] : kernelCalls(source?.kind === 'shared' ? source.layout : 'interleaved', augment, set);
  const ring: RingOptions = {
    // One in use, one being filled, and those between.
    slots: prefetch + 2,
    capacity,
    imageBytes: feed.resident ? 0 : shape[0] * shape[1] * shape[2],
    chunk: Math.min(chunk, capacity),
    floats: normalize !== undefined,
    // Without kernels this thread reads to where the batch is in the end.
    raw: !source && (calls.length > 0 || normalize !== undefined),
  };
  const shared = { shape, seed, source, calls, normalize: normalize && normalization(normalize.mean, normalize.std), ring };
  return { ...shared, buffer: allocate(ring) };
}

/** Undefined where nothing is mixed. Throws E_USAGE for options that are not possible. */
function mixingOf(augment: AugmentOptions | undefined): MixOptions | undefined {
  const problem = augment?.mix && mixProblem(augment.mix);
  if (problem) throw new HybridError('E_USAGE', `the augmentation asks for ${problem}`, 'Change the options of the augmentation.');
  return augment?.mix && augment.mix.probability > 0 ? augment.mix : undefined;
}

function allocate(ring: RingOptions): SharedArrayBuffer {
  try {
    return new Ring(ring).buffer;
  } catch (error) {
    const bytes = ring.slots * ring.capacity * ring.imageBytes * (ring.floats ? 5 : 1) * (ring.raw ? 2 : 1);
    const mebibytes = Math.ceil(bytes / 2 ** 20).toLocaleString('en');
    const what = `${ring.slots} batches of ${ring.capacity} images need ${mebibytes} MiB of shared memory, and this system refuses to give as much`;
    throw new HybridError('E_MEMORY', what, 'Use a smaller `batch`.', { cause: error, field: 'batch' });
  }
}

/** Enough images for the mean to be that of the set, to a byte. */
const MEAN_IMAGES = 1000;

/** Mean of each channel over images evenly spread over the set, rounded to a byte. */
export async function meanColour(dataset: Dataset): Promise<number[]> {
  const { size, shape } = dataset;
  const [height, width, channels] = shape;
  const count = Math.min(size, MEAN_IMAGES);
  const image = new Uint8Array(height * width * channels);
  const sums = new Array<number>(channels).fill(0);
  for (let i = 0; i < count; i++) {
    await dataset.read([Math.floor((i * size) / count)], image);
    for (let at = 0; at < image.length; at++) sums[at % channels] += image[at];
  }
  return sums.map((sum) => Math.round(sum / Math.max(1, count * height * width)));
}

/** Makes one call after the other. */
function turns(): <T>(call: () => T | Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (call) => {
    const next = last.then(call);
    last = next.catch(() => {});
    return next;
  };
}

interface LoaderParts {
  readonly feed: FeedOptions;
  readonly setup: FeedSetup;
  /** Of the feed, for the workers. */
  readonly index: number;
  readonly crew: Crew;
  readonly turn: ReturnType<typeof turns>;
  readonly kernels: KernelModule;
}

/** Makes the batches of one feed, an epoch at a time. */
export class Loader {
  readonly dataset: Dataset | Subset;
  /** Batches of an epoch. */
  readonly batches: number;
  readonly #parts: LoaderParts;
  readonly #samples: Int32Array;
  readonly #sampler: Sampler;
  readonly #ring: Ring;
  /** Slots that nobody uses. */
  readonly #free: number[];
  #current: Epoch | null = null;

  constructor(parts: LoaderParts) {
    const { feed, setup } = parts;
    this.dataset = feed.dataset;
    this.#parts = parts;
    this.batches = batchesPerEpoch(feed.dataset.size, feed.batch);
    this.#samples = samplesOf(feed.dataset);
    this.#sampler = new Sampler(parts.kernels, feed.dataset.size, feed);
    this.#ring = new Ring(setup.ring, setup.buffer);
    this.#free = this.#ring.slots.map((_, slot) => slot);
  }

  /**
   * The batches of an epoch, a function of feed, epoch and `from` alone. They are being prepared from this call on. A batch is valid
   * until the next one is asked for. A loader has one epoch at a time: another call ends the one before.
   *
   * Iterating throws what reading threw, E_WORKER where workers fail, an AbortError. Leaving the loop gives the slots back.
   */
  epoch(epoch: number, { from = 0, signal }: EpochOptions = {}): Epoch {
    this.#current?.end(new HybridError('E_INTERNAL', 'this epoch was ended: its loader began another one'));
    const { batch } = this.#parts.feed;
    const order = this.#sampler.order(epoch);
    const hold = (): number | undefined => this.#free.shift();
    const release = (slot: number): void => {
      this.#free.push(slot);
      this.#current?.fill();
    };
    const prepare = (index: number, slot: number) => this.#prepare(epoch, index, order.subarray(index * batch, (index + 1) * batch), slot);
    const callOff = (slot: number): void => void Atomics.add(this.#ring.slots[slot].generation, 0, 1);
    this.#current = new Epoch({ epoch, from, count: this.batches, signal, hold, release, prepare, callOff });
    this.#current.fill();
    return this.#current;
  }

  /** Ends the epoch; the pipeline does it. */
  close(): void {
    this.#current?.end(new HybridError('E_INTERNAL', 'the data pipeline was closed'));
  }

  async #prepare(epoch: number, index: number, order: Int32Array, slotIndex: number): Promise<LoadedBatch> {
    const { feed, setup, index: feedIndex, crew, turn } = this.#parts;
    const { dataset } = feed;
    const slot = this.#ring.slots[slotIndex];
    const rows = order.length;
    const { imageBytes } = setup.ring;
    const bytes = rows * imageBytes;
    // New arrays: they are small, and callers may keep them longer than the images.
    const labels = new Int32Array(rows);
    const samples = new Int32Array(rows);
    for (let row = 0; row < rows; row++) {
      labels[row] = dataset.labels[order[row]];
      samples[row] = this.#samples[order[row]];
    }
    if (feed.resident) return { rows, images: slot.images, floats: null, picks: order.slice(), labels, samples, epoch, index };
    const mixes = this.#mixes(epoch, samples);
    const partners = mixes.flatMap((mix) => mix?.partner ?? []);
    const all = rows + partners.length;
    const places = setup.source && dataset.images?.places;
    const place = (i: number) => (places ? places[i] : i);
    for (let row = 0; row < rows; row++) slot.indices[row] = place(order[row]);
    for (const [i, partner] of partners.entries()) slot.indices[rows + i] = place(partner);
    slot.samples.set(samples);
    for (const [i, partner] of partners.entries()) slot.samples[rows + i] = this.#samples[partner];
    const generation = Atomics.load(slot.generation, 0);
    const direct = !setup.source;
    if (direct) await turn(() => dataset.read(slot.indices.slice(0, all), (slot.raw ?? slot.images).subarray(0, all * imageBytes)));
    if (!direct || slot.raw) {
      const { chunk } = setup.ring;
      const tasks = Array.from({ length: tasksOf(all, chunk) }, (_, task) => {
        const first = task * chunk;
        return crew.run(
          { feed: feedIndex, slot: slotIndex, generation, epoch, first, rows: Math.min(chunk, all - first) },
          slot.tasks[task],
        );
      });
      // The slot is not free before all have ended, whatever became of one.
      for (const { status, ...rest } of await Promise.allSettled(tasks))
        if (status === 'rejected') throw (rest as PromiseRejectedResult).reason;
    }
    let partner = rows;
    for (const [row, mix] of mixes.entries()) {
      if (!mix) continue;
      const imageOf = (i: number): Uint8Array => slot.images.subarray(i * imageBytes, (i + 1) * imageBytes);
      mixImage(imageOf(row), imageOf(partner++), dataset.shape, mix);
      if (mix.swapped) labels[row] = dataset.labels[mix.partner];
    }
    const floats = slot.floats?.subarray(0, bytes) ?? null;
    return { rows, images: slot.images.subarray(0, bytes), floats, labels, samples, epoch, index };
  }

  /** What is drawn for each row where images are mixed; else nothing. */
  #mixes(epoch: number, samples: Int32Array): readonly (Mix | null)[] {
    const { augment, seed, dataset } = this.#parts.feed;
    const mixing = mixingOf(augment);
    return mixing ? Array.from(samples, (sample) => mixOf(drawsOf(seed, epoch, sample), mixing, dataset.size, dataset.shape)) : [];
  }
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
