// What a dataset is like: its classes and its colours. Reads every image once.

import { abortError } from '../../runtime/base/errors.ts';
import { type OptionNames, refuseUnknownOptions } from '../../runtime/base/kinds.ts';
import type { Dataset } from '../../runtime/data/dataset.ts';

/** Sizes, classes and colours of a dataset. */
export interface Description {
  readonly name: string;
  readonly size: number;
  /** [height, width, channels] */
  readonly shape: Dataset['shape'];
  /** Images of each class, in the order of the labels. */
  readonly classes: readonly { readonly name: string; readonly count: number }[];
  /** Mean of each channel over all pixels, on a scale from 0 to 1. */
  readonly mean: readonly number[];
  /** Standard deviation of each channel. */
  readonly deviation: readonly number[];
}

/** Options for reading a whole set. */
export interface ReadAllOptions {
  readonly signal?: AbortSignal;
  /** Called with the number of images read so far. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Names of `ReadAllOptions`. */
export const READ_ALL_OPTIONS: OptionNames<ReadAllOptions> = { signal: true, onProgress: true };

/** Of images read at a time. */
const PIECE_BYTES = 4 << 20;

/** All images of a dataset in stored order, in pieces of whole images. A piece is overwritten by the next one. */
export async function* readAll(dataset: Dataset, { signal, onProgress }: ReadAllOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
  const imageBytes = dataset.shape[0] * dataset.shape[1] * dataset.shape[2];
  const rows = Math.max(1, Math.floor(PIECE_BYTES / imageBytes));
  const piece = new Uint8Array(Math.min(rows, dataset.size) * imageBytes);
  for (let start = 0; start < dataset.size; start += rows) {
    if (signal?.aborted) throw abortError(signal);
    const indices = Int32Array.from({ length: Math.min(rows, dataset.size - start) }, (_, i) => start + i);
    const bytes = piece.subarray(0, indices.length * imageBytes);
    await dataset.read(indices, bytes);
    yield bytes;
    onProgress?.(start + indices.length, dataset.size);
  }
}

/** Reads all images once. Rejects with an AbortError, or with what reading throws. */
export async function describeDataset(dataset: Dataset, options: ReadAllOptions = {}): Promise<Description> {
  refuseUnknownOptions(options, READ_ALL_OPTIONS, 'describeDataset');
  const { name, size, shape, labels } = dataset;
  const counts = new Array<number>(dataset.classes.length).fill(0);
  for (const label of labels) counts[label]++;

  // How often each byte occurs in each channel says all: mean and deviation follow exactly.
  const channels = shape[2];
  const histogram = new Float64Array(channels * 256);
  for await (const bytes of readAll(dataset, options)) {
    for (let i = 0; i < bytes.length; ) for (let c = 0; c < channels; c++) histogram[c * 256 + bytes[i++]]++;
  }
  const pixels = size * shape[0] * shape[1];
  const moment = (channel: number, of: (value: number) => number): number =>
    histogram.subarray(channel * 256, (channel + 1) * 256).reduce((sum, count, value) => sum + count * of(value / 255), 0) / pixels;
  const mean = Array.from({ length: channels }, (_, c) => moment(c, (value) => value));
  return {
    name,
    size,
    shape,
    classes: dataset.classes.map((className, label) => ({ name: className, count: counts[label] })),
    mean,
    deviation: mean.map((centre, c) => Math.sqrt(moment(c, (value) => (value - centre) ** 2))),
  };
}
