// Reads MNIST's files (IDX), and those of Fashion-MNIST, KMNIST and others of the same form: a file of images and one of labels for each part,
// plain or compressed with gzip, under the names that their authors, Keras' and torchvision's folders have.

import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { HybridError } from '../../runtime/base/errors.ts';
import { type DataSource, type Dataset, type PartName, partTitle, sourceOf } from '../../runtime/data/dataset.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import { describingErrors, type ReadableFiles } from './cifar.ts';

/** A part's two files. */
interface IdxPart {
  readonly part: PartName;
  readonly images: string;
  readonly labels: string;
}

/** A folder of IDX files, and which of them belong together. */
export interface IdxFolder {
  readonly folder: string;
  readonly parts: readonly IdxPart[];
}

const PREFIXES: readonly (readonly [PartName, string])[] = [
  ['train', 'train'],
  ['test', 't10k'],
  ['test', 'test'],
];
/** Where torchvision keeps them below the folder it is given. */
const FOLDERS = ['', 'MNIST/raw', 'FashionMNIST/raw', 'KMNIST/raw'];
/** Both separators occur: `train-images-idx3-ubyte` and `train-images.idx3-ubyte`. */
const namesOf = (prefix: string, what: 'images' | 'labels'): string[] =>
  ['-', '.'].flatMap((separator) =>
    ['', '.gz'].map((ending) => `${prefix}-${what}${separator}idx${what === 'images' ? 3 : 1}-ubyte${ending}`),
  );

/** Far above MNIST's 47 MB, and what a compressed file of a few megabytes may become. */
const MAX_BYTES = 2 ** 30;
const TYPE_BYTE = 8;

/** Which files of the form are in a folder; null where there are no training images. */
export async function findIdx(files: ReadableFiles, path: string): Promise<IdxFolder | null> {
  for (const folder of FOLDERS.map((name) => join(path, name))) {
    const parts: IdxPart[] = [];
    for (const [part, prefix] of PREFIXES) {
      const first = async (names: readonly string[]): Promise<string | undefined> => {
        for (const name of names) if ((await files.stat(join(folder, name)))?.kind === 'file') return name;
        return undefined;
      };
      const images = await first(namesOf(prefix, 'images'));
      if (images === undefined || parts.some((other) => other.part === part)) continue;
      const labels = await first(namesOf(prefix, 'labels'));
      if (labels === undefined) {
        throw idxError(join(folder, images), `has no labels beside it (${namesOf(prefix, 'labels')[0]})`);
      }
      parts.push({ part, images, labels });
    }
    if (parts[0]?.part === 'train') return { folder, parts };
  }
  return null;
}

/** Reads the files into memory: images of one channel. Throws E_DATA that names the file and what is wrong with it. */
export async function readIdx(files: ReadableFiles, { folder, parts }: IdxFolder): Promise<DataSource> {
  const loaded: { readonly part: PartName; readonly shape: readonly [number, number, number]; images: Uint8Array; labels: Uint8Array }[] =
    [];
  for (const { part, images, labels } of parts) {
    const pixels = await readArray(files, join(folder, images), 3);
    const classes = await readArray(files, join(folder, labels), 1);
    const [count, height, width] = pixels.shape;
    if (count !== classes.shape[0])
      throw idxError(join(folder, images), `has ${count} images, but ${labels} has ${classes.shape[0]} labels`);
    if (count === 0 || height === 0 || width === 0)
      throw idxError(join(folder, images), `has ${count} images of ${height} × ${width} pixels`);
    const shared = new Uint8Array(new SharedArrayBuffer(pixels.data.length));
    shared.set(pixels.data);
    loaded.push({ part, shape: [height, width, 1], images: shared, labels: Uint8Array.from(classes.data) });
  }
  const [{ shape }] = loaded;
  const other = loaded.find((one) => one.shape.join() !== shape.join());
  if (other) throw idxError(folder, `has training images of ${shape.join(' × ')} and test images of ${other.shape.join(' × ')}`);
  const most = loaded.reduce((largest, { labels }) => labels.reduce((a, b) => Math.max(a, b), largest), 0);
  if (most === 0) throw idxError(folder, 'has labels of one class only; a classifier needs two');
  const classes = Array.from({ length: most + 1 }, (_, i) => `${i}`);
  return sourceOf(
    new Map<PartName, Dataset>(
      loaded.map(({ part, images, labels }) => [
        part,
        memoryDataset({ name: `${folder} ${partTitle(part)}`, shape, classes, labels, images }),
      ]),
    ),
  );
}

interface IdxArray {
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/** Two zero bytes, the type, the number of axes, their sizes (big-endian), the data. */
async function readArray(files: ReadableFiles, path: string, axes: number): Promise<IdxArray> {
  let bytes = await describingErrors(path, () => files.readFile(path));
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
    try {
      bytes = gunzipSync(bytes, { maxOutputLength: MAX_BYTES });
    } catch (error) {
      throw idxError(path, `cannot be unpacked: ${(error as Error).message}`);
    }
  }
  const head = 4 + 4 * axes;
  if (bytes.length < head || bytes[0] !== 0 || bytes[1] !== 0) throw idxError(path, 'does not begin as IDX files do');
  if (bytes[2] !== TYPE_BYTE) throw idxError(path, `has elements of type 0x${bytes[2].toString(16)}; bytes (0x08) are read`);
  if (bytes[3] !== axes) throw idxError(path, `has ${bytes[3]} axes instead of ${axes}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shape = Array.from({ length: axes }, (_, i) => view.getUint32(4 + 4 * i));
  const size = shape.reduce((product, n) => product * n, 1);
  if (size !== bytes.length - head) throw idxError(path, `claims ${shape.join(' × ')} = ${size} bytes, but has ${bytes.length - head}`);
  return { shape, data: bytes.subarray(head) };
}

const idxError = (path: string, what: string): HybridError =>
  new HybridError('E_DATA', `${path} ${what}`, 'Replace the file with an intact copy.');
