// Sets in Parquet files: which files and columns are taken, and what is asked for. How a file is read is in test/formats/parquet.test.ts.

import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { classesOf } from '../../app/sources/label-values.ts';
import type { DataNotice } from '../../app/sources/place.ts';
import { openData } from '../../app/sources/source.ts';
import type { DataSource, Dataset } from '../../runtime/data/dataset.ts';
import { hybridError } from '../support/expect-error.ts';
import { tempFolder } from '../support/temp-folder.ts';

const golden = (name: string): string => fileURLToPath(new URL(`../golden/parquet/${name}.parquet`, import.meta.url));
const TRAIN = 'cifar/plain_text/train-00000-of-00002';
const MORE = 'cifar/plain_text/train-00001-of-00002';
const TEST = 'cifar/plain_text/test-00000-of-00001';

/** A folder of copies: path → which golden file. */
function folderOf(files: Readonly<Record<string, string>>): string {
  const folder = tempFolder();
  for (const [path, name] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    copyFileSync(golden(name), join(folder, path));
  }
  return folder;
}

async function opened(path: string, more: object = {}): Promise<{ source: DataSource; notices: string }> {
  const notices: DataNotice[] = [];
  const source = await openData(path, { cacheDir: tempFolder(), imageSize: [5, 6], onNotice: (notice) => notices.push(notice), ...more });
  return { source, notices: notices.map(({ text }) => text).join('\n') };
}

const sizes = ({ train, validation, test }: DataSource): (number | undefined)[] => [train.size, validation?.size, test?.size];
const pixel = async (dataset: Dataset, index: number): Promise<number[]> => {
  const out = new Uint8Array(90);
  await dataset.read([index], out);
  return [...out.subarray(0, 3)];
};

describe('which files', () => {
  it.each([
    [
      'in the folder of a configuration',
      { [`plain_text/${'train-00000-of-00001'}.parquet`]: TRAIN, 'plain_text/test-00000-of-00001.parquet': TEST },
    ],
    ['in data', { 'data/train-00000-of-00001.parquet': TRAIN, 'data/test-00000-of-00001.parquet': TEST, 'README.md': TRAIN }],
    ['in folders of the parts', { 'default/train/0000.parquet': TRAIN, 'default/test/0000.parquet': TEST }],
    ['at the top, by plain names', { 'train.parquet': TRAIN, 'test.parquet': TEST }],
    ['with the name of the set before', { 'cifar10-train.parquet': TRAIN, 'cifar10-test.parquet': TEST }],
  ])('%s', async (_, files) => {
    const { source } = await opened(folderOf(files));
    expect(sizes(source)).toEqual([7, undefined, 3]);
    expect(await pixel(source.train, 4)).toEqual([80, 28, 3]);
  });

  it('one file, by its name or through a link, is for training', async () => {
    const folder = folderOf({ 'anything.parquet': MORE });
    expect(sizes((await opened(join(folder, 'anything.parquet'))).source)).toEqual([5, undefined, undefined]);
    // As Hugging Face's cache has them: links to files without an ending.
    const snapshot = tempFolder();
    symlinkSync(join(folder, 'anything.parquet'), join(snapshot, 'train.parquet'));
    expect(sizes((await opened(snapshot)).source)).toEqual([5, undefined, undefined]);
  });

  it('pieces follow each other, and rows keep their order', async () => {
    const { source } = await opened(folderOf({ 'train-00001-of-00002.parquet': MORE, 'train-00000-of-00002.parquet': TRAIN }));
    expect([...source.train.labels]).toEqual([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]);
    expect(await pixel(source.train, 11)).toEqual([220, 77, 3]);
    expect(source.train.fileOf?.(8)).toBe('train-00001-of-00002.parquet, row 1');
    expect(source.train.classes).toEqual(['airplane', 'automobile', 'bird']);
  });

  it('several sets, or none for training, are a question', async () => {
    const error = await hybridError('E_DATA', opened(folderOf({ 'a/train.parquet': TRAIN, 'b/train.parquet': MORE })));
    expect(error.message).toMatch(/holds several sets: "a", "b"/);
    expect((await hybridError('E_DATA', opened(folderOf({ 'test.parquet': TEST })))).message).toMatch(
      /no files for training, but "test.parquet"/,
    );
  });

  it('the labels of a test that are kept secret (-1) are told, and its images not used', async () => {
    const { source, notices } = await opened(folderOf({ 'train.parquet': 'secret/train', 'test.parquet': 'secret/test' }));
    expect(sizes(source)).toEqual([9, undefined, undefined]);
    expect(notices).toMatch(/the test images have no classes \(-1\): ignored/);
  });
});

describe('which columns', () => {
  it('bytes alone, names of classes as text, and booleans', async () => {
    expect((await opened(golden('brotli'))).source.train.classes).toEqual(['class 0', 'class 1', 'class 2']);
    expect((await opened(golden('gzip'))).source.train.classes).toEqual(['airplane', 'automobile', 'bird']);
    expect([...(await opened(golden('bool'))).source.train.labels]).toEqual([0, 1, 0, 1, 0, 1, 0, 1, 0]);
  });

  it('fine labels, or the ones that are named', async () => {
    expect((await opened(golden('fine'))).source.train.classes).toHaveLength(3);
    const { source } = await opened(golden('fine'), { labelColumn: 'coarse_label', images: 'image' });
    expect([...source.train.labels]).toEqual([0, 1, 0, 1, 0, 1, 0, 1, 0]);
    const error = await hybridError('E_DATA', opened(golden('fine'), { labelColumn: 'coarse_labels' }));
    expect([error.message, error.remedy]).toEqual([
      expect.stringContaining('has no column of classes "coarse_labels", but "image.bytes"'),
      'Did you mean coarse_label?',
    ]);
    expect((await hybridError('E_DATA', opened(golden('fine'), { images: 'img' }))).message).toMatch(/no column of images "img"/);
  });
});

describe('damage', () => {
  it('a file cut short, and one whose images are none, are told by name', async () => {
    const whole = readFileSync(golden('none'));
    const path = join(tempFolder(), 'x.parquet');
    writeFileSync(path, whole.subarray(0, 900));
    expect((await hybridError('E_DATA', opened(path))).message).toMatch(/x\.parquet is not a Parquet file that can be read/);
    const spoiled = Buffer.from(whole.toString('latin1').replaceAll('IHDR', 'IHDX'), 'latin1');
    writeFileSync(path, spoiled);
    const error = await hybridError('E_DATA', opened(path));
    expect(error.message).toMatch(/x\.parquet, row 0 cannot be decoded/);
  });
});

describe('labels', () => {
  it('of too many classes, of one, and that are no names are refused; a path is a name', () => {
    const of = (values: readonly (number | string)[]) => () => classesOf({ path: 'x', values: [values] });
    expect(of(Array.from({ length: 65_537 }, (_, i) => i))).toThrow(/x has 65,537 classes, more than 65,536/);
    expect(of([3, 3])).toThrow(/one class only/);
    expect(of(['a', ''])).toThrow(/is not a name/);
    expect(of(['a', 'b'.repeat(201)])).toThrow(/is not a name/);
    expect(classesOf({ path: 'x', values: [['../../etc', 'a/b']] }).classes).toEqual(['../../etc', 'a/b']);
  });
});
