// Sets in NumPy's .npz files: the arrays that Keras' datasets are saved as, x_train, y_train, x_test, y_test (and x_val, y_val), or x
// and y alone. Images are bytes [n, height, width, channels] or [n, height, width] (one channel); other types are read where every value
// is a whole number from 0 to 255, or, for floats, where all lie in 0 … 1 and are such numbers divided by 255.

import { stat } from 'node:fs/promises';
import { HybridError } from '../../runtime/base/errors.ts';
import { type Files, systemCode } from '../../runtime/base/files.ts';
import { type DataSource, type Dataset, PARTS, type PartName, partTitle, sourceOf } from '../../runtime/data/dataset.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import { type NpyArray, readNpz } from '../../runtime/formats/npz.ts';
import { recordDataset } from './record-dataset.ts';

/** Names of images and labels of each part; the first pair that is there counts. */
const ARRAYS: Readonly<Record<PartName, readonly (readonly [string, string])[]>> = {
  train: [
    ['x_train', 'y_train'],
    ['x', 'y'],
    ['train_images', 'train_labels'],
  ],
  validation: [
    ['x_val', 'y_val'],
    ['val_images', 'val_labels'],
  ],
  test: [
    ['x_test', 'y_test'],
    ['test_images', 'test_labels'],
  ],
};
/** Files cannot be read into memory in one piece beyond this. */
const MAX_BYTES = 2 ** 31 - 1;

export interface NpzOptions {
  readonly files: Files;
  readonly path: string;
  /** Images of more bytes than this in all are read from the file as they are needed, where they are stored as bytes and uncompressed. */
  readonly memoryBudget: number;
}

/** Opens the file. Throws E_DATA that says which array is missing or not what it must be. */
export async function openNpz({ files, path, memoryBudget }: NpzOptions): Promise<DataSource> {
  const before = await stat(path).catch((error: unknown) => {
    throw npzError(path, `cannot be read: ${systemCode(error) || error}`);
  });
  if (!before.isFile()) throw npzError(path, 'is not a file');
  if (before.size > MAX_BYTES) throw npzError(path, `has ${before.size.toLocaleString('en-US')} bytes, more than can be read at once`);
  const bytes = await files.readFile(path).catch((error: unknown) => {
    throw npzError(path, `cannot be read: ${systemCode(error) || error}`);
  });
  const arrays = readNpz(bytes, { source: path, code: 'E_DATA' });

  const parts = PARTS.flatMap((part) => {
    const names = ARRAYS[part].find(([images]) => arrays.has(images));
    return names ? [{ part, names, ...partOf(path, arrays, names) }] : [];
  });
  if (parts[0]?.part !== 'train') {
    const there = [...arrays.keys()].slice(0, 10).map((name) => JSON.stringify(name));
    throw npzError(path, `has no training images: neither x_train nor x, but ${there.join(', ') || 'no arrays'}`);
  }
  const { shape } = parts[0];
  for (const { names, shape: other } of parts) {
    if (other.join() !== shape.join())
      throw npzError(path, `has images of ${shape.join(' × ')} in ${parts[0].names[0]}, but of ${other.join(' × ')} in ${names[0]}`);
  }
  const most = parts.reduce((largest, { labels }) => labels.reduce((a, b) => Math.max(a, b), largest), 0);
  if (most === 0) throw npzError(path, 'has labels of one class only; a classifier needs two');
  const classes = Array.from({ length: most + 1 }, (_, i) => `class ${i}`);

  const total = parts.reduce((sum, { images }) => sum + images.length, 0);
  // Bytes that lie in the file as they are need not be held.
  const inFile = parts.every(({ images }) => images.buffer === bytes.buffer);
  const datasets = parts.map(({ part, labels, images }): [PartName, Dataset] => {
    const about = { name: `${path} ${partTitle(part)}`, shape, classes, labels };
    if (total <= memoryBudget || !inFile) {
      const shared = new Uint8Array(new SharedArrayBuffer(images.length));
      shared.set(images);
      return [part, memoryDataset({ ...about, images: shared })];
    }
    const stride = shape[0] * shape[1] * shape[2];
    const offset = images.byteOffset - bytes.byteOffset;
    const file = { path, size: before.size, modified: before.mtimeMs, count: labels.length, offset, stride };
    return [part, recordDataset({ ...about, files: [file], layout: 'interleaved' })];
  });
  return sourceOf(new Map(datasets));
}

function partOf(path: string, arrays: ReadonlyMap<string, NpyArray>, [imagesName, labelsName]: readonly [string, string]) {
  const images = arrays.get(imagesName) as NpyArray;
  const given = arrays.get(labelsName);
  if (!given) throw npzError(path, `has ${imagesName} but no ${labelsName}`);
  const [count, height, width, channels = 1] = images.shape;
  const fits = (images.shape.length === 3 || images.shape.length === 4) && !images.shape.includes(0);
  if (!fits) throw npzError(path, `has ${imagesName} of shape (${images.shape.join(', ')}) instead of (n, height, width, channels)`);
  if (channels > 4 && height <= 4) {
    throw npzError(
      path,
      `has ${imagesName} of shape (${images.shape.join(', ')}): channels come last, as numpy.moveaxis(x, 1, -1) puts them`,
    );
  }
  const labelShape = given.shape;
  if (labelShape[0] !== count || labelShape.slice(1).some((n) => n !== 1)) {
    throw npzError(path, `has ${labelsName} of shape (${labelShape.join(', ')}) for ${count} images; one whole number an image is read`);
  }
  return {
    shape: [height, width, channels] as const,
    images: toBytes(path, imagesName, images.data),
    labels: toLabels(path, labelsName, given.data),
  };
}

function toLabels(path: string, name: string, data: NpyArray['data']): Int32Array {
  const labels = new Int32Array(data.length);
  for (let i = 0; i < labels.length; i++) {
    labels[i] = Number(data[i]);
    // Beyond this a slip is likelier than a classifier.
    if (labels[i] !== Number(data[i]) || labels[i] < 0 || labels[i] > 65_535) {
      throw npzError(path, `has the label ${data[i]} at ${name}[${i}]; labels are whole numbers from 0 to 65535`);
    }
  }
  return labels;
}

/** The values as bytes; the same memory where they are. */
function toBytes(path: string, name: string, data: NpyArray['data']): Uint8Array {
  if (data instanceof Uint8Array) return data;
  const isFloat = data instanceof Float32Array || data instanceof Float64Array;
  // Floats that all lie in 0 … 1 are taken for bytes divided by 255.
  const scale = isFloat && data.every((value) => value >= 0 && value <= 1) ? 255 : 1;
  const bytes = new Uint8Array(data.length);
  for (let i = 0; i < bytes.length; i++) {
    const value = Number(data[i]) * scale;
    const rounded = Math.round(value);
    // Division by 255 in float32 and back leaves this much.
    if (!(Math.abs(value - rounded) <= 1e-3 && rounded >= 0 && rounded <= 255)) {
      throw npzError(path, `has ${data[i]} in ${name}; images are bytes, whole numbers from 0 to 255, or those divided by 255`);
    }
    bytes[i] = rounded;
  }
  return bytes;
}

const npzError = (path: string, what: string): HybridError =>
  new HybridError(
    'E_DATA',
    `${path} ${what}`,
    'Save it with numpy.savez(path, x_train=…, y_train=…, x_test=…, y_test=…), images as uint8 (n, height, width, channels).',
  );
