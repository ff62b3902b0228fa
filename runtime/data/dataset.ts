// What a dataset is. Embedders may implement it.

export interface Dataset {
  /** For people and for the resume check, such as `cifar10 (4,653 of 45,000 training images)`. */
  readonly name: string;
  readonly size: number;
  /** [height, width, channels] */
  readonly shape: readonly [number, number, number];
  readonly classes: readonly string[];
  /** Class of each sample. */
  readonly labels: Uint8Array | Int32Array;
  /** Copies the images at `indices` into `out`, one after the other, as NHWC bytes. */
  read(indices: ArrayLike<number>, out: Uint8Array): void;
}

/** Training and test part as they come, before the validation split. */
export interface DataSource {
  readonly train: Dataset;
  readonly test: Dataset | null;
}

/** A part of a dataset: the samples at `indices`, in that order. `samples[i]` keeps the index in the whole set: it keys the random draws. */
export interface Subset extends Dataset {
  readonly samples: Int32Array;
}
