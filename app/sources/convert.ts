// Writes a dataset as one file: packed (packed.ts), or as the arrays of NumPy.

import { abortError, HybridError } from '../../runtime/base/errors.ts';
import { type Files, nodeFiles, writeAtomically } from '../../runtime/base/files.ts';
import { type OptionNames, refuseUnknownOptions } from '../../runtime/base/kinds.ts';
import { grouped } from '../../runtime/base/units.ts';
import { type DataSource, type Dataset, PARTS, type PartName } from '../../runtime/data/dataset.ts';
import { type NpyArray, writeNpz } from '../../runtime/formats/npz.ts';
import { type ReadAllOptions, readAll } from './describe.ts';

/** Options for `convertData`: where and in which format a set is written. */
export interface ConvertOptions extends ReadAllOptions {
  readonly files?: Files;
  /** Path of the file; its ending selects the format, `.safetensors` or `.npz`. */
  readonly path: string;
  /** Name of the set in a packed file. */
  readonly name: string;
}

/** ZIP archives without 64-bit extensions end here, with room for the directory. */
const MAX_NPZ_BYTES = 2 ** 32 - 2 ** 20;

const OPTIONS: OptionNames<ConvertOptions> = { files: true, path: true, name: true, signal: true, onProgress: true };

/** Throws E_USAGE for another ending or where something already exists, E_DATA for a set too large for .npz, E_DISK, or an AbortError. */
export async function convertData(source: DataSource, options: ConvertOptions): Promise<void> {
  refuseUnknownOptions(options, OPTIONS, 'convertData');
  const { files = nodeFiles, path, name, signal, onProgress } = options;
  const parts = PARTS.flatMap((part) => (source[part] ? [[part, source[part] as Dataset] as const] : []));
  const total = parts.reduce((sum, [, { size }]) => sum + size, 0);
  if (await files.stat(path)) throw new HybridError('E_USAGE', `${path} already exists`, 'Remove it, or give another name.');
  let before = 0;
  const pieces = async function* (dataset: Dataset): AsyncGenerator<Uint8Array, void, undefined> {
    yield* readAll(dataset, { signal, onProgress: (done) => onProgress?.(before + done, total) });
    before += dataset.size;
  };

  if (/\.safetensors$/i.test(path)) {
    const { shape, classes } = source.train;
    const images = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
      for (const [, dataset] of parts) yield* pieces(dataset);
    };
    const { writePacked } = await import('./packed.ts');
    return writePacked({
      files,
      path,
      shape,
      classes,
      name,
      labels: new Map(parts.map(([part, { labels }]) => [part, labels])),
      signal,
      images,
    });
  }
  if (!/\.npz$/i.test(path)) {
    throw new HybridError('E_USAGE', `${path} has neither of the endings .safetensors and .npz`, 'Give a file name with one of them.');
  }

  const bytes = parts.reduce((sum, [, { size, shape }]) => sum + size * shape[0] * shape[1] * shape[2], 0);
  if (bytes > MAX_NPZ_BYTES) {
    throw new HybridError(
      'E_DATA',
      `${grouped(bytes)} bytes of images do not fit into an .npz file`,
      'Write a .safetensors file, which has no such limit.',
    );
  }
  const arrays = new Map<string, NpyArray>();
  for (const [part, dataset] of parts) {
    const data = new Uint8Array(dataset.size * dataset.shape[0] * dataset.shape[1] * dataset.shape[2]);
    let at = 0;
    for await (const piece of pieces(dataset)) {
      data.set(piece, at);
      at += piece.length;
    }
    arrays.set(`x_${ARRAY_SUFFIX[part]}`, { shape: [dataset.size, ...dataset.shape], data });
    arrays.set(`y_${ARRAY_SUFFIX[part]}`, { shape: [dataset.size], data: Int32Array.from(dataset.labels) });
  }
  if (signal?.aborted) throw abortError(signal);
  await writeAtomically(files, path, [writeNpz(arrays)]);
}

const ARRAY_SUFFIX: Readonly<Record<PartName, string>> = { train: 'train', validation: 'val', test: 'test' };
