// All augmentations, in the order in which they are applied, and the options of all. To add one: its definition in a file here and its place in
// this one, and a kernel in asm/data (abi.ts there says how). Names, help, checks, captions and tests follow; tests hold every kernel to its plain loops.

import { HybridError } from '../../base/errors.ts';
import { philox4x32, philoxKey } from '../../base/philox.ts';
import type { Augmentation, Draw, ImageSet, ImageShape, PairAugmentation } from './augmentation.ts';
import { type ColourOptions, colour } from './colour.ts';
import { type CropOptions, crop } from './crop.ts';
import { type ErasingOptions, erase } from './erase.ts';
import { grayscale } from './grayscale.ts';
import { type MixingOptions, mix } from './mix.ts';
import { type PolicyOptions, policy } from './policy.ts';
import { type WarpOptions, warp } from './warp.ts';

/**
 * What is done to training images, anew in each epoch. Draws follow from seed, epoch and sample alone.
 *
 * @category Data
 */
export interface AugmentOptions extends WarpOptions, CropOptions, PolicyOptions, ColourOptions, ErasingOptions, MixingOptions {
  /** Share of the images that become grey, 0 to 1; 0 by default. */
  readonly grayscale?: number;
}

type Definition = Augmentation<AugmentOptions> | PairAugmentation<AugmentOptions>;

export const AUGMENTATIONS: readonly Definition[] = [warp, crop, policy, colour, grayscale, erase, mix];

const asked = (options: AugmentOptions | undefined): readonly Definition[] =>
  options ? AUGMENTATIONS.filter((augmentation) => augmentation.active(options)) : [];

/** Throws E_USAGE where the options are not possible for images of this shape. */
export function checkAugment(options: AugmentOptions | undefined, shape: ImageShape): void {
  if (!options) return;
  for (const augmentation of AUGMENTATIONS) {
    const problem = augmentation.problem?.(options, shape);
    if (problem) throw new HybridError('E_USAGE', `the augmentation asks for ${problem}`, 'Change the options of the augmentation.');
  }
}

/** Those of one image that the options ask for. Throws E_USAGE where they are not possible for images of this shape. */
export function activeAugmentations(options: AugmentOptions | undefined, shape: ImageShape): readonly Augmentation<AugmentOptions>[] {
  checkAugment(options, shape);
  return asked(options).flatMap((augmentation) => ('pairs' in augmentation ? [] : [augmentation]));
}

/** All that is done to images, in the order in which it is, for a caption; empty where nothing is. */
export const augmentationCaption = (options: AugmentOptions): string =>
  asked(options)
    .map((augmentation) => augmentation.caption(options))
    .join(', ');

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
