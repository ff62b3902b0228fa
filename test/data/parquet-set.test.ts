import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { DataNotice } from '../../app/sources/place.ts';
import { openData } from '../../app/sources/source.ts';
import type { DataSource } from '../../runtime/data/dataset.ts';
import { hybridError } from '../support/expect-error.ts';
import { solid } from '../support/images.ts';
import { huggingFace, parquetFile, type WrittenColumn, type WrittenParquet } from '../support/parquet.ts';
import { tempFolder } from '../support/temp-folder.ts';

let IMAGES: Buffer[];
beforeAll(async () => {
  IMAGES = await Promise.all(Array.from({ length: 12 }, (_, i) => solid('png', [10 * i, 7, 90])));
});

function folderOf(files: Readonly<Record<string, Uint8Array>>): string {
  const folder = tempFolder();
  for (const [path, data] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), data);
  }
  return folder;
}

async function opened(path: string, more: object = {}): Promise<{ source: DataSource; told: string }> {
  const notices: DataNotice[] = [];
  const source = await openData(path, { cacheDir: tempFolder(), imageSize: [4, 4], onNotice: (notice) => notices.push(notice), ...more });
  return { source, told: notices.map(({ text }) => text).join('\n') };
}

interface Given extends Omit<WrittenParquet, 'columns'> {
  readonly labels: readonly (number | string)[];
  readonly names?: readonly string[];
  readonly images?: readonly Uint8Array[];
  readonly label?: string;
  readonly others?: readonly WrittenColumn[];
}

/** Image i is the i-th of IMAGES. */
const file = ({ labels, names, images, label = 'label', others = [], ...more }: Given): Buffer =>
  parquetFile({
    columns: [
      { path: ['image', 'bytes'], values: images ?? labels.map((_, i) => IMAGES[i % IMAGES.length]) },
      { path: [label], values: labels },
      ...others,
    ],
    metadata: names ? huggingFace({ image: { _type: 'Image' }, [label]: { _type: 'ClassLabel', names } }) : {},
    ...more,
  });

const labelsOf = ({ train, validation, test }: DataSource): (number[] | undefined)[] =>
  [train, validation, test].map((set) => set && [...set.labels]) as (number[] | undefined)[];

describe('Parquet files of a set', () => {
  it('whose names of classes are in another order have their numbers by name', async () => {
    const folder = folderOf({
      'train.parquet': file({ labels: [0, 1, 0, 1], names: ['cat', 'dog'] }),
      'test.parquet': file({ labels: [0, 1, 1], names: ['dog', 'cat'] }),
    });
    const { source } = await opened(folder);
    expect([source.train.classes, ...labelsOf(source)]).toEqual([['cat', 'dog'], [0, 1, 0, 1], null, [1, 0, 0]]);
  });

  it.each<[string, Partial<Given>, RegExp]>([
    ['other names', { names: ['cat', 'cow'] }, /test\.parquet and .*train\.parquet have other names of classes: 2 and 2, and "cow"/],
    ['more names', { names: ['cat', 'dog', 'cow'] }, /other names of classes: 3 and 2, and "cow"/],
    ['a number without a name', { names: ['dog', 'cat'], labels: [0, 2] }, /test\.parquet has the class 2, and names for 2 only/],
    [
      'another column',
      { label: 'kind' },
      /test\.parquet and .*train\.parquet have other columns: "label" .*INT64, and in the first not at all/,
    ],
    ['text for classes', { labels: ['a', 'b'] }, /"label" is in the second as INT64, and in the first as text/],
  ])('of which one has %s are refused', async (_, other, message) => {
    const folder = folderOf({
      'train.parquet': file({ labels: [0, 1, 0, 1], names: ['cat', 'dog'] }),
      'test.parquet': file({ labels: [0, 1], ...other }),
    });
    expect((await hybridError('E_DATA', opened(folder))).message).toMatch(message);
  });

  it('that are called alike are told apart: a damaged image of one takes none from the other', async () => {
    const many = Array.from({ length: 120 }, (_, i) => i % 2);
    const images = many.map((_, i) => (i === 7 ? IMAGES[0].subarray(0, 40) : IMAGES[i % 12]));
    const folder = folderOf({
      'train/0000.parquet': file({ labels: many, images }),
      'test/0000.parquet': file({ labels: many.slice(0, 20) }),
    });
    const cacheDir = tempFolder();
    for (const time of ['first', 'from the cache']) {
      const { source, told } = await opened(folder, { cacheDir });
      expect([time, source.train.size, source.test?.size, source.skipped?.length]).toEqual([time, 119, 20, 1]);
      expect(source.skipped?.[0]).toMatchObject({
        path: 'train/0000.parquet, row 7',
        reason: expect.stringMatching(/cannot be decoded: .+/),
      });
      expect(told).toMatch(/1 file is skipped .*\ntrain\/0000\.parquet, row 7/);
      expect([source.train.fileOf?.(7), source.test?.fileOf?.(7)]).toEqual(['train/0000.parquet, row 8', 'test/0000.parquet, row 7']);
    }
  });

  it('rows without a class among others are left out, with a warning, where classes have names', async () => {
    const folder = folderOf({ 'a.parquet': file({ labels: [0, 1, 2, 0, -1, 1], names: ['a', 'b', 'c'] }) });
    const { source, told } = await opened(folder);
    expect([source.train.classes, [...source.train.labels]]).toEqual([
      ['a', 'b', 'c'],
      [0, 1, 2, 0, 1],
    ]);
    expect(source.train.fileOf?.(4)).toBe('a.parquet, row 5');
    expect(told).toMatch(/1 of 6 train images have no class \(-1\): skipped/);
  });

  it('the column of images is the one that the description says, or the one that has an image among its first values', async () => {
    const images = [Buffer.from('damaged'), ...IMAGES.slice(1, 4)];
    const mask = { path: ['mask', 'bytes'], values: IMAGES.slice(4, 8) };
    const given = { labels: [0, 1, 0, 1], images };
    const more = { maxBad: 1 };
    const told = await opened(folderOf({ 'a.parquet': file({ ...given, names: ['x', 'y'], others: [mask] }) }), more);
    expect(told.source.train.size).toBe(3);
    const looked = await opened(folderOf({ 'a.parquet': file(given) }), more);
    expect([looked.source.train.size, looked.source.train.fileOf?.(0)]).toEqual([3, 'a.parquet, row 1']);
    expect((await hybridError('E_DATA', opened(folderOf({ 'a.parquet': file({ ...given, others: [mask] }) })))).message).toMatch(
      /several columns of images: "image", "mask"/,
    );
  });
});
