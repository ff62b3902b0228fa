// What a run computes on: the executable and the pipeline of its data, opened together, because workers can come up and prepare the first
// batches while the device compiles, and because only the device knows whether it takes the images.

import { HybridError } from '../base/errors.ts';
import type { Epoch } from '../data/epoch.ts';
import type { Loader } from '../data/loader.ts';
import { DataPipeline } from '../data/pipeline.ts';
import { imageBytesOf, residentImages } from '../data/resident.ts';
import type { Executable, ModelGraphs, ResidentImages } from '../device.ts';
import { readWeights, weightsOf } from './device-state.ts';
import { evaluationFeed, writeWeights } from './evaluate.ts';
import type { LoopOptions } from './options.ts';
import { TracedExecutable } from './traced-executable.ts';

export type Part = 'train' | 'validation' | 'test';

export interface Session {
  readonly executable: Executable;
  readonly batches: TrainingBatches;
  /** Of the other parts. */
  loader(part: 'validation' | 'test'): Loader;
  /** Where the training images are, for people; null: where they always are. */
  readonly notice: string | null;
  /** Goes on with other graphs of the model, weights as they are. The executable of before is closed. */
  enter(graphs: ModelGraphs): Promise<void>;
  close(): Promise<void>;
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
export async function openSession(options: LoopOptions, graphs: ModelGraphs): Promise<Session> {
  const { device, train, validation, test, batch, seed, withoutRules, trace, dataOnDevice } = options;
  const capacity = Math.min(batch, Math.max(train.size, validation?.size ?? 0, test?.size ?? 0));
  const common = { capacity, seed, withoutRules, programs: ['train', 'calibrate', 'evaluate'] as const, trace };
  let { images, notice } = await placeImages(options);
  let opening = openData(options, capacity, images);
  opening.catch(() => {}); // thrown below, when the device is there
  const compile = async (others: ModelGraphs): Promise<Executable> => {
    try {
      return await device.compile(others, { ...common, resident: images });
    } catch (error) {
      const isTooMuch = images && dataOnDevice !== 'on' && error instanceof HybridError && error.code === 'E_MEMORY';
      if (!isTooMuch) throw error;
      await opening.then((data) => data.close());
      notice = fromTheHost(error.message);
      images = undefined;
      opening = openData(options, capacity);
      opening.catch(() => {});
      return device.compile(others, common);
    }
  };
  let executable: Executable | undefined;
  const close = async (): Promise<void> => {
    try {
      await executable?.close();
    } finally {
      await opening.then(
        (data) => data.close(),
        () => {},
      );
    }
  };
  const traced = (compiled: Executable): Executable => (trace ? new TracedExecutable(compiled, trace) : compiled);
  try {
    executable = traced(await compile(graphs));
    let data = await opening;
    return {
      get executable() {
        return executable as Executable;
      },
      get batches() {
        return data.batches;
      },
      get notice() {
        return notice;
      },
      close,
      loader: (part) => data.pipeline.loader(part),
      async enter(others) {
        const before = executable as Executable;
        const weights = weightsOf({ weights: await readWeights(before) });
        // Before the next one takes memory of its own.
        await before.close();
        executable = undefined;
        executable = traced(await compile(others));
        data = await opening;
        await writeWeights(executable, options.model, weights);
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

const fromTheHost = (reason: string): string => `Training images come from the host, batch by batch: ${reason}.`;

/** The training images, if the device is to have them, and what is to be said of it. */
async function placeImages({
  device,
  train,
  augment,
  seed,
  dataOnDevice,
}: LoopOptions): Promise<{ images?: ResidentImages; notice: string | null }> {
  if (dataOnDevice === 'off' || (dataOnDevice === 'auto' && !device.holds)) return { notice: null };
  const bytes = imageBytesOf(train);
  const nowhere = { worthwhile: false, possible: false, reason: `the ${device.name} device computes in the memory where they are` };
  const { worthwhile, possible, reason } = device.holds?.(bytes) ?? nowhere;
  const wanted = dataOnDevice === 'on' ? possible : worthwhile;
  const images = wanted ? await residentImages(train, augment, seed) : reason;
  if (typeof images !== 'string') {
    const mebibytes = Math.ceil(bytes / 2 ** 20).toLocaleString('en');
    return { images, notice: `All training images (${mebibytes} MiB) lie on the device: a step sends indices alone.` };
  }
  if (dataOnDevice === 'auto') return { notice: fromTheHost(images) };
  throw new HybridError(
    'E_USAGE',
    `the training images cannot lie on the device: ${images}`,
    'Leave `dataOnDevice` out: images come from the host then, batch by batch.',
    { field: 'dataOnDevice', suggested: 'auto' },
  );
}

interface OpenedData {
  readonly pipeline: DataPipeline<Part>;
  readonly batches: TrainingBatches;
  close(): Promise<void>;
}

async function openData(options: LoopOptions, capacity: number, resident?: ResidentImages): Promise<OpenedData> {
  const { train, validation, test, batch, seed, shuffle, augment, workers, trace, resume, signal } = options;
  const feeds = {
    train: { dataset: train, batch, seed, shuffle, augment, resident: resident !== undefined },
    validation: validation ? evaluationFeed(validation, capacity) : undefined,
    test: test ? evaluationFeed(test, capacity) : undefined,
  };
  const pipeline: DataPipeline<Part> = await DataPipeline.open(feeds, { workers, trace });
  const batches = new TrainingBatches(pipeline.loader('train'), signal);
  if (!resume) batches.prepare(1);
  return { pipeline, batches, close: () => pipeline.close() };
}
