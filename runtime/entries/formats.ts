/**
 * File formats of weights and arrays: `@hybrid-train/hybrid/formats`.
 *
 * @module Formats
 */

export { readWeightsFile, type ToldOptions, type WeightsFileOptions } from '../../app/weights-in-file.ts';
export { type NpyArray, type NpyOptions, readNpy, readNpz, writeNpy, writeNpz } from '../formats/npz.ts';
export { type FileTensor, readSafetensors, type SafetensorsFile, writeSafetensors } from '../formats/safetensors.ts';
export { EXPORT_FORMATS, type ExportFormat, type ExportOptions } from '../interop/export.ts';
export type { OnnxImportOptions } from '../interop/onnx-import.ts';
export type { TimmOptions } from '../interop/timm.ts';
export { packCheckpoint, unpackCheckpoint } from '../train/checkpoint-files.ts';
