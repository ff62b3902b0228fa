// What an augmentation is: a kernel of asm/data, which does the work, and one definition with its options, their names, its arguments and the same
// thing in plain loops, to which the kernel is held byte for byte. The table of all is augmentations.ts.

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

/** A name by which people ask for it (`rotate=0.1`), with the value that it has where none is given and a line of help. */
export interface AugmentName<O> {
  readonly value: number;
  readonly help: string;
  /** The options that the name with this value stands for. */
  options(value: number): Partial<O>;
}

/** What every augmentation says of itself; `O` are its options. */
interface AugmentationBase<O extends object> {
  readonly names: Readonly<Record<string, AugmentName<O>>>;
  /** Third word of the counter of its draws: a number that nothing else has (runtime/base/philox.ts). */
  readonly purpose: number;
  /** Whether the options ask for it. */
  active(options: O): boolean;
  /** What it does to images, for a caption; where the options ask for it. */
  caption(options: O): string;
  /** What is wrong with the options, for people; undefined: nothing. */
  problem?(options: O, shape: ImageShape): string | undefined;
}

/** Of one image after the other. */
export interface Augmentation<O extends object = object> extends AugmentationBase<O> {
  /** Its kernel: `asm/data/<kernel>.ts` exports it. */
  readonly kernel: string;
  /** Whether the kernel changes images where they are. */
  readonly inPlace: boolean;
  /** Names of the kernel's own arguments, in order. A list of which there is one value a channel is called `colour[]`, and comes last. */
  readonly words: readonly string[];
  /** Their values. */
  args(options: O, set: ImageSet): Readonly<Record<string, number | readonly number[]>>;
  /** The augmented image, in plain loops; `image` stays as it is. */
  reference(image: Uint8Array, draw: Draw, options: O, set: ImageSet, epoch: number): Uint8Array;
}

/** Of an image and another one of the set, after all else. */
export interface PairAugmentation<O extends object = object> extends AugmentationBase<O> {
  readonly pairs: true;
}

/** A definition with the types of its options. */
export const defineAugmentation = <O extends object>(definition: Augmentation<O>): Augmentation<O> => definition;

/** A share as people read it. */
export const percent = (share: number): string => `${Number((100 * share).toFixed(1))} %`;

/** A random word as a whole number from 0 to below `count`, which is at most 2²¹: ⌊word · count / 2³²⌋. */
export const below = (word: number, count: number): number => Math.floor((word * count) / 2 ** 32);
