// The batches of an epoch made the plain way, one image after the other: what every pipeline must deliver.

import type { AugmentOptions } from '../../runtime/data/augment/augmentations.ts';
import { augmentReference } from '../../runtime/data/augment/augmentations.ts';
import type { Dataset, Subset } from '../../runtime/data/dataset.ts';
import { epochOrder } from '../../runtime/data/sampler.ts';
import { samplesOf } from '../../runtime/data/split.ts';

export interface ReferenceOptions {
  readonly dataset: Dataset | Subset;
  readonly batch: number;
  readonly epoch: number;
  readonly seed: bigint;
  readonly shuffle: boolean;
  readonly augment?: AugmentOptions;
  readonly mean?: readonly number[];
}

/** Of datasets that read at once. */
export function* referenceBatches({ dataset, batch, epoch, seed, shuffle, augment, mean }: ReferenceOptions) {
  const { shape, labels, size } = dataset;
  const bytes = shape[0] * shape[1] * shape[2];
  const set = { shape, mean: mean ?? new Array<number>(shape[2]).fill(0) };
  const order = epochOrder(size, { seed, epoch, shuffle });
  const whole = samplesOf(dataset);
  for (let start = 0; start < size; start += batch) {
    const indices = order.subarray(start, start + batch);
    const images = new Uint8Array(indices.length * bytes);
    const samples = Int32Array.from(indices, (i) => whole[i]);
    for (const [row, index] of indices.entries()) {
      const image = new Uint8Array(bytes);
      dataset.read([index], image);
      images.set(augmentReference(image, augment, set, { seed, epoch, sample: samples[row] }), row * bytes);
    }
    yield { rows: indices.length, images, labels: Int32Array.from(indices, (i) => labels[i]), samples, epoch };
  }
}
