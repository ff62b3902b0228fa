// The mean colour of a set: what is put where an augmentation has moved or taken away a part of an image.

import type { Dataset } from './dataset.ts';

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
