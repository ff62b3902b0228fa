// Reads CIFAR-10 in its binary format: files of records, each a label byte and 3,072 image bytes, planar (1,024 red, then
// green, then blue, each row by row). Any whole number of records a file: cut-down and rebuilt sets are welcome.
// Where to look for such a folder is not decided here (source.ts).

import { join } from 'node:path';
import { HybridError } from '../base/errors.ts';
import { type Files, systemCode } from '../base/files.ts';
import type { DataSource, Dataset } from './dataset.ts';
import { memoryDataset } from './memory-dataset.ts';

export const CIFAR10_FOLDER = 'cifar-10-batches-bin';
export const TRAIN_FILES = [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`);
export const TEST_FILE = 'test_batch.bin';
export const NAMES_FILE = 'batches.meta.txt';

const CLASSES = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'];
const SHAPE = [32, 32, 3] as const;
const PIXELS = 32 * 32;
const IMAGE_BYTES = PIXELS * 3;
const RECORD_BYTES = 1 + IMAGE_BYTES;

/** The folder with the batch files, which is `path` or a folder in it by the archive's name; null where neither has a training file. */
export async function findCifar10(files: Files, path: string): Promise<string | null> {
  for (const folder of [path, join(path, CIFAR10_FOLDER)]) {
    for (const name of TRAIN_FILES) if (await files.stat(join(folder, name))) return folder;
  }
  return null;
}

/**
 * Reads all training files that are there, in order, and the test file if it is there, into memory as NHWC.
 *
 * `path` is the folder with the `.bin` files or one that has it under the archive's name. Throws E_DATA that names file,
 * record (from 0) and byte where anything is missing, unreadable, cut short or not CIFAR-10.
 */
export async function readCifar10(files: Files, path: string): Promise<DataSource> {
  const folder = await describingErrors(path, () => findCifar10(files, path));
  if (folder === null) throw await nothingFound(files, path);
  const classes = await readClasses(files, join(folder, NAMES_FILE));
  const read = (name: string, fileNames: readonly string[]): Promise<Dataset | null> =>
    readPart(
      files,
      name,
      fileNames.map((fileName) => join(folder, fileName)),
      classes,
    );
  const train = await read('CIFAR-10 training set', TRAIN_FILES);
  // Found a moment ago: only somebody who removes the files can make it null.
  if (train === null) throw await nothingFound(files, path);
  return { train, test: await read('CIFAR-10 test set', [TEST_FILE]) };
}

/** The records of those of `paths` that are there, one file after the other; null where none is. */
async function readPart(files: Files, name: string, paths: readonly string[], classes: readonly string[]): Promise<Dataset | null> {
  const found: { path: string; size: number }[] = [];
  for (const path of paths) {
    const stat = await describingErrors(path, () => files.stat(path));
    if (stat === null) continue;
    // Asked before reading: opening a pipe waits forever.
    if (stat.kind !== 'file') throw dataError(`${path} is a ${stat.kind === 'folder' ? 'folder' : 'device or pipe'}, not a file`);
    checkSize(path, stat.size);
    found.push({ path, size: stat.size });
  }
  if (found.length === 0) return null;

  const samples = found.reduce((sum, { size }) => sum + size / RECORD_BYTES, 0);
  const labels = new Uint8Array(samples);
  const images = new Uint8Array(new SharedArrayBuffer(samples * IMAGE_BYTES));
  let sample = 0;
  // File by file, so that only one is held besides the result.
  for (const { path, size } of found) {
    const bytes = await describingErrors(path, () => files.readFile(path));
    checkSize(path, bytes.length);
    if (bytes.length !== size) throw dataError(`${path} changed from ${size} to ${bytes.length} bytes while it was read`);
    for (let at = 0; at < bytes.length; at += RECORD_BYTES, sample++) {
      labels[sample] = checkedLabel(path, bytes, at);
      planarToInterleaved(bytes, at + 1, images, sample * IMAGE_BYTES);
    }
  }
  return memoryDataset({ name, shape: SHAPE, classes, labels, images });
}

function checkSize(path: string, size: number): void {
  if (size === 0) throw dataError(`${path} is empty`);
  const over = size % RECORD_BYTES;
  if (over === 0) return;
  const record = (size - over) / RECORD_BYTES;
  throw dataError(`${path} is cut short: it ends at byte ${size}, after ${over} of the ${RECORD_BYTES} bytes of record ${record}`);
}

function checkedLabel(path: string, bytes: Uint8Array, at: number): number {
  const label = bytes[at];
  if (label < CLASSES.length) return label;
  throw dataError(`${path} has the label ${label} in record ${at / RECORD_BYTES}, byte ${at}; labels go from 0 to ${CLASSES.length - 1}`);
}

async function readClasses(files: Files, path: string): Promise<readonly string[]> {
  return describingErrors(path, async () => {
    const stat = await files.stat(path);
    if (stat?.kind !== 'file') return CLASSES;
    const names = new TextDecoder().decode(await files.readFile(path)).split('\n');
    const classes = names.map((name) => name.trim()).filter((name) => name !== '');
    if (classes.length !== CLASSES.length) throw dataError(`${path} names ${classes.length} classes instead of ${CLASSES.length}`);
    return classes;
  });
}

/** One image from planar (channel, row, column) to NHWC. */
function planarToInterleaved(source: Uint8Array, from: number, target: Uint8Array, to: number): void {
  for (let red = from; red < from + PIXELS; red++) {
    target[to] = source[red];
    target[to + 1] = source[red + PIXELS];
    target[to + 2] = source[red + 2 * PIXELS];
    to += 3;
  }
}

const REMEDY = 'Give the folder that holds data_batch_1.bin … and test_batch.bin, or leave --data out to have CIFAR-10 found or fetched.';

const dataError = (message: string, options?: ErrorOptions): HybridError =>
  new HybridError('E_DATA', message, 'Replace the file with a good copy, or leave --data out to have CIFAR-10 found or fetched.', options);

/** Says in the message of a system error which path it is about. */
async function describingErrors<T>(path: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    if (error instanceof HybridError) throw error;
    const code = systemCode(error);
    const reason = code === 'EACCES' || code === 'EPERM' ? `permission is denied (${code})` : code || String(error);
    throw new HybridError('E_DATA', `cannot read ${path}: ${reason}`, 'Check that you may read it.', { cause: error });
  }
}

/** Why a path is not the folder it should be. */
async function nothingFound(files: Files, path: string): Promise<HybridError> {
  return describingErrors(path, async () => {
    const stat = await files.stat(path);
    if (stat === null) return new HybridError('E_DATA', `there is no folder ${path}`, REMEDY);
    if (stat.kind !== 'folder') return new HybridError('E_DATA', `${path} is not a folder`, REMEDY);
    const names = await files.readdir(path);
    // The other distribution of the set has Python pickles of the same names without `.bin`.
    if (names.includes('data_batch_1') || names.includes('cifar-10-batches-py')) {
      return new HybridError(
        'E_DATA',
        `${path} holds the Python version of CIFAR-10 (pickled files), which is not read`,
        'Use the binary version, cifar-10-binary.tar.gz, or leave --data out to have it fetched.',
      );
    }
    return new HybridError('E_DATA', `${path} holds no CIFAR-10: none of data_batch_1.bin to data_batch_5.bin is in it`, REMEDY);
  });
}
