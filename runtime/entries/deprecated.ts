// Names that the root entry had before there were others. They stay for one version. Values come from the files that have them, and not from the
// entries: nothing else of these is loaded with the root.

export {
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  examineMachine,
} from '../../app/doctor.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  importRun,
} from '../../app/import-run.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  presetFor,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  RECIPES,
} from '../../app/presets.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  PRETRAINED,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  pretrainedPath,
} from '../../app/pretrained.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  EventFile,
} from '../../app/report/event-file.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  FIGURES,
} from '../../app/report/figure-sources.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  drawFigures,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  isSkipped,
} from '../../app/report/figures.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  LiveReport,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  REPORT_FILE,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  writeReport,
} from '../../app/report/live-report.ts';
export {
  /** @deprecated No part of the API any more. */
  asObject,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  RunRecord,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  thinned,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  timeShares,
} from '../../app/report/record.ts';
export {
  /** @deprecated Import `FIGURE_FORMATS` from `@hybrid-train/hybrid/runs`. */
  FORMATS,
  /** @deprecated Import `renderFigure` from `@hybrid-train/hybrid/runs`. */
  render,
} from '../../app/report/render.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  describeEnvironment,
} from '../../app/run/environment.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  checkRunName,
} from '../../app/run/run-name.ts';
export {
  /** @deprecated No part of the API any more. */
  checkGraph,
} from '../../app/saved-weights.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  convertData,
} from '../../app/sources/convert.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  describeDataset,
} from '../../app/sources/describe.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  decodeImage,
} from '../../app/sources/image-file.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  IMAGE_ENDINGS,
} from '../../app/sources/image-formats.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  DATA_NAMES,
  /** @deprecated No part of the API any more. */
  userCacheDir,
} from '../../app/sources/place.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  previewPicture,
} from '../../app/sources/preview.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  locateData,
} from '../../app/sources/source.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  verifyData,
} from '../../app/sources/verify.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  ChromeTrace,
} from '../base/chrome-trace.ts';
export {
  /** @deprecated No part of the API any more. */
  copyBytes,
} from '../base/copy-bytes.ts';
export {
  /** @deprecated No part of the API any more. */
  abortError,
  /** @deprecated No part of the API any more. */
  EXIT_STATUS,
  /** @deprecated No part of the API any more. */
  nearest,
} from '../base/errors.ts';
export {
  /** @deprecated No part of the API any more. */
  diskError,
  /** @deprecated No part of the API any more. */
  nodeFiles,
  /** @deprecated No part of the API any more. */
  writeAtomically,
} from '../base/files.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  differentiate,
} from '../compile/autodiff.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  calibrationGraph,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  compileGraph,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  trainingGraph,
} from '../compile/compile.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  FUSION_RULES,
} from '../compile/fuse.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  formatSelfTest,
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  selfTest,
} from '../compile/self-test.ts';
export {
  /** @deprecated No part of the API any more. */
  PRECISIONS,
} from '../contract/compile-options.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  GRADIENTS,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  STATISTICS,
} from '../contract/store.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  AUGMENT_NAMES,
} from '../data/augment/names.ts';
export {
  /** @deprecated No part of the API any more. */
  ImageKernels,
  /** @deprecated No part of the API any more. */
  kernelCalls,
  /** @deprecated No part of the API any more. */
  loadDataKernels,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  normalization,
} from '../data/kernels.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  DataPipeline,
} from '../data/pipeline.ts';
export {
  /** @deprecated Import `splitDataset` from `@hybrid-train/hybrid/data`. */
  split,
} from '../data/split.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  syntheticSource,
} from '../data/synthetic.ts';
export {
  /** @deprecated No part of the API any more. */
  DEVICES,
} from '../devices.ts';
export {
  /** @deprecated Import `singleRank` from `@hybrid-train/hybrid/distributed`. */
  solo,
} from '../distributed/communicator.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/distributed`. */
  distribute,
} from '../distributed/distribute.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/distributed`. */
  openMpi,
} from '../distributed/mpi.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/formats`. */
  readNpy,
  /** @deprecated Import it from `@hybrid-train/hybrid/formats`. */
  readNpz,
  /** @deprecated Import it from `@hybrid-train/hybrid/formats`. */
  writeNpy,
  /** @deprecated Import it from `@hybrid-train/hybrid/formats`. */
  writeNpz,
} from '../formats/npz.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/formats`. */
  readSafetensors,
  /** @deprecated Import it from `@hybrid-train/hybrid/formats`. */
  writeSafetensors,
} from '../formats/safetensors.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  estimate,
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  inspectModel,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  nodeCost,
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  STAGES,
} from '../inspect.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/formats`. */
  EXPORT_FORMATS,
} from '../interop/export.ts';
export {
  /** @deprecated No part of the API any more. */
  numberedClasses,
  /** @deprecated No part of the API any more. */
  optimizerVariables,
} from '../interop/trained-model.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  GraphBuilder,
} from '../ir/graph.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  printGraph,
} from '../ir/print.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  graphDigest,
} from '../ir/serialize.ts';
export {
  /** @deprecated Import `verifyGraph` from `@hybrid-train/hybrid/graph`. */
  verify,
} from '../ir/verify.ts';
export {
  /** @deprecated No part of the API any more. */
  architectureName,
} from '../model/architectures.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  graphModel,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  ModelBuilder,
} from '../model/graph-model.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/layers`. */
  initialize,
} from '../model/init.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  formatBytes,
} from '../model/summary.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  ops,
} from '../ops/index.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  trainingGraphs,
} from '../train/graphs.ts';
export {
  /** @deprecated No part of the API any more. */
  shareCheckpoint,
  /** @deprecated Import it from `@hybrid-train/hybrid/distributed`. */
  trainInGroup,
} from '../train/group.ts';
export {
  /** @deprecated No part of the API any more. */
  completeProgress,
  /** @deprecated No part of the API any more. */
  RESUME_SETTINGS,
  /** @deprecated No part of the API any more. */
  readProgress,
} from '../train/progress.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  SCHEDULES,
} from '../train/schedule.ts';
export type {
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  CifarSet,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  ConvertOptions,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  CrewStats,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  DataNotice,
  /** @deprecated Import `DataParts` from `@hybrid-train/hybrid/data`. */
  DataParts as Parts,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  DataPlace,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  DataProgress,
  /** @deprecated Import `DatasetDescription` from `@hybrid-train/hybrid/data`. */
  DatasetDescription as Description,
  /** @deprecated Import `DataVerification` from `@hybrid-train/hybrid/data`. */
  DataVerification as Verification,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  DecodeOptions,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  Epoch,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  EpochOptions,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  EraseOptions,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  FeedOptions,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  ImageReader,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  ImageShape,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  ImageSource,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  LoadedBatch,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  Loader,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  MemoryDatasetOptions,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  MixOptions,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  ModuleImages,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  Normalization,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  OpenDataOptions,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  OpenReader,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  Picture,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  PipelineOptions,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  PreviewOptions,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  ReadAllOptions,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  SharedImages,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  Split,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  Subset,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  SyntheticOptions,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  VerifiedFile,
} from './data.ts';
export type {
  /** @deprecated Import it from `@hybrid-train/hybrid/distributed`. */
  Communicator,
  /** @deprecated Import it from `@hybrid-train/hybrid/distributed`. */
  Distributed,
  /** @deprecated Import it from `@hybrid-train/hybrid/distributed`. */
  DistributeOptions,
  /** @deprecated Import it from `@hybrid-train/hybrid/distributed`. */
  GroupTrainOptions,
  /** @deprecated Import it from `@hybrid-train/hybrid/distributed`. */
  MpiOptions,
} from './distributed.ts';
export type {
  /** @deprecated Import it from `@hybrid-train/hybrid/formats`. */
  ExportFormat,
  /** @deprecated Import it from `@hybrid-train/hybrid/formats`. */
  ExportOptions,
  /** @deprecated Import it from `@hybrid-train/hybrid/formats`. */
  FileTensor,
  /** @deprecated Import it from `@hybrid-train/hybrid/formats`. */
  NpyArray,
  /** @deprecated Import it from `@hybrid-train/hybrid/formats`. */
  NpyOptions,
  /** @deprecated Import it from `@hybrid-train/hybrid/formats`. */
  SafetensorsFile,
} from './formats.ts';
export type {
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  Attrs,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  Batch,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  BatchMetrics,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  Bounds,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  CompileOptions,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  Cost,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  DType,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  Estimate,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  Exchange,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  Executable,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  FusionRule,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  Graph,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  GraphModel,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  GraphModelOptions,
  /** @deprecated Import `GraphNode` from `@hybrid-train/hybrid/graph`. */
  GraphNode as Node,
  /** @deprecated Import `GraphValue` from `@hybrid-train/hybrid/graph`. */
  GraphValue as Value,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  Hyperparameters,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  KernelTime,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  Mode,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  ModelGraphs,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  OpName,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  Phase,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  ReferenceTensor,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  RunOptions,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  StateEntry,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  StateKind,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  StepScalars,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  TensorSpec,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  Update,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  ValueId,
} from './graph.ts';
export type {
  /** @deprecated No part of the API any more. */
  CompleteTrainOptions,
  /** @deprecated No part of the API any more. */
  FileStat,
  /** @deprecated No part of the API any more. */
  Files,
  /** @deprecated No part of the API any more. */
  ImageKernelsOptions,
  /** @deprecated No part of the API any more. */
  KernelCall,
  /** @deprecated No part of the API any more. */
  OpenFile,
  /** @deprecated No part of the API any more. */
  OptimizerSettings,
  /** @deprecated No part of the API any more. */
  RunProgress,
  /** @deprecated No part of the API any more. */
  SavedWeights,
  /** @deprecated No part of the API any more. */
  SteadyOptions,
} from './internal.ts';
export type {
  /** @deprecated Import it from `@hybrid-train/hybrid/layers`. */
  ActivationName,
  /** @deprecated Import it from `@hybrid-train/hybrid/layers`. */
  Layer,
  /** @deprecated Import it from `@hybrid-train/hybrid/layers`. */
  LayerConfig,
  /** @deprecated Import it from `@hybrid-train/hybrid/layers`. */
  LayerType,
  /** @deprecated Import it from `@hybrid-train/hybrid/layers`. */
  ModelConfig,
  /** @deprecated Import it from `@hybrid-train/hybrid/layers`. */
  Shape,
  /** @deprecated Import it from `@hybrid-train/hybrid/layers`. */
  VariableInfo,
} from './layers.ts';
export type {
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  CheckpointKind,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  CreateRunOptions,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  EndReason,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  Figure,
  /** @deprecated Import `FigureFormat` from `@hybrid-train/hybrid/runs`. */
  FigureFormat as Format,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  FigureName,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  FigureOptions,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  FigureSources,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  ImportRunOptions,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  LiveReportOptions,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  NewestCheckpoint,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  Preset,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  PretrainedName,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  Recipe,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  ReportOptions,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  RunConfig,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  SampleLoss,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  ScheduleName,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  ScheduleOptions,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  Skipped,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  TimeShares,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  TracePoint,
} from './runs.ts';
export type {
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  AdapterReport,
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  InspectOptions,
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  Machine,
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  MachineReport,
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  ParameterCount,
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  SelfTestResult,
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  Stage,
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  Summary,
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  SummaryRow,
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  Trace,
} from './tools.ts';
