// The interface of the place where the features of a frozen backbone are kept from run to run. The folder in the cache is in
// app/run/feature-store.ts, what they are computed for in features.ts.

import type { ImageSource } from '../data/dataset.ts';

/** The features of a run, part by part, as images of 1 × 1 × 4n bytes: n float32 numbers each. */
export interface KeptFeatures {
  /** Of the training images in all their forms: that of form v of image i of n is v · n + i. */
  readonly train: ImageSource;
  readonly validation?: ImageSource;
}

/** Where features are kept from run to run. Embedders may implement it. What it throws with E_DISK leaves a run without it. */
export interface FeatureStore {
  /** Bytes of features that a run may have in memory. */
  readonly memoryBudget: number;
  /** Those that were kept under a key, whole and unchanged; null: there are none. */
  load(key: string, signal?: AbortSignal): Promise<KeptFeatures | null>;
  /** Keeps features, `count` of each part with so many bytes each, which come in the order of the parts, in pieces of any size. */
  save(key: string, what: FeatureSizes, pieces: () => AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void>;
}

/** What a store is told before the features come. */
export interface FeatureSizes {
  readonly bytes: number;
  /** All forms of the training images. */
  readonly train: number;
  /** 0: there are none. */
  readonly validation: number;
}
