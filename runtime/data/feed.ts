// What a pipeline is fed with: the options of a set, checked, and what workers and loader are told of it.

import { HybridError, invariant } from '../base/errors.ts';
import { mebibytes } from '../base/units.ts';
import { type AugmentOptions, checkAugment, needsMean } from './augment/augmentations.ts';
import { type MixOptions, mix } from './augment/mix.ts';
import type { Dataset, Subset } from './dataset.ts';
import { kernelCalls, normalization } from './kernels.ts';
import { meanColour } from './mean-colour.ts';
import type { FeedSetup } from './preparer.ts';
import { Ring, type RingOptions } from './ring.ts';
import type { Variants } from './variants.ts';

/** How batches are made of a dataset. */
export interface FeedOptions {
  /** The samples of a `Subset` keep the random draws they have in the whole set. */
  readonly dataset: Dataset | Subset;
  /** Rows of a batch. The last one has what remains; none is dropped. */
  readonly batch: number;
  readonly seed: bigint;
  readonly shuffle: boolean;
  /** Which samples an epoch has: `all`, the default, each once; `balanced`: as many of every class, those of small ones several times. */
  readonly sampling?: Sampling;
  /** Off by default. */
  readonly augment?: AugmentOptions;
  /** Versions of each image that augmentation makes, those of the first epochs, which later ones repeat; 0, the default: always new ones. */
  readonly versions?: number;
  /** The source has several forms of each sample, of which an epoch takes one: form v of sample i of a set of n is image v · n + i. */
  readonly variants?: Pick<Variants, 'of'>;
  /** The images are float32 numbers, which batches have as `features` too. Off by default. */
  readonly features?: boolean;
  /** Asks for the float32 form too: (x / 255 − mean) / std, a value a channel. */
  readonly normalize?: { readonly mean: readonly number[]; readonly std: readonly number[] };
  /** Batches that are prepared ahead of the one after the next; 2 by default. */
  readonly prefetch?: number;
  /** Rows of a task; by default what suits the number of workers. */
  readonly chunk?: number;
  /** A device has the images: batches say by `picks` which they are, and have none themselves. Off by default. */
  readonly resident?: boolean;
}

/** Which samples an epoch has. */
export type Sampling = 'all' | 'balanced';

const PREFETCH = 2;
/** Tasks that are worth their messages, and not so long that the others wait for one. */
const LEAST_CHUNK = 128;
const MOST_CHUNK = 512;
/** The same for images that are decoded: each takes a thousand times as long. */
const LEAST_DECODED = 8;

/** Throws E_USAGE for options that are not possible, E_MEMORY where the slots cannot be had. */
export async function setUp(feed: FeedOptions, workers: number): Promise<FeedSetup> {
  const { dataset, batch, seed, augment, normalize, prefetch = PREFETCH } = feed;
  invariant(Number.isInteger(batch) && batch > 0, `a batch of ${batch} rows`);
  invariant(Number.isInteger(prefetch) && prefetch >= 0, `a prefetch of ${prefetch} batches`);
  const { shape } = dataset;
  // Nobody reads images that a device has.
  // Where they are is looked up when a batch is made up: workers need no list of them.
  const source = feed.resident || !dataset.images ? undefined : { ...dataset.images, places: undefined };
  checkAugment(augment, shape);
  const mixing = mixingOf(augment);
  if (mixing && normalize)
    throw new HybridError('E_USAGE', 'mixed images have no float32 form', 'Leave mixup and cutmix out, or normalize.');
  const capacity = Math.max(1, Math.min(batch, dataset.size));
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
    // Where there is nothing to do to images this thread reads to where the batch is in the end.
    raw: !source && (calls.length > 0 || normalize !== undefined || mixing !== undefined),
    pairs: mixing !== undefined,
  };
  const shared = {
    ...{ shape, seed, source, calls, ring },
    normalize: normalize && normalization(normalize.mean, normalize.std),
    mixing: mixing && { ...mixing, size: dataset.size },
  };
  return { ...shared, buffer: allocate(ring) };
}

/** Undefined where nothing is mixed. */
export const mixingOf = (augment: AugmentOptions | undefined): MixOptions | undefined =>
  augment && mix.active(augment) ? augment.mix : undefined;

function allocate(ring: RingOptions): SharedArrayBuffer {
  try {
    return new Ring(ring).buffer;
  } catch (error) {
    const copies = (ring.floats ? 5 : 1) + (ring.raw ? (ring.pairs ? 2 : 1) : 0);
    const bytes = ring.slots * ring.capacity * ring.imageBytes * copies;
    const what = `${ring.slots} batches of ${ring.capacity} images need ${mebibytes(bytes)} MiB of shared memory, and the operating system refused the allocation`;
    throw new HybridError('E_MEMORY', what, 'Use a smaller `batch`.', { cause: error, field: 'batch' });
  }
}
