/**
 * Sets of images in a page, and the pipeline that makes batches of them: what data.ts has, less what is about files and folders.
 *
 * @module Data in a page
 */

export type { DecodeOptions } from '../../app/sources/decode-limits.ts';
export {
  type DecodeFilesOptions,
  decodeFiles,
  type LabelledFilesOptions,
  type LabelledImage,
  labelledFiles,
} from '../../app/sources/decoded-files.ts';
export { decodePicture } from '../../app/sources/picture.browser.ts';
export type { AugmentName, ImageShape } from '../data/augment/augmentation.ts';
export type { ColourOptions } from '../data/augment/colour.ts';
export type { CropOptions } from '../data/augment/crop.ts';
export type { EraseOptions, ErasingOptions } from '../data/augment/erase.ts';
export type { MixingOptions, MixOptions } from '../data/augment/mix.ts';
export { AUGMENT_NAMES } from '../data/augment/names.ts';
export type { PolicyOptions } from '../data/augment/policy.ts';
export type { WarpOptions } from '../data/augment/warp.ts';
export { hasNames, matchClasses, type NamedClasses, relabelled } from '../data/classes.ts';
export type { ImageReader, ImageSource, ModuleImages, OpenReader, Shared, SharedImages, SkippedImage, Subset } from '../data/dataset.ts';
export type { Epoch, EpochOptions, LoadedBatch } from '../data/epoch.ts';
export type { FeedOptions, Sampling } from '../data/feed.ts';
export { type Normalization, normalization } from '../data/kernels.ts';
export type { Loader } from '../data/loader.ts';
export type { MemoryDatasetOptions } from '../data/memory-dataset.ts';
export { DataPipeline, type PipelineOptions } from '../data/pipeline.ts';
export type { CrewStats } from '../data/pool.ts';
export type { Interpolation, Preprocessing } from '../data/preprocessing.ts';
export { type Parts as DataParts, type PartsOptions, type Selection, type Split, split as splitDataset, splitOf } from '../data/split.ts';
export { type SyntheticOptions, syntheticSource } from '../data/synthetic.ts';
