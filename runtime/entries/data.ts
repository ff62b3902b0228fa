/**
 * Sets of images, and the pipeline that makes batches of them: `@hybrid-train/hybrid/data`.
 *
 * @module Data
 */

export type { CifarSet } from '../../app/sources/cifar.ts';
export { type ConcernedParts, classConcerns, duplicateConcerns } from '../../app/sources/concerns.ts';
export { type ConvertOptions, convertData } from '../../app/sources/convert.ts';
export type { DecodeOptions } from '../../app/sources/decode-limits.ts';
export { type Description as DatasetDescription, describeDataset, type ReadAllOptions } from '../../app/sources/describe.ts';
export { decodeImage } from '../../app/sources/image-file.ts';
export { IMAGE_ENDINGS } from '../../app/sources/image-formats.ts';
export { DATA_NAMES, type DataNotice, type DataPlace, type DataProgress, type OpenDataOptions } from '../../app/sources/place.ts';
export { type Picture, type PreviewOptions, previewPicture } from '../../app/sources/preview.ts';
export type { Shards } from '../../app/sources/shards.ts';
export { locateData } from '../../app/sources/source.ts';
export { type Verification as DataVerification, type VerifiedFile, verifyData } from '../../app/sources/verify.ts';
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
