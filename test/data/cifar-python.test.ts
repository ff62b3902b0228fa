import { copyFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { findPythonCifar, readPythonCifar } from '../../app/sources/cifar-python.ts';
import type { DataNotice } from '../../app/sources/place.ts';
import { openData } from '../../app/sources/source.ts';
import { nodeFiles } from '../../runtime/base/files.ts';
import type { Dataset } from '../../runtime/data/dataset.ts';
import { planarByte, records } from '../support/cifar10-records.ts';
import { hybridError } from '../support/expect-error.ts';
import { SMALL_ENTRIES, tarGz } from '../support/tar.ts';
import { tempFolder } from '../support/temp-folder.ts';

const GOLDEN = fileURLToPath(new URL('../golden/pickles/', import.meta.url));
const CIFAR10 = join(GOLDEN, 'cifar-10-batches-py');
const BATCHES = ['data_batch_1', 'data_batch_2', 'test_batch', 'batches.meta'];

function image(dataset: Dataset, index: number): Uint8Array {
  const out = new Uint8Array(3072);
  dataset.read([index], out);
  return out;
}

function expectPixels(dataset: Dataset, index: number, record: number): void {
  const bytes = image(dataset, index);
  for (const [y, x, c] of [
    [0, 0, 0],
    [0, 31, 2],
    [17, 3, 1],
  ]) {
    expect(bytes[(y * 32 + x) * 3 + c]).toBe(planarByte(record, c * 1024 + y * 32 + x));
  }
}

function copyOf(change: (folder: string) => void): string {
  const folder = tempFolder();
  cpSync(CIFAR10, folder, { recursive: true });
  change(folder);
  return folder;
}

describe("CIFAR's Python version", () => {
  it('has the images and labels of the binary version, batch after batch', async () => {
    const { train, test } = await openData(CIFAR10);
    expect([train.name, train.size, train.shape, test?.size]).toEqual(['CIFAR-10 training set', 5, [32, 32, 3], 2]);
    expect([...train.labels, ...(test?.labels ?? [])]).toEqual([0, 1, 2, 3, 4, 7, 8]);
    expect(train.classes).toEqual(Array.from({ length: 10 }, (_, i) => `name ${i}`));
    for (const index of [0, 2, 3, 4]) expectPixels(train, index, index);
    expectPixels(test as Dataset, 1, 8);
    const binary = tempFolder();
    writeFileSync(join(binary, 'data_batch_1.bin'), records(5));
    const { train: same } = await openData(binary);
    for (let i = 0; i < 5; i++) expect(image(train, i)).toEqual(image(same, i));
    expect(train.images).toMatchObject({ kind: 'shared', layout: 'planar' });
  });

  it('CIFAR-100 takes the fine labels', async () => {
    const { train, test } = await openData(join(GOLDEN, 'cifar-100-python'));
    expect([train.size, train.classes.length, test?.size, ...train.labels]).toEqual([3, 100, 2, 0, 1, 2]);
  });

  it.each([
    'cifar-10-batches-py',
    'cifar-10-batches-py-target/cifar-10-batches-py',
    'cifar-10-batches-py_extracted/cifar-10-batches-py',
  ])('is found in a folder that holds it as %s', async (name) => {
    const folder = tempFolder();
    cpSync(CIFAR10, join(folder, name), { recursive: true });
    expect((await openData(folder)).train.size).toBe(5);
  });

  it("cifar10 and auto look into Keras' folder before they ask the network, and say so", async () => {
    const root = tempFolder();
    const kerasDir = join(root, 'keras');
    cpSync(CIFAR10, join(kerasDir, 'cifar-10-batches-py'), { recursive: true });
    for (const spec of ['cifar10', 'auto']) {
      const notices: DataNotice[] = [];
      const options = { localDir: join(root, 'data'), cacheDir: join(root, 'cache'), kerasDir, url: 'http://127.0.0.1:9/none' };
      const { train } = await openData(spec, { ...options, onNotice: (notice) => notices.push(notice) });
      expect(train.size).toBe(5);
      expect(notices.map(({ text }) => text).join()).toContain("CIFAR-10 is read from Keras' cache");
    }
  });

  it('train and test alone are not taken for batches', async () => {
    const folder = tempFolder();
    for (const name of ['train', 'test']) writeFileSync(join(folder, name), 'x');
    expect(await findPythonCifar(nodeFiles, folder)).toBeNull();
  });

  it.each([
    [
      'a batch that is cut short',
      (folder: string) => writeFileSync(join(folder, 'data_batch_1'), readFileSync(join(CIFAR10, 'data_batch_1')).subarray(0, 5000)),
      /data_batch_1 cannot be read as a pickle/,
    ],
    [
      'a batch that calls something',
      (folder: string) => writeFileSync(join(folder, 'data_batch_1'), "cos\nsystem\n(S'x'\ntR."),
      /asks for os\.system, which is not executed/,
    ],
    ['a batch that is not a dictionary', (folder: string) => writeFileSync(join(folder, 'data_batch_1'), ']. '), /holds no dictionary/],
    [
      'a file of names for a batch',
      (folder: string) => copyFileSync(join(folder, 'batches.meta'), join(folder, 'data_batch_2')),
      /no array "data"/,
    ],
    [
      'a batch for the file of names',
      (folder: string) => copyFileSync(join(folder, 'data_batch_2'), join(folder, 'batches.meta')),
      /"label_names" of 10 names/,
    ],
    [
      'the batch of another set',
      (folder: string) => copyFileSync(join(GOLDEN, 'cifar-100-python/train'), join(folder, 'test_batch')),
      /no list "labels"/,
    ],
  ] as const)('%s is refused by its name', async (_, change, message) => {
    const error = await hybridError('E_DATA', openData(copyOf(change)));
    expect(error.message).toMatch(message);
    expect(error.remedy).not.toBe('');
  });

  it('every batch cut short at any hundredth byte is refused', async () => {
    const whole = readFileSync(join(CIFAR10, 'data_batch_2'));
    for (let length = 0; length < whole.length; length += 97) {
      const folder = copyOf((at) => writeFileSync(join(at, 'data_batch_2'), whole.subarray(0, length)));
      const found = await findPythonCifar(nodeFiles, folder);
      await hybridError('E_DATA', readPythonCifar(nodeFiles, found ?? { set: {} as never, folder, batches: [] }));
    }
  });
});

describe('archives of CIFAR', () => {
  const put = (bytes: Uint8Array, name = 'set.tar.gz'): string => {
    const path = join(tempFolder(), 'downloads', name);
    mkdirSync(dirname(path));
    writeFileSync(path, bytes);
    return path;
  };
  const python = (): Uint8Array =>
    tarGz([
      { name: 'cifar-10-batches-py/', type: '5' },
      ...BATCHES.map((name) => ({ name: `cifar-10-batches-py/${name}`, data: readFileSync(join(CIFAR10, name)) })),
    ]);

  it('of the binary and of the Python version are read without unpacking them', async () => {
    const binary = await openData(put(tarGz(SMALL_ENTRIES), 'cifar-10-binary.tar.gz'), { memoryBudget: 0 });
    expect([binary.train.size, binary.test?.size]).toEqual([10, 2]);
    const { train } = await openData(put(python(), 'cifar-10-python.tgz'));
    expect([train.size, ...train.labels]).toEqual([5, 0, 1, 2, 3, 4]);
  });

  it.each([
    ['another archive', tarGz([{ name: 'readme.txt', data: 'x' }]), /holds neither/],
    ['an archive that is cut short', python().subarray(0, 500), /cannot be read/],
    ['no archive', Buffer.from('hello'), /cannot be read/],
    ['a bomb', tarGz([{ name: 'x', data: '', size: 2 ** 32 }]), /unpacks to more than/],
    ['a link', tarGz([{ name: 'data_batch_1.bin', type: '2', link: '/etc/passwd' }]), /not a regular file/],
  ])('%s is refused', async (_, bytes, message) => {
    expect((await hybridError('E_DATA', openData(put(bytes)))).message).toMatch(message);
  });
});
