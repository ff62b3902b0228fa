// Sets as people have them, from the disk to the mistakes of a trained model: what `data info` and `data verify` say, one known pixel, an epoch of
// training, eval with the names of the files, and predict. Each layout is made here, small.

import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { openData } from '../../app/sources/source.ts';
import type { Dataset } from '../../runtime/data/dataset.ts';
import { type NpyArray, writeNpz } from '../../runtime/formats/npz.ts';
import { planarByte, records } from '../support/cifar10-records.ts';
import { cli } from '../support/cli.ts';
import { solid } from '../support/images.ts';
import { tarEntry, tarGz } from '../support/tar.ts';
import { tempFolder } from '../support/temp-folder.ts';

const golden = (path: string): string => fileURLToPath(new URL(`../golden/${path}`, import.meta.url));
const TINY = ['--arch', 'convmixer', '--dim', '4', '--depth', '1', '--kernel', '3', '--epochs', '1', '--batch', '4', '--threads', '1'];

type Colour = readonly [number, number, number];
type Contents = Uint8Array | string | Colour;

interface Layout {
  /** Files by path; a colour is a picture of it. Or makes them itself. */
  readonly files: () => Readonly<Record<string, Contents>> | ((folder: string) => void);
  /** What `--data` is; the folder `set` by default. */
  readonly data?: string;
  readonly options?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly classes: readonly string[];
  /** Images of each class in the parts that there are. */
  readonly counts: { readonly train: readonly number[]; readonly validation?: readonly number[]; readonly test?: readonly number[] };
  /** What is told of it, beside its numbers. */
  readonly warned?: RegExp;
  /** The first pixel of the training image of this name, or number. */
  readonly pixel: readonly [string | number, readonly number[]];
  /** What a mistake is called: the name of a file in the set, where images are files. */
  readonly mistake: RegExp;
}

/** Of picture `i` of class `k`. JPEGs keep such colours to a digit. */
const colour = (k: number, i = 0): Colour => [60 * k + 10, 4 * i, 200];
const numbered = (prefix: string, from: number, to: number, label: (i: number) => number): Record<string, Colour> =>
  Object.fromEntries(Array.from({ length: to - from }, (_, i) => [`${prefix}${from + i}.png`, colour(label(from + i), from + i)]));
const idx = (shape: readonly number[], data: ArrayLike<number>): Buffer => {
  const head = Buffer.alloc(4 + 4 * shape.length);
  head.set([0, 0, 8, shape.length]);
  for (const [i, n] of shape.entries()) head.writeUInt32BE(n, 4 + 4 * i);
  return Buffer.concat([head, Buffer.from(data)]);
};
const rows = (from: number, to: number, line: (i: number) => string): string =>
  Array.from({ length: to - from }, (_, i) => `${line(from + i)}\n`).join('');
const pixelsOf = (count: number): Uint8Array =>
  Uint8Array.from({ length: count * 64 }, (_, i) => (Math.floor(i / 64) * 5 + (i % 64)) % 256);
const labelsOf = (count: number, classes: number): number[] => Array.from({ length: count }, (_, i) => i % classes);

/** Records of CIFAR-100: image i is of the coarse class i mod 5 and of another fine one. */
const cifar100 = (count: number): Buffer =>
  Buffer.concat(
    Array.from({ length: count }, (_, i) => [
      Uint8Array.of(i % 5, 99 - i),
      Uint8Array.from({ length: 3072 }, (_, k) => planarByte(i, k)),
    ]).flat(),
  );
const COARSE = rows(0, 20, (i) => `group ${i}`);
const FINE = rows(0, 100, (i) => `kind ${i}`);

const LAYOUTS: Readonly<Record<string, Layout>> = {
  "Kaggle's tables beside train and test": {
    files: () => ({
      ...numbered('train/', 0, 12, (i) => i % 2),
      ...numbered('test/', 0, 4, (i) => i % 2),
      'trainLabels.csv': `id,label\n${rows(0, 12, (i) => `${i},${i % 2 ? 'frog' : 'cat'}`)}`,
      'test.csv': `id,label\n${rows(0, 4, (i) => `${i},${i % 2 ? 'frog' : 'cat'}`)}`,
      'sampleSubmission.csv': 'id,label\n1,cat\n',
    }),
    classes: ['cat', 'frog'],
    counts: { train: [6, 6], test: [2, 2] },
    pixel: ['train/5.png', colour(1, 5)],
    mistake: /^test\/\d\.png$/,
  },
  "Intel's seg_train/seg_train, as an archive has it": {
    files: () => ({
      ...numbered('intel/seg_train/seg_train/ice/', 0, 5, () => 0),
      ...numbered('intel/seg_train/seg_train/sea/', 0, 7, () => 1),
      ...numbered('intel/seg_test/seg_test/ice/', 5, 7, () => 0),
      ...numbered('intel/seg_test/seg_test/sea/', 7, 9, () => 1),
      'intel/seg_train/seg_train/ice/.DS_Store': 'x',
      'intel/__MACOSX/ice/._1.png': 'x',
    }),
    classes: ['ice', 'sea'],
    counts: { train: [5, 7], test: [2, 2] },
    pixel: ['intel/seg_train/seg_train/sea/6.png', colour(1, 6)],
    mistake: /^intel\/seg_test\/seg_test\/(ice|sea)\/\d\.png$/,
  },
  'class folders with test beside them, and files without an ending': {
    files: () => ({
      ...numbered('a/', 0, 8, () => 0),
      ...numbered('b/', 8, 16, () => 1),
      'b/no-ending': colour(1, 16),
      'b/notes.txt': 'text',
      'test/a/0.png': colour(0, 40),
      'test/b/1.png': colour(1, 41),
    }),
    // The classes in test are those beside it: it can be nothing else than a part.
    classes: ['a', 'b'],
    counts: { train: [8, 9], test: [1, 1] },
    pixel: ['b/no-ending', colour(1, 16)],
    mistake: /^test\/[ab]\/[01]\.png$/,
  },
  "Keras' folder of datasets": {
    files: () => (folder) =>
      cpSync(golden('pickles/cifar-10-batches-py'), join(folder, 'datasets/cifar-10-batches-py-target/cifar-10-batches-py'), {
        recursive: true,
      }),
    data: 'cifar10',
    env: { KERAS_HOME: 'set' },
    classes: Array.from({ length: 10 }, (_, i) => `name ${i}`),
    counts: { train: [1, 1, 1, 1, 1, 0, 0, 0, 0, 0], test: [0, 0, 0, 0, 0, 0, 0, 1, 1, 0] },
    pixel: [2, [planarByte(2, 0), planarByte(2, 1024), planarByte(2, 2048)]],
    mistake: /^$/,
  },
  "torchvision's folder with CIFAR-100, coarse": {
    files: () => (folder) => cpSync(golden('pickles/cifar-100-python'), join(folder, 'cifar-100-python'), { recursive: true }),
    options: ['--label-column', 'coarse'],
    classes: Array.from({ length: 20 }, (_, i) => `coarse ${i}`),
    counts: {
      train: [1, 1, 1, ...Array<number>(17).fill(0)],
      test: [1, 0, 0, 1, ...Array<number>(16).fill(0)],
    },
    pixel: [1, [planarByte(1, 0), planarByte(1, 1024), planarByte(1, 2048)]],
    mistake: /^$/,
  },
  "CIFAR-10's archive, binary": {
    files: () => ({
      'cifar-10-binary.tar.gz': tarGz([
        { name: 'cifar-10-batches-bin/', type: '5' },
        { name: 'cifar-10-batches-bin/data_batch_1.bin', data: records(10) },
        { name: 'cifar-10-batches-bin/test_batch.bin', data: records(10) },
      ]),
    }),
    data: 'set/cifar-10-binary.tar.gz',
    classes: ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'],
    counts: { train: Array<number>(10).fill(1), test: Array<number>(10).fill(1) },
    pixel: [3, [planarByte(3, 0), planarByte(3, 1024), planarByte(3, 2048)]],
    mistake: /^$/,
  },
  "CIFAR-100's folder, binary, coarse": {
    files: () => ({
      'cifar-100-binary/train.bin': cifar100(12),
      'cifar-100-binary/test.bin': cifar100(10),
      'cifar-100-binary/fine_label_names.txt': FINE,
      'cifar-100-binary/coarse_label_names.txt': COARSE,
    }),
    options: ['--label-column', 'coarse'],
    classes: COARSE.split('\n').slice(0, -1),
    counts: { train: [3, 3, 2, 2, 2, ...Array<number>(15).fill(0)], test: [2, 2, 2, 2, 2, ...Array<number>(15).fill(0)] },
    pixel: [3, [planarByte(3, 0), planarByte(3, 1024), planarByte(3, 2048)]],
    mistake: /^$/,
  },
  "CIFAR-100's archive, binary, coarse": {
    files: () => ({
      'cifar-100-binary.tar.gz': tarGz([
        { name: 'cifar-100-binary/', type: '5' },
        { name: 'cifar-100-binary/train.bin', data: cifar100(12) },
        { name: 'cifar-100-binary/test.bin', data: cifar100(10) },
        { name: 'cifar-100-binary/fine_label_names.txt', data: FINE },
        { name: 'cifar-100-binary/coarse_label_names.txt', data: COARSE },
      ]),
    }),
    data: 'set/cifar-100-binary.tar.gz',
    options: ['--label-column', 'coarse'],
    classes: COARSE.split('\n').slice(0, -1),
    counts: { train: [3, 3, 2, 2, 2, ...Array<number>(15).fill(0)], test: [2, 2, 2, 2, 2, ...Array<number>(15).fill(0)] },
    pixel: [3, [planarByte(3, 0), planarByte(3, 1024), planarByte(3, 2048)]],
    mistake: /^$/,
  },
  "CIFAR-100's archive of the Python version, coarse": {
    files: () => (folder) =>
      writeFileSync(
        join(folder, 'cifar-100-python.tar.gz'),
        tarGz(
          ['meta', 'train', 'test'].map((name) => ({
            name: `cifar-100-python/${name}`,
            data: readFileSync(golden(`pickles/cifar-100-python/${name}`)),
          })),
        ),
      ),
    data: 'set/cifar-100-python.tar.gz',
    options: ['--label-column', 'coarse'],
    classes: Array.from({ length: 20 }, (_, i) => `coarse ${i}`),
    counts: { train: [1, 1, 1, ...Array<number>(17).fill(0)], test: [1, 0, 0, 1, ...Array<number>(16).fill(0)] },
    pixel: [1, [planarByte(1, 0), planarByte(1, 1024), planarByte(1, 2048)]],
    mistake: /^$/,
  },
  "torchvision's MNIST/raw": {
    files: () => ({
      'MNIST/raw/train-images-idx3-ubyte.gz': gzipSync(idx([12, 8, 8], pixelsOf(12))),
      'MNIST/raw/train-labels-idx1-ubyte.gz': gzipSync(idx([12], labelsOf(12, 3))),
      'MNIST/raw/t10k-images-idx3-ubyte': idx([3, 8, 8], pixelsOf(20).subarray(17 * 64)),
      'MNIST/raw/t10k-labels-idx1-ubyte': idx([3], labelsOf(3, 3)),
    }),
    classes: ['0', '1', '2'],
    counts: { train: [4, 4, 4], test: [1, 1, 1] },
    pixel: [4, [20]],
    mistake: /^$/,
  },
  "MedMNIST's npz": {
    files: () => ({
      'pneumoniamnist.npz': writeNpz(
        new Map<string, NpyArray>([
          ['train_images', { shape: [12, 8, 8], data: pixelsOf(12) }],
          ['train_labels', { shape: [12, 1], data: Uint8Array.from(labelsOf(12, 2)) }],
          ['val_images', { shape: [8, 8, 8], data: pixelsOf(20).slice(12 * 64) }],
          ['val_labels', { shape: [8, 1], data: Uint8Array.from(labelsOf(8, 2)) }],
          ['test_images', { shape: [4, 8, 8], data: pixelsOf(24).slice(20 * 64) }],
          ['test_labels', { shape: [4, 1], data: Uint8Array.from(labelsOf(4, 2)) }],
        ]),
      ),
    }),
    data: 'set/pneumoniamnist.npz',
    classes: ['class 0', 'class 1'],
    counts: { train: [6, 6], validation: [4, 4], test: [2, 2] },
    pixel: [3, [15]],
    mistake: /^$/,
  },
  "Hugging Face's Parquet": {
    files: () => (folder) => cpSync(golden('parquet/cifar'), folder, { recursive: true }),
    classes: ['airplane', 'automobile', 'bird'],
    counts: { train: [4, 4, 4], test: [1, 1, 1] },
    pixel: ['train-00001-of-00002.parquet, row 2', [180, 63, 3]],
    mistake: /^test-00000-of-00001\.parquet, row [012]$/,
  },
  "WebDataset's shards": {
    files: () => async (folder: string) => {
      const shard = async (name: string, from: number, to: number): Promise<void> => {
        const entries: Buffer[] = [];
        for (let i = from; i < to; i++) {
          entries.push(
            tarEntry({ name: `${i}.png`, data: await solid('png', colour(i % 2, i)) }),
            tarEntry({ name: `${i}.cls`, data: `${i % 2}` }),
          );
        }
        writeFileSync(join(folder, name), Buffer.concat([...entries, Buffer.alloc(1024)]));
      };
      await shard('train-0000.tar', 0, 7);
      await shard('train-0001.tar', 7, 12);
      await shard('test-0000.tar', 12, 16);
      writeFileSync(join(folder, 'classnames.txt'), 'even\nodd\n');
    },
    classes: ['even', 'odd'],
    counts: { train: [6, 6], test: [2, 2] },
    pixel: ['train-0001.tar: 9.png', colour(1, 9)],
    mistake: /^test-0000\.tar: 1[2-5]\.png$/,
  },
  'Tiny ImageNet': {
    files: () => ({
      ...Object.fromEntries(
        Array.from({ length: 12 }, (_, i) => [`tiny-imagenet-200/train/n0${i % 2}/images/n0${i % 2}_${i}.JPEG`, colour(i % 2, i)]),
      ),
      'tiny-imagenet-200/train/n00/n00_boxes.txt': 'n00_0.JPEG\t0\t0\t9\t9\n',
      'tiny-imagenet-200/val/images/val_0.JPEG': colour(1, 20),
      'tiny-imagenet-200/val/images/val_1.JPEG': colour(0, 21),
      'tiny-imagenet-200/val/val_annotations.txt': 'val_0.JPEG\tn01\t0\t0\t9\t9\nval_1.JPEG\tn00\t0\t0\t9\t9\n',
      'tiny-imagenet-200/test/images/test_0.JPEG': colour(0, 22),
      'tiny-imagenet-200/wnids.txt': 'n00\nn01\n',
      'tiny-imagenet-200/words.txt': 'n00\tant\n',
    }),
    classes: ['n00', 'n01'],
    counts: { train: [6, 6], validation: [1, 1] },
    warned: /^warning: .*the folder "tiny-imagenet-200\/test" is not used: its images are in no class folders\n$/,
    pixel: ['tiny-imagenet-200/train/n01/images/n01_5.JPEG', colour(1, 5)],
    mistake: /^tiny-imagenet-200\/val\/images\/val_[01]\.JPEG$/,
  },
  "Oxford's Pets, in torchvision's folder": {
    files: () => ({
      ...Object.fromEntries(
        Array.from({ length: 16 }, (_, i) => [
          `oxford-iiit-pet/images/${i % 2 ? 'Abyssinian' : 'american_bulldog'}_${i}.jpg`,
          colour(i % 2, i),
        ]),
      ),
      'oxford-iiit-pet/annotations/list.txt': '#Image CLASS-ID SPECIES BREED ID\nAbyssinian_1 1 1 1\n',
      'oxford-iiit-pet/annotations/trainval.txt': rows(0, 12, (i) => (i % 2 ? `Abyssinian_${i} 1 1 1` : `american_bulldog_${i} 2 2 1`)),
      'oxford-iiit-pet/annotations/test.txt': rows(12, 16, (i) => (i % 2 ? `Abyssinian_${i} 1 1 1` : `american_bulldog_${i} 2 2 1`)),
    }),
    classes: ['Abyssinian', 'american_bulldog'],
    counts: { train: [6, 6], test: [2, 2] },
    pixel: ['oxford-iiit-pet/images/Abyssinian_3.jpg', colour(1, 3)],
    mistake: /^oxford-iiit-pet\/images\/(Abyssinian|american_bulldog)_1[2-5]\.jpg$/,
  },
  "Oxford's Flowers, in torchvision's folder": {
    files: () => ({
      ...Object.fromEntries(Array.from({ length: 6 }, (_, i) => [`flowers-102/jpg/image_0000${i + 1}.jpg`, colour(i % 3, 9 * i)])),
      'flowers-102/imagelabels.mat': readFileSync(golden('flowers/imagelabels.mat')),
      'flowers-102/setid.mat': readFileSync(golden('flowers/setid.mat')),
    }),
    classes: ['1', '2', '3'],
    counts: { train: [1, 1, 1], validation: [1, 0, 0], test: [0, 1, 1] },
    pixel: ['flowers-102/jpg/image_00002.jpg', colour(1, 9)],
    mistake: /^flowers-102\/jpg\/image_0000[56]\.jpg$/,
  },
};

async function write(folder: string, files: ReturnType<Layout['files']>): Promise<void> {
  mkdirSync(folder, { recursive: true });
  if (typeof files === 'function') return files(folder);
  for (const [path, contents] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    const isColour = Array.isArray(contents);
    const bytes = isColour
      ? await solid(/\.jpe?g$/i.test(path) ? 'jpeg' : 'png', contents as unknown as Colour)
      : (contents as Uint8Array | string);
    writeFileSync(join(folder, path), bytes);
  }
}

const countsOf = ({ labels, classes, size }: Dataset): number[] =>
  Array.from(labels.subarray(0, size)).reduce(
    (counts, label) => counts.with(label, counts[label] + 1),
    Array<number>(classes.length).fill(0),
  );

describe('sets as people have them', () => {
  test.each(Object.entries(LAYOUTS))('%s', async (_, {
    files,
    data = 'set',
    options = [],
    env = {},
    classes,
    counts,
    warned,
    pixel,
    mistake,
  }) => {
    const cwd = tempFolder();
    await write(join(cwd, 'set'), files());
    const inside = Object.fromEntries(Object.entries(env).map(([name, path]) => [name, join(cwd, path)]));
    const io = { cwd, env: { XDG_CACHE_HOME: join(cwd, 'cache'), ...inside } };
    const size = ['--image-size', '8'];

    // One known pixel, through the library.
    const source = await openData(data === 'cifar10' ? data : join(cwd, data), {
      ...{ cacheDir: join(cwd, 'cache', 'hybrid'), localDir: join(cwd, 'data'), kerasDir: join(cwd, 'set', 'datasets') },
      labelColumn: options[1],
    });
    const { train } = source;
    expect(train.classes).toEqual(classes);
    const parts = Object.entries({ train, validation: source.validation, test: source.test });
    expect(Object.fromEntries(parts.flatMap(([part, dataset]) => (dataset ? [[part, countsOf(dataset)]] : [])))).toEqual(counts);
    const index =
      typeof pixel[0] === 'number' ? pixel[0] : Array.from({ length: train.size }, (__, i) => train.fileOf?.(i)).indexOf(pixel[0]);
    expect(index, String(pixel[0])).toBeGreaterThanOrEqual(0);
    const image = new Uint8Array(train.shape[0] * train.shape[1] * train.shape[2]);
    await train.read([index], image);
    for (const [c, value] of pixel[1].entries())
      expect(Math.abs(image[c] - value), `channel ${c} of ${image.slice(0, 3)}`).toBeLessThanOrEqual(2);

    const info = await cli(['data', 'info', data, '--json', ...size, ...options], io);
    expect(info.stderr).toMatch(warned ?? /^$/);
    const told = JSON.parse(info.stdout);
    for (const [part, of] of Object.entries(counts)) expect(told[part].classes).toEqual(classes.map((name, k) => ({ name, count: of[k] })));
    const verified = await cli(['data', 'verify', data, '--json', ...size, ...options], io);
    expect({ status: verified.status, ...JSON.parse(verified.stdout) }).toMatchObject({ status: 0, classNames: classes, bad: [] });

    const trained = await cli(
      ['train', '--data', data, '--name', 'r', '--no-figures', '--val-fraction', '0', ...size, ...options, ...TINY],
      io,
    );
    expect(trained.status, trained.stderr).toBe(0);
    expect(trained.stderr).toContain(`${classes.length} classes: ${classes[0]}`);
    const evaluated = await cli(['eval', 'r', '--json'], io);
    const held = counts.test ?? counts.validation;
    expect([evaluated.status, evaluated.stderr.replace(/^warning: .*\n/gm, '')]).toEqual(
      held ? [0, ''] : [4, expect.stringContaining('no test images')],
    );
    if (held) {
      const { images, largestLosses } = JSON.parse(evaluated.stdout);
      expect(images).toBe(held.reduce((sum, n) => sum + n, 0));
      for (const { file } of largestLosses) expect(file ?? '').toMatch(mistake);
      const shown = await cli(['eval', 'r'], io);
      expect(shown.stdout).toMatch(/largest losses\n {2}\S/);
    }
    writeFileSync(join(cwd, 'one.png'), await solid('png', [1, 2, 3], { height: 20, width: 30 }));
    const predicted = await cli(['predict', 'r', 'one.png', '--json'], io);
    expect(JSON.parse(predicted.stdout)[0].top).toHaveLength(Math.min(3, classes.length));
  });
});
