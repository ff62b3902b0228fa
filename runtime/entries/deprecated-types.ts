// Types that the root entry had before there were others. They stay for one version.

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
