// Values that the root entry had before there were others (deprecated-types.ts: types). They stay for one version. They come from the files that have them, and not from the
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
  /** @deprecated No part of the API any more. */
  copyBytes,
} from '../base/bytes.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/tools`. */
  ChromeTrace,
} from '../base/chrome-trace.ts';
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
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  normalization,
} from '../data/kernels.ts';
export {
  /** @deprecated Import it from `@hybrid-train/hybrid/data`. */
  DataPipeline,
  /** @deprecated No part of the API any more. */
  loadDataKernels,
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
