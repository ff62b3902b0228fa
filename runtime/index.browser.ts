/**
 * The root entry in a page: what index.ts has, less what is about files and folders, and where the package's own files are. Nothing here
 * runs at import; devices are loaded when they are opened.
 *
 * @module In a page
 */

export { type Classifier, openClassifier } from '../app/classifier.ts';
export { type ErrorCode, HybridError, isAbortError } from './base/errors.ts';
export type { Precision } from './contract/compile-options.ts';
export type { AugmentOptions } from './data/augment/augmentations.ts';
export { augmentOptions } from './data/augment/names.ts';
export type { DataSource, Dataset } from './data/dataset.ts';
export { memoryDataset } from './data/memory-dataset.ts';
export { partsOf } from './data/split.ts';
export type { Device } from './device.ts';
export type { TuneStore } from './device-settings.ts';
export { type DeviceName, type DeviceOptions, openDevice } from './devices.ts';
export { type Assets, useAssets } from './hosts/page.ts';
export { adaptModel } from './interop/adapt.ts';
export { exportModel } from './interop/export.ts';
export type { TrainedModel } from './interop/trained-model.ts';
export { ARCHITECTURES, type ArchitectureName, buildModel, type ModelOptions } from './model/architectures.ts';
export type { Model, TrainableModel } from './model/model.ts';
export { formatSummary, summarize } from './model/summary.ts';
export type { Checkpoint, CheckpointStore } from './train/checkpoint.ts';
export { type EvaluateOptions, type Evaluation, evaluate } from './train/evaluate.ts';
export type { Metrics, TrainEvent, TrainOptions, TrainResult, TrainRun } from './train/events.ts';
export { type OriginStore, originStore } from './train/origin-store.ts';
export { type PredictOptions, predict } from './train/predict.ts';
export { train } from './train/run.ts';
export type { TrainSettings } from './train/settings.ts';
