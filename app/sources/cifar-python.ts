// Reads the Python version of CIFAR-10 and CIFAR-100: batches that are pickles of a dictionary, as the official archive has them and as Keras
// and torchvision leave them in their folders. The images are the same as in the binary version, in the same order, and planar as there. A
// pickle is read without executing anything (runtime/formats/pickle.ts).

import { join } from 'node:path';
import { HybridError } from '../../runtime/base/errors.ts';
import type { DataSource, Dataset } from '../../runtime/data/dataset.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import { readPickle } from '../../runtime/formats/pickle.ts';
import { NUMPY_CONSTRUCTORS, NumpyArray, PYTHON_CONSTRUCTORS } from '../../runtime/formats/pickle-numpy.ts';
import { bytesOf, textOf } from '../../runtime/formats/pickle-values.ts';
import { CIFAR10, CIFAR100, type CifarSet, describingErrors, type LabelKind, type ReadableFiles } from './cifar.ts';

interface PythonForm {
  readonly set: CifarSet;
  /** Names of the folder: in the archive, and what Keras makes of it (versions 2, 3.0 and from 3.6 on). */
  readonly folders: readonly string[];
  readonly trainFiles: readonly string[];
  readonly testFile: string;
  readonly metaFile: string;
  readonly labels: { readonly [kind in LabelKind]?: LabelKeys };
}

/** Keys of the dictionaries, and the number of classes. */
interface LabelKeys {
  readonly labelsKey: string;
  readonly namesKey: string;
  readonly classes: number;
}

const FORMS: readonly PythonForm[] = [
  {
    set: CIFAR10,
    folders: ['cifar-10-batches-py', 'cifar-10-batches-py-target/cifar-10-batches-py', 'cifar-10-batches-py_extracted/cifar-10-batches-py'],
    trainFiles: [1, 2, 3, 4, 5].map((i) => `data_batch_${i}`),
    testFile: 'test_batch',
    metaFile: 'batches.meta',
    labels: { fine: { labelsKey: 'labels', namesKey: 'label_names', classes: 10 } },
  },
  {
    set: CIFAR100,
    folders: ['cifar-100-python', 'cifar-100-python-target/cifar-100-python', 'cifar-100-python_extracted/cifar-100-python'],
    trainFiles: ['train'],
    testFile: 'test',
    metaFile: 'meta',
    labels: {
      fine: { labelsKey: 'fine_labels', namesKey: 'fine_label_names', classes: 100 },
      coarse: { labelsKey: 'coarse_labels', namesKey: 'coarse_label_names', classes: 20 },
    },
  },
];

/** A folder of the Python version. */
export interface PythonCifarFolder {
  readonly set: CifarSet;
  readonly folder: string;
  /** The batches that are there, without the folder. */
  readonly batches: readonly string[];
}

const IMAGE_BYTES = 32 * 32 * 3;
const CONSTRUCTORS = new Map([...PYTHON_CONSTRUCTORS, ...NUMPY_CONSTRUCTORS]);

/**
 * The set that is in a folder, which is `path` or one in it by the name that the archive, Keras or torchvision give it; null where neither has
 * a training batch. The file of names has to be there as well: `train` and `test` are files of many kinds.
 */
export async function findPythonCifar(
  files: ReadableFiles,
  path: string,
  sets: readonly CifarSet[] = FORMS.map(({ set }) => set),
): Promise<PythonCifarFolder | null> {
  for (const { set, folders, trainFiles, testFile, metaFile } of FORMS) {
    if (!sets.includes(set)) continue;
    for (const folder of [path, ...folders.map((name) => join(path, name))]) {
      if ((await files.stat(join(folder, metaFile)))?.kind !== 'file') continue;
      const batches: string[] = [];
      for (const name of [...trainFiles, testFile]) if ((await files.stat(join(folder, name)))?.kind === 'file') batches.push(name);
      if (trainFiles.some((name) => batches.includes(name))) return { set, folder, batches };
    }
  }
  return null;
}

/** Reads the batches of a folder into memory. Throws E_DATA that names the file and what is wrong with it. */
export async function readPythonCifar(
  files: ReadableFiles,
  { set, folder, batches }: PythonCifarFolder,
  kind: LabelKind = 'fine',
): Promise<DataSource> {
  const form = FORMS.find((one) => one.set === set) as PythonForm;
  const keys = form.labels[kind] ?? (form.labels.fine as LabelKeys);
  const load = async (name: string): Promise<Batch> => readBatch(keys, join(folder, name), await contents(files, join(folder, name)));
  const classes = readNames(keys, join(folder, form.metaFile), await contents(files, join(folder, form.metaFile)));
  const part = async (title: string, names: readonly string[]): Promise<Dataset | null> => {
    const loaded: Batch[] = [];
    for (const name of names) if (batches.includes(name)) loaded.push(await load(name));
    if (loaded.length === 0) return null;
    const size = loaded.reduce((sum, { labels }) => sum + labels.length, 0);
    const images = new Uint8Array(new SharedArrayBuffer(size * IMAGE_BYTES));
    const labels = new Uint8Array(size);
    let at = 0;
    for (const batch of loaded) {
      images.set(batch.images, at * IMAGE_BYTES);
      labels.set(batch.labels, at);
      at += batch.labels.length;
    }
    const records = { offset: 0, stride: IMAGE_BYTES, layout: 'planar' } as const;
    return memoryDataset({ name: `${set.title} ${title}`, shape: [32, 32, 3], classes, labels, images, records });
  };
  const train = await part('training set', form.trainFiles);
  if (train === null) throw batchError(folder, 'holds no training batch');
  return { train, test: await part('test set', [form.testFile]) };
}

const contents = (files: ReadableFiles, path: string): Promise<Uint8Array> => describingErrors(path, () => files.readFile(path));

interface Batch {
  /** Planar, one image after the other. */
  readonly images: Uint8Array;
  readonly labels: readonly number[];
}

function readBatch({ classes, labelsKey }: LabelKeys, path: string, bytes: Uint8Array): Batch {
  const entries = readDictionary(path, bytes);
  const array = entries.get('data');
  const { shape = [], data } = (array instanceof NumpyArray && array.array) || {};
  const fits = data instanceof Uint8Array && (shape.length === 2 || shape.length === 4) && data.length === shape[0] * IMAGE_BYTES;
  if (!fits) throw batchError(path, `has no array "data" of bytes with ${IMAGE_BYTES} for each image`);
  const labels = entries.get(labelsKey);
  if (!Array.isArray(labels)) throw batchError(path, `has no list ${JSON.stringify(labelsKey)}`);
  if (labels.length !== shape[0]) throw batchError(path, `has ${shape[0]} images and ${labels.length} labels`);
  const wrong = labels.findIndex((label) => !Number.isInteger(label) || label < 0 || label >= classes);
  if (wrong >= 0) {
    throw batchError(path, `has the label ${shortly(labels[wrong])} at image ${wrong}; labels go from 0 to ${classes - 1}`);
  }
  return { images: data as Uint8Array, labels };
}

function readNames({ classes, namesKey }: LabelKeys, path: string, bytes: Uint8Array): string[] {
  const list = readDictionary(path, bytes).get(namesKey);
  const names = Array.isArray(list) ? list.map(text) : [];
  if (names.length === classes && names.every((name) => name !== undefined && name !== '')) return names as string[];
  throw batchError(path, `has no list ${JSON.stringify(namesKey)} of ${classes} names`);
}

/** The dictionary of a file by the text of its keys, which are `str` or, saved again by Python 3, bytes. */
function readDictionary(path: string, bytes: Uint8Array): Map<string, unknown> {
  const { value } = readPickle(bytes, {
    constructors: CONSTRUCTORS,
    source: path,
    code: 'E_DATA',
    remedy: () => 'A batch of CIFAR holds lists and NumPy arrays only: replace the file with an intact copy.',
  });
  if (!(value instanceof Map)) throw batchError(path, 'holds no dictionary');
  return new Map([...value].flatMap(([key, entry]) => (text(key) === undefined ? [] : [[text(key) as string, entry]])));
}

function text(value: unknown): string | undefined {
  const bytes = value instanceof Uint8Array ? bytesOf(value) : undefined;
  return bytes ? new TextDecoder().decode(bytes) : textOf(value);
}

const shortly = (value: unknown): string => String(value).slice(0, 40);

const batchError = (path: string, what: string): HybridError =>
  new HybridError(
    'E_DATA',
    `${path} ${what}`,
    'Replace the file with an intact copy, or use cifar10 as the data, which is found or downloaded.',
  );
