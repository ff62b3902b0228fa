// A training set for a device that holds its images and makes batches of them itself: crop and flip, as the kernels of asm/data do.

import { shared } from '../base/shared.ts';
import type { ResidentImages } from '../device.ts';
import type { AugmentOptions } from './augment/augmentations.ts';
import { activeAugmentations } from './augment/augmentations.ts';
import { crop } from './augment/crop.ts';
import type { Dataset, SharedImages } from './dataset.ts';
import { meanColour } from './mean-colour.ts';

/** Bytes of the images of a set. */
export const imageBytesOf = ({ size, shape: [h, w, c] }: Dataset): number => size * h * w * c;

/**
 * The images of a set and what is done to them; or, where a device cannot have or do it, the reason, as the end of a sentence. Throws
 * E_USAGE for an augmentation that is not possible.
 */
export async function residentImages(dataset: Dataset, augment: AugmentOptions, seed: bigint): Promise<ResidentImages | string> {
  const { size, shape, images } = dataset;
  const others = activeAugmentations(augment, shape).filter(({ kernel }) => kernel !== crop.kernel);
  if (others.length > 0 || augment.mix) return 'only crop and flip can be done on the device';
  if (images?.kind !== 'shared') return 'they are not in memory';
  const { layout } = images;
  const { bytes, offset, stride } = images.places ? gathered(images, images.places, imageBytesOf(dataset) / size) : images;
  const colour = augment.padding === 'mean' ? await meanColour(dataset) : new Array<number>(shape[2]).fill(0);
  const padding = augment.padding === 'reflect' ? null : colour;
  return { count: size, shape, bytes, offset, stride, layout, seed, crop: augment.crop, flip: augment.flip, padding };
}

/** Images that lie here and there, one after the other: devices take them so. */
function gathered({ bytes, offset, stride }: SharedImages, places: Int32Array, imageBytes: number) {
  const all = new Uint8Array(shared(places.length * imageBytes));
  for (const [i, place] of places.entries()) {
    const from = offset + place * stride;
    all.set(bytes.subarray(from, from + imageBytes), i * imageBytes);
  }
  return { bytes: all, offset: 0, stride: imageBytes };
}
