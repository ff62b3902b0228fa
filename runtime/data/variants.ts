// The forms that augmentation gives to each image, where they are few: what is computed of a form need be computed once.

import { type AugmentOptions, augmentationCaption, drawsOf } from './augment/augmentations.ts';
import { cropOf } from './augment/crop.ts';

/** The forms of each image. */
export interface Variants {
  /** How many. */
  readonly count: number;
  /** Which one a sample has in an epoch, from 0 on. */
  of(epoch: number, sample: number): number;
  /** How a feed makes them: what it is told to do to the images of epoch `form + 1`. Undefined: nothing. */
  readonly augment?: AugmentOptions;
  /** Whether the second form is the mirror image of the first one. */
  readonly mirrored: boolean;
}

/** The epoch whose draws an epoch has, where images have so many versions; 0: each has its own. */
export const drawnEpoch = (epoch: number, versions: number): number => (versions > 0 ? ((epoch - 1) % versions) + 1 : epoch);

/** The forms that a feed's options give to images; or why they are not few, as the end of a sentence. */
export function variantsOf(augment: AugmentOptions, versions: number, seed: bigint): Variants | string {
  const caption = augmentationCaption(augment);
  if (caption === '') return { count: 1, of: () => 0, mirrored: false };
  if (augmentationCaption({ ...augment, flip: false }) === '') {
    const of = (epoch: number, sample: number) => Number(cropOf(drawsOf(seed, epoch, sample), epoch, augment).flip);
    // Fewer versions than forms are a form each.
    return { count: 2, of: (epoch, sample) => of(drawnEpoch(epoch, versions), sample), mirrored: true };
  }
  if (versions === 0 || augment.mix) return `images are never the same twice (${caption})`;
  return { count: versions, of: (epoch) => drawnEpoch(epoch, versions) - 1, augment, mirrored: false };
}
