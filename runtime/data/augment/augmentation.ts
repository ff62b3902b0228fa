// What an augmentation is: a kernel of asm/data, which does the work, and here its options, its arguments and the same thing in
// plain loops, to which the kernel is held byte for byte. The table of all is augmentations.ts.

/** What is done to training images, anew in each epoch. Draws follow from seed, epoch and sample alone. */
export interface AugmentOptions {
  /** Pixels of padding on each side, from which an image of the original size is cut; 0: off. */
  readonly crop: number;
  /** Whether half of the images are mirrored left to right: anew in each epoch, or (`alternate`) each image in every other epoch. */
  readonly flip: boolean | 'alternate';
  /** What the padding is: black (the default), the image's mirror image (its edge not repeated), or the mean colour of the dataset. */
  readonly padding?: 'zero' | 'reflect' | 'mean';
  /** Random erasing; off by default. */
  readonly erase?: EraseOptions;
  /** Pixels by which images are made larger before a window of their own size is cut from them; 0 by default. */
  readonly grow?: number;
  /** Largest rotation to either side, as a share of a turn up to 0.5; 0 by default. */
  readonly rotate?: number;
  /** Largest zoom, in and out, as a share of the size; 0 by default. */
  readonly zoom?: number;
  /** Largest changes of brightness, contrast and saturation, 0 to 1; off by default. */
  readonly colour?: { readonly brightness: number; readonly contrast: number; readonly saturation: number };
  /** Some operations at random for each image, all of one magnitude (0 to 1); off by default. */
  readonly policy?: { readonly operations: number; readonly magnitude: number };
  /** Mixing with another image of the set, after all else; off by default. */
  readonly mix?: MixOptions;
}

/** Images that are mixed with another one of the set; their labels become those of the larger share. */
export interface MixOptions {
  readonly kind: 'mixup' | 'cutmix';
  /** Share of the images, 0 to 1. */
  readonly probability: number;
}

/** One rectangle of some images is painted over. */
export interface EraseOptions {
  /** Share of the images, 0 to 1. */
  readonly probability: number;
  /** Least and largest share of the image's area, 0 to 1. */
  readonly area: readonly [number, number];
  /** Largest ratio of the longer side to the shorter, from 1. */
  readonly ratio: number;
  /** Black (the default) or the mean colour of the dataset. */
  readonly fill?: 'zero' | 'mean';
}

/** [height, width, channels] */
export type ImageShape = readonly [number, number, number];

/** What the kernel and the plain loops are told besides the options. */
export interface ImageSet {
  readonly shape: ImageShape;
  /** Mean colour of the dataset, a byte a channel. All zero where the options do not ask for it. */
  readonly mean: readonly number[];
}

/** The four random words of block `block` for the present image and seed, and the present epoch or another. The array is used again by the next call. */
export type Draw = (purpose: number, block: number, epoch?: number) => Uint32Array;

export interface Augmentation {
  /** Export of asm/data/index.ts. */
  readonly kernel: string;
  /** Whether the kernel changes images where they are. */
  readonly inPlace: boolean;
  /** Whether the options ask for it. */
  active(options: AugmentOptions): boolean;
  /** What it does to images, for a caption; where the options ask for it. */
  caption(options: AugmentOptions): string;
  /** What is wrong with the options, for people; undefined: nothing. */
  problem?(options: AugmentOptions, shape: ImageShape): string | undefined;
  /** The kernel's own arguments. */
  args(options: AugmentOptions, set: ImageSet): number[];
  /** The augmented image, in plain loops; `image` stays as it is. */
  reference(image: Uint8Array, draw: Draw, options: AugmentOptions, set: ImageSet, epoch: number): Uint8Array;
}

/** A share as people read it. */
export const percent = (share: number): string => `${Number((100 * share).toFixed(1))} %`;

/** A random word as a whole number from 0 to below `count`, which is at most 2²¹: ⌊word · count / 2³²⌋. */
export const below = (word: number, count: number): number => Math.floor((word * count) / 2 ** 32);
