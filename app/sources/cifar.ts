// Reads CIFAR-10 and CIFAR-100 in their binary formats: files of records, each one or two label bytes and 3,072 image bytes, planar (1,024
// red, then green, then blue, each row by row). Any whole number of records a file: cut-down and rebuilt sets are welcome.
// Where to look for such a folder is not decided here (source.ts). The Python version is read in cifar-python.ts.

import { join } from 'node:path';
import { HybridError } from '../../runtime/base/errors.ts';
import { type Files, systemCode } from '../../runtime/base/files.ts';
import type { DataSource, Dataset } from '../../runtime/data/dataset.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import { recordDataset } from './record-dataset.ts';

/** Reading is all that sources do: of the disk, or of an archive. */
export type ReadableFiles = Pick<Files, 'readFile' | 'readInto' | 'stat' | 'readdir'>;

/** What one of the two sets is like on the disk. */
export interface CifarSet {
  readonly title: 'CIFAR-10' | 'CIFAR-100';
  /** Name of the folder in its archive. */
  readonly folder: string;
  readonly trainFiles: readonly string[];
  readonly testFile: string;
  /** File with the names of the classes, one a line. */
  readonly namesFile: string;
  /** Number of classes. */
  readonly classes: number;
  /** What they are called where there is no such file. */
  readonly names?: readonly string[];
  /** Before each image; the last one is the class. */
  readonly labelBytes: 1 | 2;
  /** The classes of the byte before it, where there is one: CIFAR-100 has 20 that its 100 belong to. */
  readonly coarse?: { readonly classes: number; readonly namesFile: string };
}

/** Which of its labels a set is read with. */
export type LabelKind = 'fine' | 'coarse';

/** What `labelColumn` means for a set of CIFAR: `coarse` (or `coarse_label`) of CIFAR-100, else the usual ones. Throws E_USAGE for what it has not. */
export function labelKindOf({ title, coarse }: CifarSet, wanted: string | undefined): LabelKind {
  if (wanted === undefined || /^fine([_-]?labels?)?$/i.test(wanted)) return 'fine';
  if (coarse && /^coarse([_-]?labels?)?$/i.test(wanted)) return 'coarse';
  throw new HybridError(
    'E_USAGE',
    `${title} has no labels ${JSON.stringify(wanted)}`,
    coarse ? 'Choose fine or coarse.' : 'Leave `labelColumn` out: it has one kind of labels.',
  );
}

export const CIFAR10: CifarSet = {
  title: 'CIFAR-10',
  folder: 'cifar-10-batches-bin',
  trainFiles: [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`),
  testFile: 'test_batch.bin',
  namesFile: 'batches.meta.txt',
  classes: 10,
  names: ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'],
  labelBytes: 1,
};

export const CIFAR100: CifarSet = {
  title: 'CIFAR-100',
  folder: 'cifar-100-binary',
  trainFiles: ['train.bin'],
  testFile: 'test.bin',
  namesFile: 'fine_label_names.txt',
  classes: 100,
  labelBytes: 2,
  coarse: { classes: 20, namesFile: 'coarse_label_names.txt' },
};

const SETS = [CIFAR10, CIFAR100];
const SHAPE = [32, 32, 3] as const;
const PIXELS = 32 * 32;
const IMAGE_BYTES = PIXELS * 3;

const recordBytes = ({ labelBytes }: CifarSet): number => labelBytes + IMAGE_BYTES;

export interface CifarFolder {
  readonly set: CifarSet;
  /** With the record files. */
  readonly folder: string;
}

/** The set that is in a folder, which is `path` or one in it by the archive's name; null where neither has a training file. */
export async function findCifar(files: ReadableFiles, path: string, sets: readonly CifarSet[] = SETS): Promise<CifarFolder | null> {
  for (const set of sets) {
    for (const folder of [path, join(path, set.folder)]) {
      for (const name of set.trainFiles) if (await files.stat(join(folder, name))) return { set, folder };
    }
  }
  return null;
}

export interface CifarOptions {
  /** Images of more bytes than this in all stay on the disk; no limit by default. */
  readonly memoryBudget?: number;
  /** `fine` by default. */
  readonly kind?: LabelKind;
}

/**
 * Reads all training files that are there, in order, and the test file if it is there.
 *
 * `path` is the folder with the `.bin` files or one that has it under the archive's name. Throws E_DATA that names file,
 * record (from 0) and byte where anything is missing, unreadable, cut short or not CIFAR.
 */
export async function readCifar(
  files: ReadableFiles,
  path: string,
  { memoryBudget = Number.POSITIVE_INFINITY, kind = 'fine' }: CifarOptions = {},
): Promise<DataSource> {
  const found = await describingErrors(path, () => findCifar(files, path));
  if (found === null) throw await nothingFound(files, path);
  const { set, folder } = found;
  const labels = labelsOf(set, kind);
  const classes = await readClasses(files, labels, join(folder, labels.namesFile));
  const trainFiles = await sizes(files, set, folder, set.trainFiles);
  const testFiles = await sizes(files, set, folder, [set.testFile]);
  const bytes = [...trainFiles, ...testFiles].reduce((sum, { size }) => sum + size, 0);
  const read = async (name: string, records: readonly RecordsFile[]): Promise<Dataset | null> =>
    records.length === 0 ? null : await readPart(files, { set, labels, name, classes, records, hold: bytes <= memoryBudget });
  const train = await read(`${set.title} training set`, trainFiles);
  // Found a moment ago: only somebody who removes the files can make it null.
  if (train === null) throw await nothingFound(files, path);
  return { train, test: await read(`${set.title} test set`, testFiles) };
}

interface RecordsFile {
  readonly path: string;
  readonly size: number;
  readonly modified: number;
}

/** Those of the files that are there. */
async function sizes(files: ReadableFiles, set: CifarSet, folder: string, names: readonly string[]): Promise<RecordsFile[]> {
  const found: RecordsFile[] = [];
  for (const name of names) {
    const path = join(folder, name);
    const stat = await describingErrors(path, () => files.stat(path));
    if (stat === null) continue;
    // Asked before reading: opening a pipe waits forever.
    if (stat.kind !== 'file') throw dataError(`${path} is a ${stat.kind === 'folder' ? 'folder' : 'device or pipe'}, not a file`);
    checkSize(set, path, stat.size);
    found.push({ path, size: stat.size, modified: stat.modified });
  }
  return found;
}

/** Of a record: the classes of its label, their names, and the byte that says it. */
interface Labels {
  readonly classes: number;
  readonly namesFile: string;
  readonly names?: readonly string[];
  readonly byte: number;
}

function labelsOf({ classes, namesFile, names, labelBytes, coarse }: CifarSet, kind: LabelKind): Labels {
  if (kind === 'coarse' && coarse) return { ...coarse, byte: labelBytes - 2 };
  return { classes, namesFile, names, byte: labelBytes - 1 };
}

interface Part {
  readonly set: CifarSet;
  readonly labels: Labels;
  readonly name: string;
  readonly classes: readonly string[];
  readonly records: readonly RecordsFile[];
  /** Whether images are kept in memory. */
  readonly hold: boolean;
}

/** The records of the files, one file after the other. All labels are read and checked in any case. */
async function readPart(files: ReadableFiles, { set, labels: kind, name, classes, records, hold }: Part): Promise<Dataset> {
  const stride = recordBytes(set);
  const samples = records.reduce((sum, { size }) => sum + size / stride, 0);
  const labels = new Uint8Array(samples);
  // As they are in the files: the workers turn them into NHWC, a batch at a time.
  const images = hold ? new Uint8Array(new SharedArrayBuffer(samples * stride)) : null;
  let sample = 0;
  const take = (path: string, bytes: Uint8Array): void => {
    for (let at = 0; at < bytes.length; at += stride, sample++)
      labels[sample] = checkedLabel(kind, path, bytes, { at, record: at / stride });
  };
  if (images) {
    const places = records.map(({ size }, i) => {
      const begin = records.slice(0, i).reduce((sum, before) => sum + before.size, 0);
      return images.subarray(begin, begin + size);
    });
    await Promise.all(records.map((file, i) => readWhole(files, set, file, places[i])));
    for (const [i, { path }] of records.entries()) take(path, places[i]);
  } else {
    // File by file, so that only one is held.
    for (const file of records) {
      const bytes = new Uint8Array(file.size);
      await readWhole(files, set, file, bytes);
      take(file.path, bytes);
    }
  }
  const layout = 'planar';
  if (images) return memoryDataset({ name, shape: SHAPE, classes, labels, images, records: { offset: set.labelBytes, stride, layout } });
  const onDisk = records.map((file) => ({ ...file, count: file.size / stride, offset: set.labelBytes, stride }));
  return recordDataset({ name, shape: SHAPE, classes, labels, files: onDisk, layout });
}

/** Reads a file as large as it was when it was found. */
async function readWhole(files: ReadableFiles, set: CifarSet, { path, size }: RecordsFile, target: Uint8Array): Promise<void> {
  await describingErrors(path, async () => {
    const read = await files.readInto(path, target);
    const now = (await files.stat(path))?.size ?? 0;
    if (read === size && now === size) return;
    const found = read < size ? read : now;
    checkSize(set, path, found);
    throw dataError(`${path} changed from ${size} to ${found} bytes while it was read`);
  });
}

function checkSize(set: CifarSet, path: string, size: number): void {
  if (size === 0) throw dataError(`${path} is empty`);
  const bytes = recordBytes(set);
  const over = size % bytes;
  if (over === 0) return;
  const record = (size - over) / bytes;
  throw dataError(`${path} is cut short: it ends at byte ${size}, after ${over} of the ${bytes} bytes of record ${record}`);
}

function checkedLabel(
  { classes, byte }: Labels,
  path: string,
  bytes: Uint8Array,
  { at, record }: { readonly at: number; readonly record: number },
): number {
  const label = bytes[at + byte];
  if (label < classes) return label;
  throw dataError(`${path} has the label ${label} in record ${record}, byte ${at + byte}; labels go from 0 to ${classes - 1}`);
}

async function readClasses(files: ReadableFiles, labels: Labels, path: string): Promise<readonly string[]> {
  return describingErrors(path, async () => {
    const stat = await files.stat(path);
    if (stat?.kind !== 'file') return labels.names ?? Array.from({ length: labels.classes }, (_, i) => `class ${i}`);
    const names = new TextDecoder().decode(await files.readFile(path)).split('\n');
    const classes = names.map((name) => name.trim()).filter((name) => name !== '');
    if (classes.length !== labels.classes) throw dataError(`${path} names ${classes.length} classes instead of ${labels.classes}`);
    return classes;
  });
}

const REMEDY =
  'Give a folder with CIFAR-10 or CIFAR-100 (data_batch_1.bin …, train.bin), a folder of class folders with images, or cifar10, which is found or downloaded.';

const dataError = (message: string, options?: ErrorOptions): HybridError =>
  new HybridError(
    'E_DATA',
    message,
    'Replace the file with an intact copy, or use cifar10 as the data, which is found or downloaded.',
    options,
  );

/** Says in the message of a system error which path it is about. */
export async function describingErrors<T>(path: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    if (error instanceof HybridError) throw error;
    const code = systemCode(error);
    const reason = code === 'EACCES' || code === 'EPERM' ? `permission is denied (${code})` : code || String(error);
    throw new HybridError('E_DATA', `cannot read ${path}: ${reason}`, 'Check that you may read it.', { cause: error });
  }
}

/** Why a path is no folder of data. */
export async function nothingFound(files: ReadableFiles, path: string): Promise<HybridError> {
  return describingErrors(path, async () => {
    const stat = await files.stat(path);
    if (stat === null) return new HybridError('E_DATA', `there is no folder ${path}`, REMEDY);
    if (stat.kind !== 'folder') return new HybridError('E_DATA', `${path} is not a folder`, REMEDY);
    await files.readdir(path); // a folder that may not be listed is told as such
    return new HybridError(
      'E_DATA',
      `${path} holds no data: none of data_batch_1.bin to data_batch_5.bin and train.bin, and no class folders`,
      REMEDY,
    );
  });
}
