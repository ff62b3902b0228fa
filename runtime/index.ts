// The public API: what embedders import, and all that the command line uses. Nothing here runs at import; devices are
// loaded when they are opened.

export type { AdapterReport } from '../gpu/host/adapter-report.ts';
export { ChromeTrace } from './base/chrome-trace.ts';
export { copyBytes } from './base/copy-bytes.ts';
export { abortError, type ErrorCode, EXIT_STATUS, HybridError, isAbortError, nearest } from './base/errors.ts';
export { diskError, type FileStat, type Files, nodeFiles, type OpenFile, writeAtomically } from './base/files.ts';
export type { Machine } from './base/machine.ts';
export type { Trace } from './base/trace.ts';
export { differentiate } from './compile/autodiff.ts';
export { calibrationGraph, compileGraph, trainingGraph } from './compile/compile.ts';
export { FUSION_RULES, type FusionRule } from './compile/fuse.ts';
export { formatSelfTest, type SelfTestResult, selfTest } from './compile/self-test.ts';
export type { AugmentOptions, EraseOptions, ImageShape, MixOptions } from './data/augment/augmentation.ts';
export { AUGMENT_NAMES, augmentOptions } from './data/augment/names.ts';
export type { CifarSet } from './data/cifar.ts';
export { type ConvertOptions, convertData } from './data/convert.ts';
export type { DataSource, Dataset, ImageReader, ImageSource, ModuleImages, OpenReader, SharedImages, Subset } from './data/dataset.ts';
export { type Description, describeDataset, type ReadAllOptions } from './data/describe.ts';
export { type DecodeOptions, decodeImage, IMAGE_ENDINGS } from './data/image-file.ts';
export {
  ImageKernels,
  type ImageKernelsOptions,
  type KernelCall,
  kernelCalls,
  loadDataKernels,
  type Normalization,
  normalization,
} from './data/kernels.ts';
export {
  DataPipeline,
  type Epoch,
  type EpochOptions,
  type FeedOptions,
  type LoadedBatch,
  type Loader,
  type PipelineOptions,
} from './data/loader.ts';
export { type MemoryDatasetOptions, memoryDataset } from './data/memory-dataset.ts';
export type { CrewStats } from './data/pool.ts';
export { type Picture, type PreviewOptions, previewPicture } from './data/preview.ts';
export {
  DATA_NAMES,
  type DataNotice,
  type DataPlace,
  type DataProgress,
  locateData,
  type OpenDataOptions,
  openData,
  userCacheDir,
} from './data/source.ts';
export { type Parts, partsOf, type Split, split } from './data/split.ts';
export { type SyntheticOptions, syntheticSource } from './data/synthetic.ts';
export { type Verification, type VerifiedFile, verifyData } from './data/verify.ts';
export {
  type Batch,
  type BatchMetrics,
  type Bounds,
  type CompileOptions,
  type Device,
  type Exchange,
  type Executable,
  GRADIENTS,
  type Hyperparameters,
  type KernelTime,
  type ModelGraphs,
  PRECISIONS,
  type Precision,
  type RunOptions,
  STATISTICS,
  type StateEntry,
  type Update,
} from './device.ts';
export { DEVICES, type DeviceName, type DeviceOptions, openDevice } from './devices.ts';
export { type Communicator, solo } from './distributed/communicator.ts';
export { type Distributed, type DistributeOptions, distribute } from './distributed/distributed-device.ts';
export { type MpiOptions, openMpi } from './distributed/mpi.ts';
export { examineMachine, type MachineReport } from './doctor.ts';
export { type NpyArray, type NpyOptions, readNpy, readNpz, writeNpy, writeNpz } from './formats/npz.ts';
export { type FileTensor, readSafetensors, type SafetensorsFile, writeSafetensors } from './formats/safetensors.ts';
export { type Estimate, estimate, type InspectOptions, inspectModel, nodeCost, STAGES, type Stage } from './inspect.ts';
export { EXPORT_FORMATS, type ExportFormat, type ExportOptions, exportModel } from './interop/export.ts';
export { PRETRAINED, type PretrainedName, pretrainedPath } from './interop/pretrained.ts';
export { numberedClasses, type OptimizerSettings, optimizerVariables, type TrainedModel } from './interop/trained-model.ts';
export {
  type Attrs,
  type DType,
  type Graph,
  GraphBuilder,
  type Node,
  type Phase,
  type ShapeRule,
  type StateKind,
  type TensorSpec,
  type Value,
  type ValueId,
} from './ir/graph.ts';
export type { Cost, OpDefinition, ReferenceIO, ReferenceTensor, StepScalars } from './ir/op.ts';
export { printGraph } from './ir/print.ts';
export { graphDigest } from './ir/serialize.ts';
export { verify } from './ir/verify.ts';
export { ARCHITECTURES, type ArchitectureName, architectureName, buildModel, type ModelOptions } from './model/architectures.ts';
export { type GraphModelOptions, graphModel, type Mode, ModelBuilder } from './model/graph-model.ts';
export { initialize } from './model/init.ts';
export type { ActivationName, Layer, LayerConfig, LayerType, Padding, Shape, VariableInfo } from './model/layers.ts';
export type { GraphModel, Model, ModelConfig, TrainableModel } from './model/model.ts';
export { formatBytes, formatSummary, type ParameterCount, type Summary, type SummaryRow, summarize } from './model/summary.ts';
export { type OpName, ops } from './ops/index.ts';
export { EventFile } from './report/event-file.ts';
export {
  drawFigures,
  FIGURES,
  type FigureName,
  type FigureOptions,
  type FigureSources,
  isSkipped,
  type Skipped,
} from './report/figures.ts';
export type { ReportOptions } from './report/html.ts';
export { LiveReport, type LiveReportOptions, REPORT_FILE, writeReport } from './report/live-report.ts';
export { asObject, RunRecord, type TimeShares, type TracePoint, thinned, timeShares } from './report/record.ts';
export { FORMATS, type Format, render } from './report/render.ts';
export type { Figure } from './report/svg.ts';
export type { Checkpoint, CheckpointKind, CheckpointStore } from './train/checkpoint.ts';
export { describeEnvironment } from './train/environment.ts';
export { type EvaluateOptions, type Evaluation, evaluate, type SampleLoss } from './train/evaluate.ts';
export type {
  CompleteTrainOptions,
  EndReason,
  Metrics,
  TrainEvent,
  TrainOptions,
  TrainResult,
  TrainRun,
  TrainSettings,
} from './train/events.ts';
export { train } from './train/fit.ts';
export { trainingGraphs } from './train/graphs.ts';
export { type GroupTrainOptions, shareCheckpoint, trainInGroup } from './train/group.ts';
export { type ImportRunOptions, importRun } from './train/import-run.ts';
export { type PredictOptions, predict } from './train/predict.ts';
export { type Preset, presetFor, RECIPES, type Recipe } from './train/presets.ts';
export { completeProgress, RESUME_SETTINGS, type RunProgress, readProgress, type SteadyOptions } from './train/resume.ts';
export { type CreateRunOptions, checkRunName, type NewestCheckpoint, type RunConfig, RunFolder } from './train/run-folder.ts';
export { checkGraph, readWeights, type SavedWeights } from './train/saved-weights.ts';
export { SCHEDULES, type ScheduleName, type ScheduleOptions } from './train/schedule.ts';
