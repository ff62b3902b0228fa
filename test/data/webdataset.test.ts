import { mkdirSync, readFileSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { DataNotice } from '../../app/sources/place.ts';
import { openData } from '../../app/sources/source.ts';
import { verifyData } from '../../app/sources/verify.ts';
import type { DataSource, Dataset } from '../../runtime/data/dataset.ts';
import { hybridError } from '../support/expect-error.ts';
import { solid } from '../support/images.ts';
import { type TarEntry, tarEntry } from '../support/tar.ts';
import { tempFolder } from '../support/temp-folder.ts';

let IMAGES: Buffer[];
beforeAll(async () => {
  IMAGES = await Promise.all(Array.from({ length: 12 }, (_, i) => solid('png', [10 * i, 7, 90])));
});

const END = Buffer.alloc(1024);
const tar = (entries: readonly TarEntry[], end = END): Buffer => Buffer.concat([...entries.map(tarEntry), end]);
const sample = (i: number, label: string | number = i % 3): TarEntry[] => [
  { name: `${`${i}`.padStart(4, '0')}.png`, data: IMAGES[i] },
  { name: `${`${i}`.padStart(4, '0')}.cls`, data: `${label}\n` },
];
const samples = (from: number, to: number): TarEntry[] => Array.from({ length: to - from }, (_, i) => sample(from + i)).flat();

/** An entry that claims 2^95 bytes, in the form for sizes that digits cannot hold. */
function beyond(): Buffer {
  const entry = tarEntry({ name: '0.png' });
  entry.fill(0xff, 124, 136);
  entry[124] = 0x80;
  entry.fill(0x20, 148, 156);
  const sum = entry.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  entry.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return entry;
}

function folderOf(files: Readonly<Record<string, Uint8Array | string>>): string {
  const folder = tempFolder();
  for (const [path, data] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), data);
  }
  return folder;
}

async function opened(path: string, more: object = {}): Promise<{ source: DataSource; notices: readonly DataNotice[] }> {
  const notices: DataNotice[] = [];
  const source = await openData(path, { cacheDir: tempFolder(), imageSize: [4, 4], onNotice: (notice) => notices.push(notice), ...more });
  return { source, notices };
}

const pixel = async (dataset: Dataset | null | undefined, index: number): Promise<number[]> => {
  const out = new Uint8Array(48);
  await dataset?.read([index], out);
  return [...out.subarray(0, 3)];
};

describe('WebDataset', () => {
  it.each([
    ['a folder of shards, by their names', { 'train-0000.tar': [0, 5], 'train-0001.tar': [5, 9], 'val-0000.tar': [9, 12] }, '.'],
    ['folders of shards', { 'train/0.tar': [0, 5], 'train/1.tar': [5, 9], 'val/0.tar': [9, 12] }, '.'],
    ['a pattern of numbers', { 'set-0000.tar': [0, 5], 'set-0001.tar': [5, 9] }, 'set-{0000..0001}.tar'],
    ['a pattern with a star', { 'set-0000.tar': [0, 5], 'set-0001.tar': [5, 9], 'other.tar': [9, 12] }, 'set-*.tar'],
    ['one shard', { 'all.tar': [0, 9] }, 'all.tar'],
  ])('%s', async (_, shards, path) => {
    const folder = folderOf(Object.fromEntries(Object.entries(shards).map(([name, [from, to]]) => [name, tar(samples(from, to))])));
    const { source } = await opened(join(folder, path));
    expect([source.train.size, source.train.classes, [...source.train.labels]]).toEqual([
      9,
      ['class 0', 'class 1', 'class 2'],
      [0, 1, 2, 0, 1, 2, 0, 1, 2],
    ]);
    expect(source.validation?.size ?? 0).toBe(path === '.' ? 3 : 0);
    expect(await pixel(source.train, 7)).toEqual([70, 7, 90]);
    expect(source.train.fileOf?.(7)).toMatch(/\.tar: 0007\.png$/);
  });

  it('classes by name, in JSON, and named in a file beside the shards', async () => {
    const byName = await opened(join(folderOf({ 'a.tar': tar([sample(0, 'cat'), sample(1, 'dog')].flat()) }), 'a.tar'));
    expect(byName.source.train.classes).toEqual(['cat', 'dog']);
    const json = (i: number, value: object): TarEntry[] => [
      { name: `${i}.json`, data: JSON.stringify(value) },
      { name: `${i}.jpg`, data: IMAGES[i] },
    ];
    const { source } = await opened(
      join(folderOf({ 'a.tar': tar([json(0, { label: 1, w: 4 }), json(1, { label: 0, w: 4 })].flat()) }), 'a.tar'),
    );
    expect([...source.train.labels]).toEqual([1, 0]);
    const two = folderOf({ 'a.tar': tar([json(0, { kind: 'x', colour: 'red' }), json(1, { kind: 'y', colour: 'red' })].flat()) });
    const chosen = await opened(join(two, 'a.tar'), { labelColumn: 'kind' });
    expect(chosen.source.train.classes).toEqual(['x', 'y']);
    expect((await hybridError('E_DATA', opened(join(two, 'a.tar')))).message).toMatch(/an image and no class/);
    const named = folderOf({ 'train/0.tar': tar(samples(0, 6)), 'classnames.txt': 'ant\nbee\r\ncow\n' });
    expect((await opened(named)).source.train.classes).toEqual(['ant', 'bee', 'cow']);
  });

  it('a file of names that nobody named is told, and doubted where it has many more names than there are classes', async () => {
    const text = async (files: Record<string, string>, path = 'in'): Promise<string> => {
      const folder = folderOf({ 'in/0.tar': tar(samples(0, 6)), ...files });
      return (await opened(join(folder, path))).notices.map((notice) => `${notice.level} ${notice.text}`).join('\n');
    };
    const thousand = Array.from({ length: 1000 }, (_, i) => `line ${i}`).join('\n');
    expect(await text({ 'in/labels.txt': 'a\nb\nc' })).toMatch(/info the names of the classes are those in .*labels\.txt/);
    expect(await text({ 'in/labels.txt': thousand })).toMatch(/warning .*labels\.txt names 1000 classes, and only 3 have images/);
    expect(await text({ 'in/labels.txt': 'a\nb' })).toMatch(/warning .*labels\.txt has 2 names, which do not fit the 3 classes/);
    // Above the set there is nothing of the set.
    expect(await text({ 'labels.txt': 'a\nb\nc' })).not.toMatch(/labels\.txt/);
  });

  it('a member of 300 MB, and one of 3 GB, is not an image and is not read', async () => {
    for (const size of [3e8, 3e9]) {
      const folder = folderOf({ 'a.tar': tar(samples(0, 6), Buffer.alloc(0)) });
      const path = join(folder, 'a.tar');
      const first = statSync(path).size;
      const header = tarEntry({ name: '0009.png', size });
      writeFileSync(path, header, { flag: 'a' });
      truncateSync(path, first + 512 + Math.ceil(size / 512) * 512);
      writeFileSync(path, Buffer.concat([tarEntry({ name: '0009.cls', data: '1' }), END]), { flag: 'a' });
      const { source } = await opened(path, { maxBad: 1 });
      expect(source.skipped?.[0].reason).toMatch(
        new RegExp(`0009\\.png has ${size.toLocaleString('en-US')} bytes, more than the 268,435,456`),
      );
    }
  });

  it('verifying decodes past the cache: damage that left size and time as they were is found', async () => {
    const folder = folderOf({ 'a.tar': tar(samples(0, 6)) });
    const path = join(folder, 'a.tar');
    utimesSync(path, 1_700_000_000, 1_700_000_000);
    const options = { cacheDir: tempFolder() };
    expect((await verifyData(path, options)).bad).toEqual([]);
    const bytes = readFileSync(path);
    bytes.fill(0, 512 + 8, 512 + IMAGES[0].length);
    writeFileSync(path, bytes);
    utimesSync(path, 1_700_000_000, 1_700_000_000);
    expect((await verifyData(path, options)).bad.map((one) => one.path)).toEqual(['a.tar: 0000.png']);
  });

  it("long names, Python's properties and folders are understood; other files are told and passed over", async () => {
    const long = `${'deep/'.repeat(30)}0000`;
    const line = ` path=${long}.png\n`;
    const record = `${line.length + 3}${line}`;
    const shard = tar([
      { name: 'deep/', type: '5' },
      { name: 'PaxHeader', type: 'x', data: `${record}20 mtime=1700000000\n` },
      { name: 'short.png', data: IMAGES[0] },
      { name: '././@LongLink', type: 'L', data: `${long}.cls\0` },
      { name: 'short.cls', data: '4' },
      ...sample(1, 2),
      { name: '0001.txt', data: 'a note' },
    ]);
    const { source, notices } = await opened(join(folderOf({ 'a.tar': shard }), 'a.tar'));
    expect([source.train.size, [...source.train.labels]]).toEqual([2, [1, 0]]);
    expect(notices.map(({ text }) => text).join('\n')).toMatch(/labels \(2, 4\) are not 0 to 1(.|\n)*|1 file that is neither/);
  });

  it('a bad image among many is skipped and named, and verified as bad', async () => {
    const entries = Array.from({ length: 120 }, (_, i) =>
      sample(i % 12).map((one) => ({ ...one, name: String(one.name).replace(/^\d+/, `${i}`) })),
    );
    entries[50][0] = { name: '50.png', data: IMAGES[0].subarray(0, 40) };
    const { source, notices } = await opened(join(folderOf({ 'a.tar': tar(entries.flat()) }), 'a.tar'));
    expect([source.train.size, source.skipped?.map(({ path }) => path)]).toEqual([119, ['a.tar: 50.png']]);
    expect(notices.map(({ text }) => text).join()).toMatch(/1 file is skipped because it cannot be decoded:\na\.tar: 50\.png/);
    expect([source.train.fileOf?.(49), source.train.fileOf?.(50)]).toEqual(['a.tar: 49.png', 'a.tar: 51.png']);
  });

  it.each<[string, () => Buffer, RegExp]>([
    ['a shard cut short', () => tar(samples(0, 3)).subarray(0, 1400), /claims .* bytes of the .* left|ends within/],
    ['a size of 4 GB', () => tar([{ name: '0.png', size: 2 ** 32 }, ...sample(1)]), /claims 4294967296 bytes/],
    ['a size beyond all files', () => Buffer.concat([beyond(), END]), /impossible size/],
    ['a link', () => tar([{ name: '0.png', type: '2', link: '/etc/passwd' }, ...sample(1)]), /neither a file nor a folder but a link/],
    ['a hard link', () => tar([...sample(1), { name: '0.png', type: '1', link: '0001.png' }]), /a link or device/],
    ['a wrong checksum', () => tar([{ name: '0.png', badChecksum: true }]), /not a tar archive, or is damaged/],
    ['another file', () => Buffer.alloc(2048, 'hello '), /not a tar archive/],
    ['an empty archive', () => Buffer.alloc(10_240), /no sample of an image and a class/],
    ['an image without a class', () => tar([{ name: 'a.png', data: IMAGES[0] }, ...sample(1)]), /sample "a" has an image and no class/],
    [
      'two images of one sample',
      () =>
        tar([
          { name: 'a.png', data: IMAGES[0] },
          { name: 'a.jpg', data: IMAGES[0] },
          { name: 'a.cls', data: '0' },
        ]),
      /two images/,
    ],
    [
      'a class that is a book',
      () =>
        tar([
          { name: 'a.png', data: IMAGES[0] },
          { name: 'a.cls', data: 'x'.repeat(2000) },
        ]),
      /2000 bytes, more than 1024/,
    ],
    ['a class that speaks to the terminal', () => tar([...sample(0, 'a\x1b[2J'), ...sample(1, 'b')]), /that is not a name/],
    [
      'JSON that is none',
      () =>
        tar([
          { name: 'a.png', data: IMAGES[0] },
          { name: 'a.json', data: '{' },
        ]),
      /is not JSON/,
    ],
    ['one class', () => tar([...sample(0, 1), ...sample(1, 1)]), /one class only/],
    ['a name of 100,000 bytes', () => tar([{ name: 'x', type: 'L', data: 'a'.repeat(100_000) }, ...sample(1)]), /too long/],
  ])('%s is refused', async (_, bytes, message) => {
    const error = await hybridError('E_DATA', opened(join(folderOf({ 'a.tar': bytes() }), 'a.tar')));
    expect(error.message).toMatch(message);
  });

  it('names that lead out of the archive are names, and nothing is written or read there', async () => {
    const shard = tar([
      { name: '../../etc/a.png', data: IMAGES[0] },
      { name: '../../etc/a.cls', data: '0' },
      { name: '/root/b.png', data: IMAGES[1] },
      { name: '/root/b.cls', data: '1' },
    ]);
    const { source } = await opened(join(folderOf({ 'a.tar': shard }), 'a.tar'));
    expect([source.train.size, await pixel(source.train, 1)]).toEqual([2, [10, 7, 90]]);
  });

  it('a shard cut short at every hundredth byte is refused', async () => {
    const whole = tar(samples(0, 3), Buffer.alloc(0));
    for (let length = 1; length <= whole.length; length += length + 101 > whole.length ? whole.length - length || 1 : 101) {
      await hybridError('E_DATA', opened(join(folderOf({ 'a.tar': whole.subarray(0, length) }), 'a.tar')));
    }
    expect((await opened(join(folderOf({ 'a.tar': Buffer.concat([whole, Buffer.alloc(512)]) }), 'a.tar'))).source.train.size).toBe(3);
  });

  it.each([
    ['set-{0000..0002}.tar', /means .*set-0002\.tar, and there is no such file/],
    ['no-*.tar', /there is no such file/],
    ['set-{5..1}.tar', /impossible range/],
    ['set-{0..99999999}.tar', /impossible range/],
    ['*/0.tar', /pattern in the name of a folder/],
  ])('the pattern %s is told as such', async (pattern, message) => {
    const folder = folderOf({ 'set-0000.tar': tar(samples(0, 3)), 'set-0001.tar': tar(samples(3, 6)) });
    expect((await hybridError('E_DATA', opened(join(folder, pattern)))).message).toMatch(message);
  });
});
