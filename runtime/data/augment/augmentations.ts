// All augmentations, in the order in which they are applied. To add one: a kernel in asm/data (its `abi.ts` says how), an entry
// here, and a purpose of its own for its random words (runtime/base/philox.ts). Tests hold every kernel of this table to its
// plain loops.

import { HybridError } from '../../base/errors.ts';
import { philox4x32, philoxKey } from '../../base/philox.ts';
import type { Augmentation, AugmentOptions, Draw, ImageSet, ImageShape } from './augmentation.ts';
import { colour } from './colour.ts';
import { crop } from './crop.ts';
import { erase } from './erase.ts';
import { mixCaption } from './mix.ts';
import { policy } from './policy.ts';
import { warp } from './warp.ts';

export const AUGMENTATIONS: readonly Augmentation[] = [warp, crop, policy, colour, erase];

/** Those that the options ask for. Throws E_USAGE where they are not possible for images of this shape. */
export function activeAugmentations(options: AugmentOptions | undefined, shape: ImageShape): readonly Augmentation[] {
  if (!options) return [];
  for (const augmentation of AUGMENTATIONS) {
    const problem = augmentation.problem?.(options, shape);
    if (problem) throw new HybridError('E_USAGE', `the augmentation asks for ${problem}`, 'Change the options of the augmentation.');
  }
  return AUGMENTATIONS.filter((augmentation) => augmentation.active(options));
}

/** All that is done to images, in the order in which it is, for a caption; empty where nothing is. */
export const augmentationCaption = (options: AugmentOptions): string =>
  [
    ...AUGMENTATIONS.filter((augmentation) => augmentation.active(options)).map((augmentation) => augmentation.caption(options)),
    ...(options.mix && options.mix.probability > 0 ? [mixCaption(options.mix)] : []),
  ].join(', ');

/** Whether the options need the mean colour of the dataset. */
export const needsMean = (options: AugmentOptions | undefined): boolean => options?.padding === 'mean' || options?.erase?.fill === 'mean';

/** The random words of one sample in one epoch. */
export function drawsOf(seed: bigint, epoch: number, sample: number): Draw {
  const key = philoxKey(seed);
  const words = new Uint32Array(4);
  return (purpose, block, other = epoch) => {
    philox4x32(key, [sample, other, purpose, block], words);
    return words;
  };
}

/** One image through all augmentations in plain loops: what the kernels are held to. */
export function augmentReference(
  image: Uint8Array,
  options: AugmentOptions | undefined,
  set: ImageSet,
  { seed, epoch, sample }: { readonly seed: bigint; readonly epoch: number; readonly sample: number },
): Uint8Array {
  const draw = drawsOf(seed, epoch, sample);
  return activeAugmentations(options, set.shape).reduce(
    (now, augmentation) => augmentation.reference(now, draw, options as AugmentOptions, set, epoch),
    image,
  );
}
