import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { scanFolder } from '../../app/sources/folder-scan.ts';
import { decodeImage } from '../../app/sources/image-file.ts';
import { type FolderOptions, openImageFolder } from '../../app/sources/image-folder.ts';
import { nodeFiles } from '../../runtime/base/files.ts';
import type { DataSource, Dataset } from '../../runtime/data/dataset.ts';
import { partsOf } from '../../runtime/data/split.ts';
import { hybridError } from '../support/expect-error.ts';
import { faultyFiles } from '../support/faulty-files.ts';
import { imageFile, pngClaiming } from '../support/images.ts';
import { tempFolder } from '../support/temp-folder.ts';

/** Writes files under a folder of their own. The images of `counts` are told apart by their blue: 10 · class + index. */
async function folderOf(counts: Readonly<Record<string, number>>, more: Readonly<Record<string, Uint8Array | string>> = {}) {
  const root = tempFolder();
  const folder = join(root, 'pets');
  mkdirSync(folder);
  const put = (path: string, data: Uint8Array | string): void => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), data);
  };
  for (const [k, [name, count]] of Object.entries(counts).entries()) {
    const formats = ['png', 'webp', 'png'] as const;
    for (let i = 0; i < count; i++) put(`${name}/${i}.${formats[i % 3]}`, await imageFile(formats[i % 3], 16, 16, 10 * k + i));
  }
  for (const [path, data] of Object.entries(more)) put(path, data);
  const notices: string[] = [];
  const open = (options: Partial<FolderOptions> = {}): Promise<DataSource> =>
    openImageFolder({
      files: nodeFiles,
      folder,
      shape: [16, 16, 3],
      cacheDir: join(root, 'cache'),
      memoryBudget: 1e9,
      onNotice: (level, text) => notices.push(`${level}: ${text}`),
      ...options,
    });
  return { root, folder, put, open, notices, cached: join(root, 'cache', 'images') };
}

function image(dataset: Dataset, index: number): Uint8Array {
  const out = new Uint8Array(16 * 16 * 3);
  dataset.read([index], out);
  return out;
}

const blues = (dataset: Dataset): number[] => Array.from({ length: dataset.size }, (_, i) => image(dataset, i)[2]);

describe('openImageFolder', () => {
  test('classes are the folders by code unit, images in a fixed, spread order', async () => {
    const { open } = await folderOf({ Cat: 4, ant: 8, Ämsel: 4, cat: 4 });
    const { train, validation, test } = await open();
    expect(train.classes).toEqual(['Cat', 'ant', 'cat', 'Ämsel']);
    expect([train.size, validation, test]).toEqual([20, null, null]);
    // Of each fifth one is of each class of four, and two of the class of eight: a beginning of any length is a fair sample.
    const inFirst = (count: number) =>
      [0, 1, 2, 3].map((label) => [...train.labels.subarray(0, count)].filter((other) => other === label).length);
    expect(inFirst(5)).toEqual([1, 2, 1, 1]);
    expect(inFirst(10)).toEqual([2, 4, 2, 2]);
    // The picture of each is that of its class: the blue of class k is 10 k and some.
    const made = { Cat: 0, ant: 1, Ämsel: 2, cat: 3 };
    for (const [i, blue] of blues(train).entries())
      expect(Math.floor(blue / 10)).toBe(made[train.classes[train.labels[i]] as keyof typeof made]);
    expect(new Set(blues(train)).size).toBe(20);
  });

  test('train, val and test folders; folders within classes; a part without some class', async () => {
    const { open, put } = await folderOf({ 'train/a': 3, 'train/b/deep/er': 3, 'val/b': 2, 'test/a': 1, 'test/b': 1 });
    const { train, validation, test } = await open();
    expect([train.size, validation?.size, test?.size, train.classes]).toEqual([6, 2, 2, ['a', 'b']]);
    expect([...(validation?.labels ?? [])]).toEqual([1, 1]);
    expect([train.name, test?.name].map((name) => name?.replace(/.*pets/, ''))).toEqual([' training set', ' test set']);
    // Those of the set take the place of a split.
    expect(partsOf({ train, validation, test }, { valFraction: 0.5 })).toMatchObject({ train: { size: 6 }, validation: { size: 2 } });
    put('val/c/1.png', await imageFile('png', 8, 8));
    expect((await hybridError('E_DATA', open())).message).toContain('has a class "c" that is not among the training images');
  });

  test('decoded once: later from a file in the cache that is hashed; decoded again where anything changed', async () => {
    const { open, folder, put, notices, cached } = await folderOf({ a: 3, b: 3 });
    const progress: number[] = [];
    const first = await open({ onDecoded: (done) => progress.push(done) });
    expect(progress).toEqual([6]);
    const again = await open({ onDecoded: () => progress.push(-1) });
    expect([progress, blues(again.train), again.train.classes]).toEqual([[6], blues(first.train), ['a', 'b']]);
    const [file] = readdirSync(cached);
    // Another size is another file; so is one more image, a changed time, another content of the same length.
    expect((await open({ shape: [8, 8, 1] })).train.shape).toEqual([8, 8, 1]);
    put('a/9.png', await imageFile('png', 16, 16, 200));
    expect((await open()).train.size).toBe(7);
    rmSync(join(folder, 'a/9.png'));
    utimesSync(join(folder, 'a/0.png'), 1, 1);
    await open({ onDecoded: (done) => progress.push(done) });
    expect([progress, readdirSync(cached).length, notices]).toEqual([[6, 6], 4, []]);
    // Damage in the cache is noticed, said and repaired.
    utimesSync(join(folder, 'a/0.png'), 2, 2);
    await open();
    for (const name of readdirSync(cached)) {
      const bytes = readFileSync(join(cached, name));
      bytes[bytes.length - 100] ^= 1;
      writeFileSync(join(cached, name), bytes);
    }
    expect(blues((await open()).train).sort()).toEqual(blues(first.train).sort());
    expect(notices).toEqual([expect.stringMatching(/^warning: .*SHA-256.*; the images are decoded again$/)]);
    await open();
    expect(notices.length).toBe(1);
    expect(file).toMatch(/^[0-9a-f]{32}\.safetensors$/);
  });

  test('a larger folder is decoded in workers, to the same pixels', { timeout: 60_000 }, async () => {
    const { open, folder } = await folderOf({ a: 130, b: 126 }, { 'b/bad.png': 'x' });
    const { train } = await open({ maxBad: 1 });
    expect(train.size).toBe(256);
    const { parts } = await scanFolder(folder);
    const listed = parts.get('train')?.filter(({ path }) => path !== 'b/bad.png') ?? [];
    for (const i of [0, 100, 255]) expect(image(train, i)).toEqual(await decodeImage(join(folder, listed[i].path), { shape: [16, 16, 3] }));
    expect((await hybridError('E_DATA', open({ shape: [8, 8, 3], maxBad: 0 }))).message).toContain('bad.png is no PNG');
  });

  test('beyond the memory budget they stay in that file', async () => {
    const { open } = await folderOf({ a: 3, b: 4 });
    const held = await open();
    const onDisk = await open({ memoryBudget: 7 * 768 - 1 });
    expect([held.train.images?.kind, onDisk.train.images?.kind]).toEqual(['shared', 'module']);
    expect(blues(onDisk.train)).toEqual(blues(held.train));
  });

  test('a cache that cannot be written is no reason not to train, as long as memory suffices', async () => {
    const { open, notices, cached } = await folderOf({ a: 3, b: 4 });
    const full = () => faultyFiles(nodeFiles, { failAt: 1, keepFailing: true });
    expect((await open({ files: full() })).train.size).toBe(7);
    expect(notices[0]).toMatch(/^warning: the decoded images cannot be cached: cannot write .*: the disk is full \(ENOSPC\)/);
    await hybridError('E_DISK', open({ files: full(), memoryBudget: 100 }));
    // Full in the middle: nothing is left, and the images are there.
    const later = faultyFiles(nodeFiles, { failAt: 5, keepFailing: false });
    expect(blues((await open({ files: later })).train).length).toBe(7);
    expect(later.calls.slice(0, 5)).toEqual(['mkdir', 'open', 'write', 'write', 'write']);
    expect(readdirSync(cached)).toEqual([]);
  });

  test('aborted while it decodes: nothing is left', async () => {
    const { open, cached } = await folderOf({ a: 40, b: 40 });
    const controller = new AbortController();
    await expect(open({ signal: controller.signal, onDecoded: () => controller.abort() })).rejects.toMatchObject({ name: 'AbortError' });
    expect(existsSync(cached) ? readdirSync(cached) : []).toEqual([]);
    await expect(open({ signal: controller.signal })).rejects.toMatchObject({ name: 'AbortError' });
  });
});

describe('a folder that is not as it should be', () => {
  test('files that cannot be decoded: named with the reason, and left out up to --max-bad', async () => {
    const good = await imageFile('jpeg', 40, 40);
    const bad = {
      'a/bomb.png': pngClaiming(50_000, 50_000),
      'a/cut.jpg': good.subarray(0, good.length / 2),
      'b/empty.webp': '',
      'b/text.png': 'no image at all',
    };
    const { open, notices, folder } = await folderOf({ a: 2, b: 2 }, bad);
    const { message, remedy } = await hybridError('E_DATA', open());
    expect(message).toMatch(/bomb\.png has 50000 × 50000 pixels|cut\.jpg cannot be decoded|empty\.webp is empty|text\.png is no PNG/);
    expect(remedy).toContain('`maxBad`');
    const three = await hybridError('E_DATA', open({ maxBad: 3 }));
    for (const name of Object.keys(bad)) expect(three.message).toContain(join(folder, name));
    expect(three.message.split('\n')).toHaveLength(4);

    const { train } = await open({ maxBad: 4 });
    expect([train.size, blues(train).sort((a, b) => a - b)]).toEqual([4, [0, 1, 10, 11]]);
    expect(notices).toEqual([expect.stringMatching(/^warning: 4 files are skipped because they cannot be decoded:\n/)]);
    // The file in the cache remembers them: a later run is told again, and held to its own limit.
    expect((await open({ maxBad: 4 })).train.size).toBe(4);
    expect(notices.length).toBe(2);
    await hybridError('E_DATA', open({ maxBad: 1 }));
  });

  test('no classes, one class, a class without images, no folder', async () => {
    const nothing = await folderOf({});
    expect((await hybridError('E_DATA', nothing.open())).message).toContain('holds no class folders');
    expect((await hybridError('E_DATA', (await folderOf({ a: 2 })).open())).message).toContain('one class only, "a"');
    const empty = await folderOf({ a: 2 }, { 'b/readme.txt': 'no images here' });
    expect((await hybridError('E_DATA', empty.open())).message).toMatch(/b holds no PNG, JPEG, .* or BMP files/);
    const unusable = await folderOf({ a: 2 }, { 'b/1.png': 'text' });
    expect((await hybridError('E_DATA', unusable.open({ maxBad: 9 }))).message).toContain('no image of the class "b" can be decoded');
    expect((await hybridError('E_DATA', nothing.open({ folder: join(nothing.root, 'no') }))).message).toContain('it does not exist');
  });

  test('what is not an image is counted and left out; hidden files are not there', async () => {
    const { open, notices } = await folderOf(
      { a: 2, b: 2 },
      {
        ...{ 'a/notes.txt': 'x', 'a/list.csv': 'x', 'b/Thumbs.db': 'x', '.git/1.png': 'x', 'a/._1.png': 'x', 'b/.DS_Store': 'x' },
        ...{ 'a/@eaDir/1.png': 'x', '__MACOSX/a/1.png': 'x', '$RECYCLE.BIN/1.png': 'x', 'System Volume Information/x': 'x' },
      },
    );
    expect((await open()).train.size).toBe(4);
    expect(notices).toEqual([expect.stringMatching(/^info: .*: 2 files/)]);
  });

  test.skipIf(process.platform === 'win32')(
    'links: to files inside they are followed, out of the folder, to folders and in circles they are not',
    async () => {
      const { open, folder, root, put } = await folderOf({ a: 2, b: 2 });
      writeFileSync(join(root, 'secret.png'), await imageFile('png', 16, 16, 77));
      symlinkSync(join('..', 'b', '0.png'), join(folder, 'a', 'twin.png'));
      expect((await open()).train.size).toBe(5);

      const refused = async (target: string, name: string, message: RegExp): Promise<void> => {
        symlinkSync(target, join(folder, 'a', name));
        expect((await hybridError('E_DATA', open({ maxBad: 100 }))).message).toMatch(message);
        rmSync(join(folder, 'a', name));
      };
      await refused(join('..', '..', 'secret.png'), 'out.png', /the link .*out\.png leads out of the folder/);
      await refused(join(root, 'secret.png'), 'out.png', /leads out of the folder/);
      await refused(root, 'up', /leads out of the folder/);
      await refused('..', 'circle', /leads to a folder/);
      await refused(join('..', 'b'), 'class', /leads to a folder/);
      // A link to nowhere, or to itself, is a file that cannot be read.
      symlinkSync('nowhere.png', join(folder, 'a', 'broken.png'));
      symlinkSync('self.png', join(folder, 'b', 'self.png'));
      expect((await hybridError('E_DATA', open())).message).toMatch(/cannot be read: E(NOENT|LOOP)/);
      expect((await open({ maxBad: 2 })).train.size).toBe(5);
      // The folder itself may be a link: it is the one that was named.
      symlinkSync(folder, join(root, 'shortcut'));
      expect((await open({ folder: join(root, 'shortcut'), maxBad: 2 })).train.size).toBe(5);
      put('c/x.png', 'x');
    },
  );

  test.skipIf(process.platform === 'win32')('pipes are not waited for, odd names are read, control characters refused', async () => {
    const { open, folder, notices } = await folderOf({ a: 2, b: 2 });
    execFileSync('mkfifo', [join(folder, 'a', 'pipe.png')]);
    expect((await hybridError('E_DATA', open())).message).toMatch(/pipe\.png is not a file/);
    rmSync(join(folder, 'a', 'pipe.png'));
    for (const name of ['ü 😀.PNG', "'; rm -rf ~.png", '%2e%2e.png', `${'x'.repeat(200)}.png`, '-rf.png', 'A.png', 'a.png']) {
      copyFileSync(join(folder, 'a', '0.png'), join(folder, 'a', name));
    }
    expect((await open()).train.size).toBe(11);
    expect(notices).toEqual([]);
    mkdirSync(join(folder, 'red\x1b[31m'));
    expect((await hybridError('E_DATA', open())).message).toContain('"red\\u001b[31m"');
  });

  test.skipIf(process.platform === 'win32' || process.getuid?.() === 0)('a folder that may not be read', async () => {
    const { open, folder } = await folderOf({ a: 2, b: 2 });
    chmodSync(join(folder, 'b'), 0);
    expect((await hybridError('E_DATA', open())).message).toContain('EACCES');
    chmodSync(join(folder, 'b'), 0o755);
  });

  test('the order is known: it must never change, or resumed runs would see other images', async () => {
    const { folder } = await folderOf({ a: 4, b: 2, c: 3 });
    const { parts } = await scanFolder(folder);
    expect(parts.get('train')?.map(({ path }) => path)).toMatchInlineSnapshot(`
      [
        "a/3.png",
        "c/1.webp",
        "b/0.png",
        "a/0.png",
        "c/0.png",
        "a/1.webp",
        "b/1.webp",
        "c/2.png",
        "a/2.png",
      ]
    `);
  });
});

describe('without sharp', () => {
  afterEach(() => void vi.doUnmock('sharp'));

  test('says so before anything else', async () => {
    const { open } = await folderOf({ a: 1, b: 1 });
    vi.doMock('sharp', () => {
      throw new Error('Cannot find package sharp');
    });
    expect((await hybridError('E_ENVIRONMENT', open({ maxBad: 9 }))).remedy).toContain('npm install sharp');
  });
});
