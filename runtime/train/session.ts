// What a run computes on: the executable and the pipeline of its data, opened together, because workers can come up and prepare the first
// batches while the device compiles, and because only the device knows whether it takes the images.

import { HybridError, invariant } from '../base/errors.ts';
import { mebibytes } from '../base/units.ts';
import type { Epoch } from '../data/epoch.ts';
import type { Loader } from '../data/loader.ts';
import { DataPipeline } from '../data/pipeline.ts';
import { imageBytesOf, residentImages } from '../data/resident.ts';
import type { CompileOptions, Executable, ModelGraphs, ResidentImages } from '../device.ts';
import { AccumulatingExecutable, rowsOfPart } from './accumulate.ts';
import { readState, readWeights, weightsOf } from './device-state.ts';
import { evaluationFeed, writeWeights } from './evaluate.ts';
import { type FeaturePlan, type Features, featureDigest, type KeepOptions, keepFeatures } from './features.ts';
import type { LoopOptions } from './options.ts';
import { TracedExecutable } from './traced-executable.ts';

export type Part = 'train' | 'validation' | 'test';

/** What a stage is trained with. */
export interface StageGraphs {
  /** Of the whole model. */
  readonly graphs: Required<ModelGraphs>;
  /** Where what is frozen is computed once; a string: why it is not, as the end of a sentence. */
  readonly features: FeaturePlan | string;
}

export interface Session {
  readonly executable: Executable;
  readonly batches: TrainingBatches;
  /** Of the other parts. */
  loader(part: 'validation' | 'test'): Loader;
  /** Where the training images are, for people; null: where they always are. */
  readonly notice: string | null;
  /** Goes on with the graphs of another stage, weights as they are. The executable of before is closed. */
  enter(stage: StageGraphs): Promise<void>;
  /**
   * Has the features of a stage that keeps them, of the weights at hand. Where they cannot be kept the session goes on with the whole network, and
   * says why. Throws what reading and computing throws, and an AbortError.
   */
  keep(tell: FeatureTalk): Promise<void>;
  /** Goes on with the whole network, where the stage keeps features: weights and optimizer are as they were. */
  leaveFeatures(): Promise<void>;
  close(): Promise<void>;
}

/** What is told while features are computed. */
export interface FeatureTalk extends Pick<KeepOptions, 'onProgress' | 'onWarning'> {
  readonly say: (text: string) => void;
}

/** The batches of training; those of the next epoch are prepared while validation is computed. */
export class TrainingBatches {
  readonly #loader: Loader;
  readonly #signal: AbortSignal;
  #upcoming: Epoch | null = null;

  constructor(loader: Loader, signal: AbortSignal) {
    this.#loader = loader;
    this.#signal = signal;
  }

  /** Has the first batches of an epoch made ready. */
  prepare(epoch: number): void {
    this.#upcoming = this.#loader.epoch(epoch, { signal: this.#signal });
  }

  /** The batches of an epoch, or of the rest of it. */
  of(epoch: number, from: number): Epoch {
    const upcoming = this.#upcoming;
    this.#upcoming = null;
    return upcoming?.epoch === epoch && upcoming.from === from ? upcoming : this.#loader.epoch(epoch, { from, signal: this.#signal });
  }
}

/** Throws E_MEMORY, E_USAGE, E_ENVIRONMENT, E_WORKER_BOOT. */
export async function openSession(options: LoopOptions, first: StageGraphs): Promise<Session> {
  const session = new OpenSession(options);
  try {
    await session.open(first);
    return session;
  } catch (error) {
    await session.close();
    throw error;
  }
}

class OpenSession implements Session {
  notice: string | null = null;
  readonly #options: LoopOptions;
  readonly #compile: Omit<CompileOptions, 'resident'>;
  #stage: StageGraphs | undefined;
  #isFirst = true;
  #executable: Executable | undefined;
  /** Of the images; undefined: nothing needs them yet. */
  #opening: Promise<OpenedData> | undefined;
  #images: OpenedData | undefined;
  #resident: ResidentImages | undefined;
  /** The features of a stage that keeps them, once they are there, and their pipeline while it lasts. */
  #features: Features | undefined;
  #kept: OpenedData | undefined;

  constructor(options: LoopOptions) {
    const { train, validation, test, batch, accumulate, seed, withoutRules, trace } = options;
    const capacity = Math.min(rowsOfPart(batch, accumulate), Math.max(train.size, validation?.size ?? 0, test?.size ?? 0));
    this.#options = options;
    this.#compile = { capacity, seed, withoutRules, programs: ['train', 'calibrate', 'evaluate'], trace };
  }

  get executable(): Executable {
    return this.#executable as Executable;
  }

  get batches(): TrainingBatches {
    return this.#data.batches;
  }

  loader(part: 'validation' | 'test'): Loader {
    return this.#data.pipeline.loader(part);
  }

  get #data(): OpenedData {
    const data = this.#kept ?? this.#images;
    invariant(data, 'a session without data');
    return data;
  }

  async open(stage: StageGraphs): Promise<void> {
    const { trace, accumulate, model } = this.#options;
    this.#isFirst = this.#stage === undefined;
    this.#stage = stage;
    const compiled = typeof stage.features === 'string' ? await this.#onImages(stage.graphs) : await this.#onFeatures(stage.features);
    const traced = trace ? new TracedExecutable(compiled, trace) : compiled;
    const imageBytes = model.input.reduce((product, n) => product * n, 1);
    this.#executable = accumulate > 1 ? new AccumulatingExecutable(traced, imageBytes) : traced;
  }

  /** Nothing is read before the weights are known. */
  #onFeatures({ head }: FeaturePlan): Promise<Executable> {
    return this.#options.device.compile(head, this.#compile);
  }

  async #onImages(graphs: ModelGraphs): Promise<Executable> {
    const { device, dataOnDevice } = this.#options;
    if (!this.#opening) {
      const { images, notice } = await placeImages(this.#options);
      this.notice = notice;
      this.#openImages(images);
    }
    let compiled: Executable;
    try {
      compiled = await device.compile(graphs, { ...this.#compile, resident: this.#resident });
    } catch (error) {
      const isTooMuch = this.#resident && dataOnDevice !== 'on' && error instanceof HybridError && error.code === 'E_MEMORY';
      if (!isTooMuch) throw error;
      await this.#opening?.then((data) => data.close());
      this.notice = fromTheHost(error.message);
      this.#openImages(undefined);
      compiled = await device.compile(graphs, this.#compile);
    }
    try {
      this.#images = await this.#opening;
    } catch (error) {
      await compiled.close();
      throw error;
    }
    return compiled;
  }

  /** Workers come up, and prepare the first batches, while the device compiles. */
  #openImages(images: ResidentImages | undefined): void {
    this.#resident = images;
    const begins = this.#isFirst && !this.#options.resume;
    this.#opening = openData(this.#options, { capacity: this.#compile.capacity, resident: images, begins });
    this.#opening.catch(() => {}); // thrown where it is awaited, when the device is there
  }

  async enter(stage: StageGraphs): Promise<void> {
    const weights = weightsOf({ weights: await readWeights(this.executable) });
    await this.#reopen(stage);
    await writeWeights(this.executable, this.#options.model, weights);
  }

  async #reopen(stage: StageGraphs): Promise<void> {
    const { executable } = this;
    // Before the next one takes memory of its own.
    await executable.close();
    this.#executable = undefined;
    await this.#kept?.close();
    this.#kept = undefined;
    await this.open(stage);
  }

  async keep({ say, onProgress, onWarning }: FeatureTalk): Promise<void> {
    const options = this.#options;
    const plan = this.#stage?.features;
    if (plan === undefined || typeof plan === 'string') return;
    const weights = weightsOf({ weights: await readWeights(this.executable) });
    const given = { plan, options, weights, onProgress, onWarning };
    const isThere = this.#features !== undefined && this.#features.digest === (await featureDigest(given));
    if (isThere && this.#kept) return;
    await this.#kept?.close();
    this.#kept = undefined;
    if (!isThere) {
      const features = await keepFeatures(given);
      if (typeof features === 'string') {
        say(`The features of the frozen layers are not cached: ${features}.`);
        return this.leaveFeatures();
      }
      this.#features = features;
      say(features.notice);
    }
    this.#kept = await openFeatures(options, this.#compile.capacity, (this.#features as Features).feeds);
  }

  async leaveFeatures(): Promise<void> {
    if (!this.#stage || typeof this.#stage.features === 'string') return;
    const state = await readState(this.executable);
    await this.#reopen({ graphs: this.#stage.graphs, features: 'they were left' });
    // The same parameters are trained: the optimizer goes on too.
    for (const [name, { data }] of [...state.weights, ...state.optimizer]) await this.executable.write(name, data);
  }

  async close(): Promise<void> {
    try {
      await this.#executable?.close();
    } finally {
      await this.#kept?.close();
      await this.#opening?.then(
        (data) => data.close(),
        () => {},
      );
    }
  }
}

/** Batches of features. */
async function openFeatures(options: LoopOptions, capacity: number, feeds: Features['feeds']): Promise<OpenedData> {
  const { batch, seed, shuffle, sampling, workers, trace, signal } = options;
  const { train, validation } = feeds;
  const pipeline: DataPipeline<Part> = await DataPipeline.open<Part>(
    {
      train: train && { ...train, batch, seed, shuffle, sampling },
      validation: validation && { ...evaluationFeed(validation.dataset, capacity), features: true },
    },
    { workers, trace },
  );
  return { pipeline, batches: new TrainingBatches(pipeline.loader('train'), signal), close: () => pipeline.close() };
}

const fromTheHost = (reason: string): string => `Training images are sent from the host, batch by batch: ${reason}.`;

/** The training images, if the device is to have them, and what is to be said of it. */
async function placeImages({
  device,
  train,
  augment,
  augmentVersions,
  seed,
  dataOnDevice,
}: LoopOptions): Promise<{ images?: ResidentImages; notice: string | null }> {
  if (dataOnDevice === 'off' || (dataOnDevice === 'auto' && !device.holds)) return { notice: null };
  const bytes = imageBytesOf(train);
  const nowhere = { worthwhile: false, possible: false, reason: `the ${device.name} device computes in the memory where they are` };
  const { worthwhile, possible, reason } = device.holds?.(bytes) ?? nowhere;
  const wanted = dataOnDevice === 'on' ? possible : worthwhile;
  const images = !wanted
    ? reason
    : augmentVersions > 0
      ? 'epochs take versions of them in turn'
      : await residentImages(train, augment, seed);
  if (typeof images !== 'string') {
    return { images, notice: `All training images (${mebibytes(bytes)} MiB) are stored on the device; each step transfers only indices.` };
  }
  if (dataOnDevice === 'auto') return { notice: fromTheHost(images) };
  throw new HybridError(
    'E_USAGE',
    `the training images cannot be stored on the device: ${images}`,
    'Omit `dataOnDevice`; images are then sent from the host, batch by batch.',
    { field: 'dataOnDevice', suggested: 'auto' },
  );
}

interface OpenedData {
  readonly pipeline: DataPipeline<Part>;
  readonly batches: TrainingBatches;
  close(): Promise<void>;
}

/** `begins`: the first epoch is the next one. */
async function openData(
  options: LoopOptions,
  { capacity, resident, begins }: { readonly capacity: number; readonly resident?: ResidentImages; readonly begins: boolean },
): Promise<OpenedData> {
  const { train, validation, test, batch, seed, shuffle, sampling, augment, augmentVersions: versions, workers, trace, signal } = options;
  const feeds = {
    train: { dataset: train, batch, seed, shuffle, sampling, augment, versions, resident: resident !== undefined },
    validation: validation ? evaluationFeed(validation, capacity) : undefined,
    test: test ? evaluationFeed(test, capacity) : undefined,
  };
  const pipeline: DataPipeline<Part> = await DataPipeline.open(feeds, { workers, trace });
  const batches = new TrainingBatches(pipeline.loader('train'), signal);
  if (begins) batches.prepare(1);
  return { pipeline, batches, close: () => pipeline.close() };
}
