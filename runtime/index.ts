// The public API: what embedders import, and all that the command line uses. Nothing here runs at import; devices are
// loaded when they are opened.

export { examineMachine, type MachineReport } from '../app/doctor.ts';
export { type ImportRunOptions, importRun } from '../app/import-run.ts';
export { type Preset, presetFor, RECIPES, type Recipe } from '../app/presets.ts';
export { PRETRAINED, type PretrainedName, pretrainedPath } from '../app/pretrained.ts';
export { EventFile } from '../app/report/event-file.ts';
export { FIGURES, type FigureName, type FigureOptions, type FigureSources, type Skipped } from '../app/report/figure-sources.ts';
export { drawFigures, isSkipped } from '../app/report/figures.ts';
export type { ReportOptions } from '../app/report/html.ts';
export { LiveReport, type LiveReportOptions, REPORT_FILE, writeReport } from '../app/report/live-report.ts';
export { asObject, RunRecord, type TimeShares, type TracePoint, thinned, timeShares } from '../app/report/record.ts';
export { FORMATS, type Format, render } from '../app/report/render.ts';
export type { Figure } from '../app/report/svg.ts';
export { describeEnvironment } from '../app/run/environment.ts';
export { type CreateRunOptions, checkRunName, type NewestCheckpoint, type RunConfig, RunFolder } from '../app/run/run-folder.ts';
export { checkGraph, readWeights, type SavedWeights, weightsFor } from '../app/saved-weights.ts';
export type { CifarSet } from '../app/sources/cifar.ts';
export { type ConvertOptions, convertData } from '../app/sources/convert.ts';
export { type Description, describeDataset, type ReadAllOptions } from '../app/sources/describe.ts';
export { type DecodeOptions, decodeImage, IMAGE_ENDINGS } from '../app/sources/image-file.ts';
export { type Picture, type PreviewOptions, previewPicture } from '../app/sources/preview.ts';
export {
  DATA_NAMES,
  type DataNotice,
  type DataPlace,
  type DataProgress,
  locateData,
  type OpenDataOptions,
  openData,
  userCacheDir,
} from '../app/sources/source.ts';
export { type Verification, type VerifiedFile, verifyData } from '../app/sources/verify.ts';
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
export { hasNames, matchClasses, type NamedClasses, relabelled } from './data/classes.ts';
export type { DataSource, Dataset, ImageReader, ImageSource, ModuleImages, OpenReader, SharedImages, Subset } from './data/dataset.ts';
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
export { type Parts, type PartsOptions, partsOf, type Selection, type Split, split, splitOf } from './data/split.ts';
export { type SyntheticOptions, syntheticSource } from './data/synthetic.ts';
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
  type ResidentImages,
  type RunOptions,
  STATISTICS,
  type StateEntry,
  type Update,
} from './device.ts';
export { DEVICES, type DeviceName, type DeviceOptions, openDevice } from './devices.ts';
export { type Communicator, solo } from './distributed/communicator.ts';
export { type Distributed, type DistributeOptions, distribute } from './distributed/distribute.ts';
export { type MpiOptions, openMpi } from './distributed/mpi.ts';
export { type NpyArray, type NpyOptions, readNpy, readNpz, writeNpy, writeNpz } from './formats/npz.ts';
export { type FileTensor, readSafetensors, type SafetensorsFile, writeSafetensors } from './formats/safetensors.ts';
export { type Estimate, estimate, type InspectOptions, inspectModel, nodeCost, STAGES, type Stage } from './inspect.ts';
export { EXPORT_FORMATS, type ExportFormat, type ExportOptions, exportModel } from './interop/export.ts';
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
export type { Cost, OpDefinition, ReferenceIO, ReferenceTensor } from './ir/op.ts';
export { printGraph } from './ir/print.ts';
export { graphDigest } from './ir/serialize.ts';
export type { StepScalars } from './ir/step.ts';
export { verify } from './ir/verify.ts';
export type { ActivationName } from './layers/activations.ts';
export { input, type LayerFunction, LayerTensor, layers } from './layers/functional.ts';
export type { Layer, LayerConfig, LayerOptions, LayerType } from './layers/index.ts';
export type { Initializer } from './layers/initializers.ts';
export type { Shape, VariableInfo } from './layers/layer.ts';
export type { Mode } from './layers/layer-builder.ts';
export { ARCHITECTURES, type ArchitectureName, architectureName, buildModel, type ModelOptions } from './model/architectures.ts';
export { type GraphModelOptions, graphModel, ModelBuilder } from './model/graph-model.ts';
export { initialize } from './model/init.ts';

export {
  type FunctionalModelOptions,
  functionalModel,
  type SequentialModelOptions,
  sequentialModel,
} from './model/layered-model.ts';
export type { GraphModel, Model, ModelConfig, NetworkLayer, TrainableModel } from './model/model.ts';
export { formatBytes, formatSummary, type ParameterCount, type Summary, type SummaryRow, summarize } from './model/summary.ts';
export { type OpName, ops } from './ops/index.ts';
export type { Checkpoint, CheckpointKind, CheckpointStore } from './train/checkpoint.ts';
export { type EvaluateOptions, type Evaluation, evaluate, type SampleLoss } from './train/evaluate.ts';
export type {
  CompleteTrainOptions,
  EndReason,
  Metrics,
  TrainEvent,
  TrainInputs,
  TrainOptions,
  TrainResult,
  TrainRun,
} from './train/events.ts';
export { train } from './train/fit.ts';
export { trainingGraphs } from './train/graphs.ts';
export { type GroupTrainOptions, shareCheckpoint, trainInGroup } from './train/group.ts';
export { type PredictOptions, predict } from './train/predict.ts';
export { completeProgress, RESUME_SETTINGS, type RunProgress, readProgress, type SteadyOptions } from './train/resume.ts';
export { SCHEDULES, type ScheduleName, type ScheduleOptions } from './train/schedule.ts';
export type { CheckpointInterval, PlateauOptions, TrainSettings } from './train/settings.ts';
