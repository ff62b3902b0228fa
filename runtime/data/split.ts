// Which samples are for training and which for validation. Nothing is copied: a part remembers where its samples are.

import { HybridError } from '../base/errors.ts';
import { type DataSource, type Dataset, type ImageSource, imagesFrom, type Subset } from './dataset.ts';

/** A training set, and what was taken off it. */
export interface Split {
  readonly train: Subset;
  /** Null where the fraction asks for less than one sample. */
  readonly validation: Subset | null;
}

/**
 * The first ⌊size · valFraction⌋ samples are for validation and the rest for training, both in stored order: what the
 * original script does. Nothing is shuffled before. Throws E_USAGE unless 0 ≤ valFraction < 1.
 */
export function split(dataset: Dataset, { valFraction }: { readonly valFraction: number }): Split {
  if (!(valFraction >= 0 && valFraction < 1)) {
    throw new HybridError('E_USAGE', `the validation fraction is ${valFraction}`, 'Give a number from 0 to below 1, such as 0.1.');
  }
  const held = Math.floor(dataset.size * valFraction);
  return { train: range(dataset, held, dataset.size), validation: held > 0 ? range(dataset, 0, held) : null };
}

/** The first `count` samples, or all where there are fewer. */
export const firstSamples = (dataset: Dataset, count: number): Subset => range(dataset, 0, Math.min(count, dataset.size));

/** How many samples `limit` leaves for validation and for the test: a fifth of those for training, but not below 100. */
export const heldOutLimit = (trainLimit: number): number => Math.max(100, Math.floor(trainLimit / 5));

/** The datasets of a run. */
export interface Parts {
  readonly train: Dataset;
  readonly validation: Dataset | null;
  readonly test: Dataset | null;
}

/** `limit`: the first `limit` training samples, and at most `heldOutLimit(limit)` for validation and for the test. */
export function limitParts({ train, validation, test }: Parts, limit: number): Parts {
  if (!(Number.isInteger(limit) && limit > 0)) {
    throw new HybridError('E_USAGE', `the limit is ${limit}`, 'Give the number of training images to use: a whole number above 0.');
  }
  const held = heldOutLimit(limit);
  return {
    train: firstSamples(train, limit),
    validation: validation && firstSamples(validation, held),
    test: test && firstSamples(test, held),
  };
}

/** Source to parts in one step: split, unless the set has validation images of its own, then limited where a limit is given. */
export function partsOf(source: DataSource, { valFraction, limit }: { readonly valFraction: number; readonly limit?: number }): Parts {
  const { train, validation, test } = source;
  const parts = { ...(validation ? { train, validation } : split(train, { valFraction })), test };
  return limit === undefined ? parts : limitParts(parts, limit);
}

/** Index in the whole set of each sample, which keys its random draws. */
export function samplesOf(dataset: Dataset | Subset): Int32Array {
  return 'samples' in dataset ? dataset.samples : Int32Array.from({ length: dataset.size }, (_, i) => i);
}

const range = (dataset: Dataset, from: number, to: number): Subset =>
  dataset instanceof Range ? new Range(dataset.whole, dataset.from + from, dataset.from + to) : new Range(dataset, from, to);

/** Samples `from` to before `to` of a whole set. */
class Range implements Subset {
  readonly name: string;
  readonly size: number;
  readonly shape: Dataset['shape'];
  readonly classes: readonly string[];
  readonly labels: Uint8Array | Int32Array;
  readonly samples: Int32Array;
  readonly images: ImageSource | undefined;
  readonly whole: Dataset;
  readonly from: number;
  #wholeIndices = new Int32Array(0);

  constructor(whole: Dataset, from: number, to: number) {
    this.whole = whole;
    this.from = from;
    this.size = to - from;
    this.shape = whole.shape;
    this.classes = whole.classes;
    this.labels = whole.labels.subarray(from, to);
    this.samples = samplesOf(whole).subarray(from, to);
    this.images = imagesFrom(whole.images, from);
    this.name = this.size === whole.size ? whole.name : `${whole.name}, images ${from} to ${to - 1} of ${whole.size}`;
  }

  read(indices: ArrayLike<number>, out: Uint8Array): void | Promise<void> {
    if (this.#wholeIndices.length < indices.length) this.#wholeIndices = new Int32Array(indices.length);
    const wholeIndices = this.#wholeIndices.subarray(0, indices.length);
    for (let i = 0; i < indices.length; i++) wholeIndices[i] = this.from + indices[i];
    return this.whole.read(wholeIndices, out);
  }
}
