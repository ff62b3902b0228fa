// Names that the root entry had before there were others. They stay for one version.

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
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  AUGMENT_NAMES,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  convertData,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  DATA_NAMES,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  DataPipeline,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  decodeImage,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  describeDataset,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  IMAGE_ENDINGS,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  locateData,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  normalization,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  previewPicture,
  /** @deprecated Import `splitDataset` from `@hybrid-train/hybrid/data`. */
  splitDataset as split,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  syntheticSource,
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  verifyData,
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
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/distributed`. */
  distribute,
  /** @deprecated Import it from `@hybrid-train/hybrid/distributed`. */
  openMpi,
  /** @deprecated Import `singleRank` from `@hybrid-train/hybrid/distributed`. */
  singleRank as solo,
  /** @deprecated Import it from `@hybrid-train/hybrid/distributed`. */
  trainInGroup,
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
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/formats`. */
  EXPORT_FORMATS,
  /** @deprecated Import it from `@hybrid-train/hybrid/formats`. */
  readNpy,
  /** @deprecated Import it from `@hybrid-train/hybrid/formats`. */
  readNpz,
  /** @deprecated Import it from `@hybrid-train/hybrid/formats`. */
  readSafetensors,
  /** @deprecated Import it from `@hybrid-train/hybrid/formats`. */
  writeNpy,
  /** @deprecated Import it from `@hybrid-train/hybrid/formats`. */
  writeNpz,
  /** @deprecated Import it from `@hybrid-train/hybrid/formats`. */
  writeSafetensors,
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
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  calibrationGraph,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  compileGraph,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  differentiate,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  FUSION_RULES,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  GRADIENTS,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  GraphBuilder,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  graphDigest,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  graphModel,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  ModelBuilder,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  nodeCost,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  ops,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  printGraph,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  STATISTICS,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  trainingGraph,
  /** @deprecated Import it from `@hybrid-train/hybrid/graph`. */
  trainingGraphs,
  /** @deprecated Import `verifyGraph` from `@hybrid-train/hybrid/graph`. */
  verifyGraph as verify,
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
export {
  /** @deprecated No part of the API any more. */
  abortError,
  /** @deprecated No part of the API any more. */
  architectureName,
  /** @deprecated No part of the API any more. */
  asObject,
  /** @deprecated No part of the API any more. */
  checkGraph,
  /** @deprecated No part of the API any more. */
  completeProgress,
  /** @deprecated No part of the API any more. */
  copyBytes,
  /** @deprecated No part of the API any more. */
  DEVICES,
  /** @deprecated No part of the API any more. */
  diskError,
  /** @deprecated No part of the API any more. */
  EXIT_STATUS,
  /** @deprecated No part of the API any more. */
  ImageKernels,
  /** @deprecated No part of the API any more. */
  kernelCalls,
  /** @deprecated No part of the API any more. */
  loadDataKernels,
  /** @deprecated No part of the API any more. */
  nearest,
  /** @deprecated No part of the API any more. */
  nodeFiles,
  /** @deprecated No part of the API any more. */
  numberedClasses,
  /** @deprecated No part of the API any more. */
  optimizerVariables,
  /** @deprecated No part of the API any more. */
  PRECISIONS,
  /** @deprecated No part of the API any more. */
  RESUME_SETTINGS,
  /** @deprecated No part of the API any more. */
  readProgress,
  /** @deprecated No part of the API any more. */
  shareCheckpoint,
  /** @deprecated No part of the API any more. */
  userCacheDir,
  /** @deprecated No part of the API any more. */
  writeAtomically,
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
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/layers`. */
  initialize,
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
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  checkRunName,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  describeEnvironment,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  drawFigures,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  EventFile,
  /** @deprecated Import `FIGURE_FORMATS` from `@hybrid-train/hybrid/runs`. */
  FIGURE_FORMATS as FORMATS,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  FIGURES,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  importRun,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  isSkipped,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  LiveReport,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  PRETRAINED,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  presetFor,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  pretrainedPath,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  RECIPES,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  REPORT_FILE,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  RunRecord,
  /** @deprecated Import `renderFigure` from `@hybrid-train/hybrid/runs`. */
  renderFigure as render,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  SCHEDULES,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  thinned,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  timeShares,
  /** @deprecated Import it from `@hybrid-train/hybrid/runs`. */
  writeReport,
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
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  ChromeTrace,
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  estimate,
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  examineMachine,
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  formatBytes,
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  formatSelfTest,
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  inspectModel,
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  STAGES,
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  selfTest,
} from './tools.ts';
