// From a dataset to batches: order, read, augment. Runs in the thread that asks for the batches.

import { invariant } from '../base/errors.ts';
import type { Batch } from '../device.ts';
import { type AugmentOptions, augmentationDraws, augmentImage } from './augment.ts';
import type { Dataset, Subset } from './dataset.ts';
import { epochOrder } from './sampler.ts';
import { samplesOf } from './split.ts';

export interface LoaderOptions {
  /** The samples of a `Subset` keep the random draws they have in the whole set. */
  readonly dataset: Dataset | Subset;
  /** Rows of a batch. The last one has what remains; none is dropped. */
  readonly batch: number;
  readonly epoch: number;
  readonly seed: bigint;
  readonly shuffle: boolean;
  /** Off by default. */
  readonly augment?: AugmentOptions;
  /** Batches at the beginning of the epoch that are left out: a resumed run has had them. */
  readonly skip?: number;
}

/** A batch with all that the loader knows of it. The arrays are exactly as long as `rows` needs. */
export type LoadedBatch = Required<Batch>;

export const batchesPerEpoch = (samples: number, batch: number): number => Math.ceil(samples / batch);

// A batch must outlive the asking for the next, so that one can be prepared while another is in use.
const BUFFERS = 2;

/**
 * The batches of one epoch, a function of the options alone. A batch stays valid until two further batches were taken:
 * its arrays are used again then. (A device copies during the call, so only those who keep batches need to copy.)
 */
export function* loadBatches({
  dataset,
  batch,
  epoch,
  seed,
  shuffle,
  augment,
  skip = 0,
}: LoaderOptions): Generator<LoadedBatch, void, undefined> {
  invariant(Number.isInteger(batch) && batch > 0, `a batch of ${batch} rows`);
  const { size, shape, labels } = dataset;
  const imageBytes = shape[0] * shape[1] * shape[2];
  const wholeSamples = samplesOf(dataset);
  const order = epochOrder(size, { seed, epoch, shuffle });
  const augmented = augment !== undefined && (augment.crop > 0 || augment.flip);
  const draw = augmented ? augmentationDraws(seed, epoch, augment) : undefined;

  const capacity = Math.min(batch, size);
  const buffers = Array.from({ length: BUFFERS }, () => ({
    images: new Uint8Array(capacity * imageBytes),
    labels: new Int32Array(capacity),
    samples: new Int32Array(capacity),
  }));
  const original = draw ? new Uint8Array(capacity * imageBytes) : undefined;

  for (let start = skip * batch, k = 0; start < size; start += batch, k++) {
    const indices = order.subarray(start, start + batch);
    const rows = indices.length;
    const buffer = buffers[k % BUFFERS];
    for (let i = 0; i < rows; i++) {
      buffer.labels[i] = labels[indices[i]];
      buffer.samples[i] = wholeSamples[indices[i]];
    }
    const images = buffer.images.subarray(0, rows * imageBytes);
    if (draw && original) {
      dataset.read(indices, original);
      for (let i = 0; i < rows; i++) {
        augmentImage(original, i * imageBytes, images, i * imageBytes, shape, draw(buffer.samples[i]));
      }
    } else {
      dataset.read(indices, images);
    }
    yield { rows, images, labels: buffer.labels.subarray(0, rows), samples: buffer.samples.subarray(0, rows), epoch };
  }
}
