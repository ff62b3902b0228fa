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

/** What figures are drawn from. */
export interface FigureSources {
  readonly model: Model;
  /** Parameters and moving statistics by name. */
  readonly weights: ReadonlyMap<string, Float32Array>;
  readonly device: Device;
  readonly train: Dataset;
  readonly test: Dataset | null;
  /** In place of test images, where there are none. Neither: no confusion matrix and no misclassified images. */
  readonly validation?: Dataset | null;
  /** How training batches are made. */
  readonly augment: AugmentOptions;
  readonly shuffle: boolean;
  readonly seed: bigint;
  readonly batch: number;
  /** Absent: no curves. */
  readonly record?: RunRecord;
}

/** Which layers and images figures show. */
export interface FigureOptions {
  /** The first convolution, the patch embedding, by default: of the weights and of the feature maps. */
  readonly layer?: string;
  /** Which depthwise layer, from 1; the middle one by default. */
  readonly block?: number | 'all';
  /** How many images are shown at most; by default what fits well. */
  readonly images?: number;
  /** Whose feature maps: index of a test image, or of what stands in for them, 0 by default. */
  readonly image?: number;
  /** Only so many test images are looked at, of every class its share; all by default. */
  readonly testLimit?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** A figure that cannot be drawn from these sources, and why. */
export interface Skipped {
  readonly name: FigureName;
  readonly reason: string;
}
