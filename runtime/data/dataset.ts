// What a dataset is, and how the workers of the data pipeline get at its images. Embedders may implement `Dataset`; `read` is
// all that it takes. A set that says where its `images` are is read by the workers, and the thread that trains is left alone.

import { invariant } from '../base/errors.ts';

/**
 * Images with a class each. Embedders may implement it: docs/library.md.
 *
 * @category Data
 */
export interface Dataset {
  /** For people and for the resume check, such as `cifar10 (4,653 of 45,000 training images)`. */
  readonly name: string;
  readonly size: number;
  /** [height, width, channels] */
  readonly shape: readonly [number, number, number];
  readonly classes: readonly string[];
  /** Class of each sample. */
  readonly labels: Uint8Array | Int32Array;
  /**
   * Copies the images at `indices` into `out`, one after the other, as NHWC bytes: at once, or by the time the promise resolves.
   * Called on the thread that asks for batches, one call at a time and only where `images` is absent.
   */
  read(indices: ArrayLike<number>, out: Uint8Array): void | Promise<void>;
  /** Where workers find the images. Absent: `read` is asked. */
  readonly images?: ImageSource;
  /** What people call the image at `index`, such as the path of its file: mistakes are told by it. Absent: by their number. */
  fileOf?(index: number): string | undefined;
}

/** What lies in shared memory. (`Uint8Array<SharedArrayBuffer>` cannot be read by TypeScript before 5.7.) */
export interface Shared {
  readonly buffer: SharedArrayBuffer;
}

/** Where workers find the images of a dataset. */
export type ImageSource = (SharedImages | ModuleImages) & {
  /** Which image each sample is; absent: sample i is image i. */
  readonly places?: Int32Array;
};

/** All images in shared memory: image i is at `offset + i · stride`. */
export interface SharedImages {
  readonly kind: 'shared';
  readonly bytes: Uint8Array & Shared;
  readonly offset: number;
  readonly stride: number;
  /** `planar`: channel by channel (CHW), which the workers turn into NHWC. */
  readonly layout: 'interleaved' | 'planar';
}

/** Images that workers read or decode themselves, with code of the dataset: for sets larger than memory and for files to decode. */
export interface ModuleImages {
  readonly kind: 'module';
  /** Address of an ES module (a `file:` URL) that exports `openReader`; each worker imports it once. */
  readonly module: string;
  /** What `openReader` is called with. Copied to each worker: plain data, shared buffers. */
  readonly data: unknown;
  /** Added to the index of each image: where a part of a set begins. */
  readonly first: number;
}

/** What a module of `ModuleImages` exports by the name `openReader`. */
export type OpenReader = (data: unknown) => ImageReader | Promise<ImageReader>;

/** Reads images inside a worker, which makes one call at a time. The same index gives the same bytes whenever it is asked for. */
export interface ImageReader {
  /** Writes the images at `indices` to `out`, one after the other, as NHWC bytes. */
  read(indices: Int32Array, out: Uint8Array): void | Promise<void>;
}

/** The parts of a set, by the names that files and folders give them. */
export const PARTS = ['train', 'validation', 'test'] as const;
export type PartName = (typeof PARTS)[number];

/** What comes after the name of a set in the name of one of its parts. */
export const partTitle = (part: PartName): string => (part === 'train' ? 'training set' : `${part} set`);

/**
 * The parts of a set as they come: before the validation images are split off, unless the set has some of its own.
 *
 * @category Data
 */
export interface DataSource {
  readonly train: Dataset;
  readonly validation?: Dataset | null;
  readonly test: Dataset | null;
  /** Whether the order of the images has nothing to do with their classes, so that the first ones are a fair part. False by default. */
  readonly mixed?: boolean;
  /** Images that were left out because they cannot be decoded. */
  readonly skipped?: readonly SkippedImage[];
}

/** An image that was left out, and why. */
export interface SkippedImage {
  /** What people call it, such as its path in the folder. */
  readonly path: string;
  readonly reason: string;
}

/** A part of a dataset: the samples at `indices`, in that order. `samples[i]` keeps the index in the whole set: it keys the random draws. */
export interface Subset extends Dataset {
  readonly samples: Int32Array;
}

/** A dataset that is another one but for some things: what `changes` does not say is asked there. */
export function changed(dataset: Dataset, changes: Partial<Subset>): Dataset {
  const { name, size, shape, classes, labels, images } = dataset;
  return {
    ...{ name, size, shape, classes, labels, images },
    read: (indices, out) => dataset.read(indices, out),
    fileOf: (index) => dataset.fileOf?.(index),
    ...('samples' in dataset && { samples: dataset.samples }),
    ...changes,
  };
}

/** Where the images of a part are that begins at sample `first` of the whole. */
export function imagesFrom(images: ImageSource | undefined, first: number): ImageSource | undefined {
  if (images?.places) return { ...images, places: images.places.subarray(first) };
  if (images?.kind === 'shared') return { ...images, offset: images.offset + first * images.stride };
  return images && { ...images, first: images.first + first };
}

/** Where the images of the samples at `positions` of the whole are. */
export const imagesAt = (images: ImageSource | undefined, positions: Int32Array): ImageSource | undefined =>
  images && { ...images, places: positions.map((position) => images.places?.[position] ?? position) };

/** The datasets of a set's parts together; there must be training images. */
export function sourceOf(datasets: ReadonlyMap<PartName, Dataset>, mixed = false): DataSource {
  const train = datasets.get('train');
  invariant(train !== undefined, 'a set without training images');
  return { train, validation: datasets.get('validation') ?? null, test: datasets.get('test') ?? null, mixed };
}
