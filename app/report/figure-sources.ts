// What figures there are, and what each is drawn from: a description that the reports, their drawing and the public API share.

import type { AugmentOptions } from '../../runtime/data/augment/augmentations.ts';
import type { Dataset } from '../../runtime/data/dataset.ts';
import type { Device } from '../../runtime/device.ts';
import type { Model } from '../../runtime/model/model.ts';
import type { RunRecord } from './record.ts';

/** Names of the figures, in the order in which they are drawn. */
export const FIGURES = [
  'curves',
  'confusion',
  'misclassified',
  'samples',
  'augmented',
  'patch-embedding',
  'depthwise',
  'feature-maps',
] as const;
/** A figure of a run. */
export type FigureName = (typeof FIGURES)[number];

/** Sources of figures. */
export interface FigureSources {
  readonly model: Model;
  /** Parameters and moving statistics by name. */
  readonly weights: ReadonlyMap<string, Float32Array>;
  readonly device: Device;
  readonly train: Dataset;
  readonly test: Dataset | null;
  /** Used where there are no test images. Without either, there is no confusion matrix and there are no misclassified images. */
  readonly validation?: Dataset | null;
  /** Augmentation of training batches. */
  readonly augment: AugmentOptions;
  readonly shuffle: boolean;
  readonly seed: bigint;
  readonly batch: number;
  /** Absent: no curves. */
  readonly record?: RunRecord;
}

/** Options for `drawFigures`: layers and images to show. */
export interface FigureOptions {
  /** The first convolution, the patch embedding, by default: of the weights and of the feature maps. */
  readonly layer?: string;
  /** Which depthwise layer, from 1; the middle one by default. */
  readonly block?: number | 'all';
  /** How many images are shown at most; by default what fits well. */
  readonly images?: number;
  /** Whose feature maps: index of a test image, or of what stands in for them, 0 by default. */
  readonly image?: number;
  /** Only so many test images are looked at, in proportion to the classes; all by default. */
  readonly testLimit?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** A figure that cannot be drawn from these sources, and why. */
export interface Skipped {
  readonly name: FigureName;
  readonly reason: string;
}
