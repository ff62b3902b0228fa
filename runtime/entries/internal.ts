/**
 * Names that the command line needs as well, without any promise: `@hybrid-train/hybrid/~internal`.
 *
 * @module Internal
 */

export { type FetchModelOptions, fetchModel, PUBLISHED, type PublishedName } from '../../app/fetched-models.ts';
export { asObject } from '../../app/report/record.ts';
export { checkGraph } from '../../app/saved-weights.ts';
export { isHidden } from '../../app/sources/hidden.ts';
export { isImageFile } from '../../app/sources/image-file.ts';
export { isImageName, READ_FORMATS } from '../../app/sources/image-formats.ts';
export { userCacheDir } from '../../app/sources/place.ts';
export { readTuned, type TuneGpuOptions, tuneGpu, tuneStore } from '../../app/tune.ts';
export type { ModelFor, SavedWeights } from '../../app/weights-in-file.ts';
export type { TunedGpu, TunedSite, TuneRecord } from '../../gpu/host/tune-file.ts';
export { copyBytes } from '../base/bytes.ts';
export { abortError, EXIT_STATUS, nearest } from '../base/errors.ts';
export { diskError, type FileStat, type Files, nodeFiles, type OpenFile, writeAtomically } from '../base/files.ts';
export { grouped } from '../base/units.ts';
export { PRECISIONS } from '../contract/compile-options.ts';
export { ImageKernels, type ImageKernelsOptions, type KernelCall, kernelCalls } from '../data/kernels.ts';
export { loadDataKernels } from '../data/pipeline.ts';
export { DEVICES } from '../devices.ts';
export { fitWeights, modelLike, type WeightsToFit, withoutOwn } from '../interop/adapt.ts';
export { notForKeras } from '../interop/keras-muon.ts';
export { type Measured, measure } from '../interop/measures.ts';
export { modelOf, numberedClasses, type OptimizerSettings, optimizerVariables, readCard } from '../interop/trained-model.ts';
export { ARCHITECTURE_NAMES, architectureName } from '../model/architectures.ts';
export type { CompleteTrainOptions } from '../train/events.ts';
export { shareCheckpoint } from '../train/group.ts';
export { argmax, probabilitiesOf } from '../train/logits.ts';
export { completeProgress, RESUME_SETTINGS, type RunProgress, readProgress, type SteadyOptions } from '../train/progress.ts';
