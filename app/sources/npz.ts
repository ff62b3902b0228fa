// Sets in NumPy's .npz files, under the names that people give the arrays. Images are bytes [n, height, width, channels] or [n, height, width]
// (one channel), channels may come first; other types are read where every value is a whole number from 0 to 255, or, for floats, where all lie
// in 0 … 1 and are such numbers divided by 255. Labels are whole numbers, one-hot rows or text. What was taken for what is told.

import { stat } from 'node:fs/promises';
import { HybridError, nearest } from '../../runtime/base/errors.ts';
import { type Files, systemCode } from '../../runtime/base/files.ts';
import { grouped } from '../../runtime/base/units.ts';
import { type DataSource, type Dataset, PARTS, type PartName, partTitle, sourceOf } from '../../runtime/data/dataset.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import { type NpyArray, type NpzMembers, openNpzMembers } from '../../runtime/formats/npz.ts';
import { classesOf, type LabelValue } from './label-values.ts';
import { recordDataset } from './record-dataset.ts';

/** What images and labels are called, in lower case; the first pair that is there counts. Those of a whole set are for training. */
const PAIRS: readonly (readonly [string, string])[] = [
  ['x', 'y'],
  ['images', 'labels'],
  ['image', 'label'],
  ['data', 'labels'],
  ['imgs', 'labels'],
  ['data', 'targets'],
  ['data', 'target'],
  ['images', 'targets'],
  ['images', 'y'],
  ['x', 'labels'],
  ['features', 'labels'],
];
/** Words for the parts, before or after those names. */
const WORDS: Readonly<Record<PartName, readonly string[]>> = {
  train: ['train', 'training', 'tr'],
  validation: ['val', 'valid', 'validation', 'dev'],
  test: ['test', 'testing', 'te', 'eval'],
};
/** numpy.savez(path, a, b, c, d) calls them so. */
const UNNAMED: Readonly<Record<PartName, readonly [string, string] | undefined>> = {
  train: ['arr_0', 'arr_1'],
  validation: undefined,
  test: ['arr_2', 'arr_3'],
};
/** Arrays of text that name the classes. */
const CLASS_NAMES = ['class_names', 'classes', 'label_names', 'labels_names', 'categories', 'target_names', 'names'];
/** What division by 255 and back leaves, in float32 and in float16. */
const TOLERANCE = { f4: 1e-3, f2: 0.2 };
/** Files cannot be read into memory in one piece beyond this. */
const MAX_BYTES = 2 ** 31 - 1;

export interface NpzOptions {
  readonly files: Files;
  readonly path: string;
  /** Images of more bytes than this in all are read from the file as they are needed, where they are stored as bytes and uncompressed. */
  readonly memoryBudget: number;
  /** Names of the arrays of training images and labels, where they are not found or not meant. */
  readonly images?: string;
  readonly labels?: string;
  readonly onNotice?: (level: 'info' | 'warning', text: string) => void;
}

/** Opens the file. Throws E_DATA that says which array is missing or not what it must be. */
export async function openNpz(options: NpzOptions): Promise<DataSource> {
  const { files, path, memoryBudget, onNotice = () => {} } = options;
  const before = await stat(path).catch((error: unknown) => {
    throw npzError(path, `cannot be read: ${systemCode(error) || error}`);
  });
  if (!before.isFile()) throw npzError(path, 'is not a file');
  if (before.size > MAX_BYTES) throw npzError(path, `has ${grouped(before.size)} bytes, more than can be read at once`);
  const bytes = await files.readFile(path).catch((error: unknown) => {
    throw npzError(path, `cannot be read: ${systemCode(error) || error}`);
  });
  const members = openNpzMembers(bytes, { source: path, code: 'E_DATA' });
  const found = namesOf(path, members, options);
  const raw = [...found].map(([part, [imagesName, labelsName]]) => {
    const images = readImages(path, imagesName, members, onNotice);
    return { part, names: [imagesName, labelsName] as const, ...images, values: readLabels(path, labelsName, members, images.count) };
  });
  const { shape } = raw[0];
  for (const { names, shape: other } of raw) {
    if (other.join() !== shape.join())
      throw npzError(path, `has images of ${shape.join(' × ')} in ${raw[0].names[0]}, but of ${other.join(' × ')} in ${names[0]}`);
  }
  const namesArray = members.names.find((name) => CLASS_NAMES.includes(name.toLowerCase()));
  const names = namesArray === undefined ? undefined : members.strings(namesArray);
  const values = raw.map((part) => part.values);
  const { classes, labelsOf } = classesOf({ path, values, names, onNotice });
  const parts = raw.map((part) => ({ ...part, labels: labelsOf(part.values) }));

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

/** Which arrays hold the images and labels of each part. */
function namesOf(path: string, { names }: NpzMembers, { images, labels }: NpzOptions): ReadonlyMap<PartName, readonly [string, string]> {
  if (images !== undefined || labels !== undefined) {
    for (const [setting, name] of [
      ['images', images],
      ['labels', labels],
    ] as const) {
      if (name === undefined)
        throw npzError(path, `needs the names of both arrays, and \`${setting}\` is not given`, `Name it: ${listed(names)}.`);
      const meant = nearest(name, names);
      if (!names.includes(name))
        throw npzError(path, `has no array ${JSON.stringify(name)}`, meant ? `Did you mean ${meant}?` : `It has ${listed(names)}.`);
    }
    return new Map([['train', [images as string, labels as string]]]);
  }
  const byName = new Map(names.map((name) => [name.toLowerCase(), name]));
  const pair = (first: string, second: string): readonly [string, string] | undefined => {
    const [a, b] = [byName.get(first), byName.get(second)];
    return a !== undefined && b !== undefined ? [a, b] : undefined;
  };
  const found = new Map<PartName, readonly [string, string]>();
  for (const part of PARTS) {
    const spelled = WORDS[part].flatMap((word) =>
      PAIRS.flatMap(([x, y]) => [
        pair(`${x}_${word}`, `${y}_${word}`),
        pair(`${word}_${x}`, `${word}_${y}`),
        pair(`${x}${word}`, `${y}${word}`),
      ]),
    );
    const plain = part === 'train' ? PAIRS.map(([x, y]) => pair(x, y)) : [];
    const unnamed = UNNAMED[part];
    const first = [...spelled, ...plain, unnamed && pair(...unnamed)].find((names) => names !== undefined);
    if (first) found.set(part, first);
  }
  if (!found.has('train')) {
    throw npzError(
      path,
      `has no training images and labels under a usual name, but ${names.length > 0 ? listed(names) : 'no arrays'}`,
      'Name the arrays with `images` and `labels`, or save it with numpy.savez(path, x_train=…, y_train=…, x_test=…, y_test=…).',
    );
  }
  return found;
}

const listed = (names: readonly string[]): string =>
  names
    .slice(0, 10)
    .map((name) => JSON.stringify(name))
    .join(', ');

interface Images {
  readonly count: number;
  readonly shape: readonly [number, number, number];
  readonly images: Uint8Array;
}

function readImages(path: string, name: string, members: NpzMembers, onNotice: NonNullable<NpzOptions['onNotice']>): Images {
  const array = members.array(name);
  const said = `(${array.shape.join(', ')})`;
  const fits = (array.shape.length === 3 || array.shape.length === 4) && !array.shape.includes(0);
  if (!fits) throw npzError(path, `has ${name} of shape ${said} instead of (n, height, width, channels)`);
  const bytes = toBytes(path, name, array);
  const [count, a, b, c = 1] = array.shape;
  // Three of 4 × 4 pixels could be either; pictures are larger.
  if (array.shape.length === 4 && c > 4 && a <= 4) {
    onNotice('info', `${path}: ${name} of shape ${said} has its channels first; they are put last`);
    return { count, shape: [b, c, a], images: channelsLast(bytes, [count, a, b * c]) };
  }
  if (c > 4) throw npzError(path, `has ${name} of shape ${said}: ${c} channels; images have 1 to 4`);
  return { count, shape: [a, b, c], images: bytes };
}

/** [n, channels, pixels] to [n, pixels, channels]. */
function channelsLast(bytes: Uint8Array, [count, channels, pixels]: readonly [number, number, number]): Uint8Array {
  const result = new Uint8Array(bytes.length);
  for (let i = 0; i < count; i++) {
    const start = i * channels * pixels;
    for (let k = 0; k < channels; k++) for (let p = 0; p < pixels; p++) result[start + p * channels + k] = bytes[start + k * pixels + p];
  }
  return result;
}

/** One value an image, as the file has it: a whole number, or text. */
function readLabels(path: string, name: string, members: NpzMembers, count: number): readonly LabelValue[] {
  const texts = members.strings(name);
  if (texts) {
    if (texts.length !== count) throw npzError(path, `has ${texts.length} labels in ${name} for ${count} images`);
    return texts;
  }
  const { shape, data } = members.array(name);
  const width = shape.slice(1).reduce((product, n) => product * n, 1);
  if (shape[0] !== count || shape.length > 2) {
    throw npzError(path, `has ${name} of shape (${shape.join(', ')}) for ${count} images; one whole number an image is read`);
  }
  const whole = (i: number): number => {
    const value = Number(data[i]);
    if (Number.isSafeInteger(value) && Math.abs(value) < 2 ** 31) return value;
    throw npzError(path, `has the label ${data[i]} at ${name}[${Math.floor(i / width)}]; labels are whole numbers`);
  };
  if (width === 1) return Array.from({ length: count }, (_, i) => whole(i));
  return Array.from({ length: count }, (_, i) => {
    let label = -1;
    for (let k = 0; k < width; k++) {
      const value = Number(data[i * width + k]);
      if (value !== 0 && value !== 1)
        throw npzError(path, `has ${data[i * width + k]} in row ${i} of ${name}; a one-hot row has one 1 and else 0`);
      if (value === 1 && label >= 0) throw npzError(path, `has more than one class for image ${i} in ${name}: one class an image is read`);
      if (value === 1) label = k;
    }
    if (label < 0) throw npzError(path, `has no class for image ${i} in ${name}`);
    return label;
  });
}

/** The values as bytes; the same memory where they are. */
function toBytes(path: string, name: string, { data, type }: NpyArray): Uint8Array {
  if (type === 'b1') return Uint8Array.from(data as Uint8Array, (value) => (value ? 255 : 0));
  if (data instanceof Uint8Array) return data;
  const isFloat = data instanceof Float32Array || data instanceof Float64Array;
  // Floats that all lie in 0 … 1 are taken for bytes divided by 255.
  const scale = isFloat && data.every((value) => value >= 0 && value <= 1) ? 255 : 1;
  const tolerance = type === 'f2' ? TOLERANCE.f2 : TOLERANCE.f4;
  const bytes = new Uint8Array(data.length);
  for (let i = 0; i < bytes.length; i++) {
    const value = Number(data[i]) * scale;
    const rounded = Math.round(value);
    if (!(Math.abs(value - rounded) <= tolerance && rounded >= 0 && rounded <= 255)) {
      throw npzError(path, `has ${data[i]} in ${name}; images are bytes, whole numbers from 0 to 255, or those divided by 255`);
    }
    bytes[i] = rounded;
  }
  return bytes;
}

const npzError = (
  path: string,
  what: string,
  remedy = 'Save it with numpy.savez(path, x_train=…, y_train=…, x_test=…, y_test=…), images as uint8 (n, height, width, channels).',
): HybridError => new HybridError('E_DATA', `${path} ${what}`, remedy);
