import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { CIFAR10, CIFAR100, findCifar, readCifar } from '../../app/sources/cifar.ts';
import { nodeFiles } from '../../runtime/base/files.ts';
import type { Dataset } from '../../runtime/data/dataset.ts';
import { planarByte, records } from '../support/cifar10-records.ts';
import { hybridError } from '../support/expect-error.ts';
import { tempFolder } from '../support/temp-folder.ts';

const SAMPLE = fileURLToPath(new URL('../../../shared/data/cifar10-sample', import.meta.url));

/** A folder with the given files. */
function folderWith(contents: Readonly<Record<string, Uint8Array | string>>): string {
  const folder = tempFolder();
  for (const [name, data] of Object.entries(contents)) writeFileSync(join(folder, name), data);
  return folder;
}

function image(dataset: Dataset, index: number): Uint8Array {
  const out = new Uint8Array(3072);
  dataset.read([index], out);
  return out;
}

describe('readCifar', () => {
  test('reads the files in order and turns planes into pixels', async () => {
    const folder = folderWith({
      'data_batch_2.bin': records(3, 2),
      'data_batch_1.bin': records(2, 0),
      'data_batch_5.bin': records(1, 5),
      'test_batch.bin': records(4, 7),
    });
    const { train, test } = await readCifar(nodeFiles, folder);
    expect([train.size, train.shape, test?.size]).toEqual([6, [32, 32, 3], 4]);
    expect([...train.labels]).toEqual([0, 1, 2, 3, 4, 5]);
    expect([...(test?.labels ?? [])]).toEqual([7, 8, 9, 0]);
    expect(train.classes.slice(0, 3)).toEqual(['airplane', 'automobile', 'bird']);
    for (const index of [0, 4, 5]) {
      const bytes = image(train, index);
      for (const [y, x, c] of [
        [0, 0, 0],
        [0, 0, 2],
        [17, 3, 1],
        [31, 31, 2],
      ]) {
        expect(bytes[(y * 32 + x) * 3 + c]).toBe(planarByte(index, c * 1024 + y * 32 + x));
      }
    }
  });

  test('several images are read one after the other, in the order asked for', async () => {
    const { train } = await readCifar(nodeFiles, folderWith({ 'data_batch_1.bin': records(5) }));
    const out = new Uint8Array(3 * 3072);
    train.read([4, 0, 4], out);
    expect(Buffer.compare(out.subarray(0, 3072), image(train, 4))).toBe(0);
    expect(Buffer.compare(out.subarray(3072, 6144), image(train, 0))).toBe(0);
    expect(Buffer.compare(out.subarray(6144), image(train, 4))).toBe(0);
  });

  test('accepts the folder above, a set without a test file, and names of classes', async () => {
    const folder = tempFolder();
    mkdirSync(join(folder, 'cifar-10-batches-bin'));
    writeFileSync(join(folder, 'cifar-10-batches-bin', 'data_batch_3.bin'), records(1));
    writeFileSync(join(folder, 'cifar-10-batches-bin', 'batches.meta.txt'), `${'abcdefghij'.split('').join('\r\n')}\r\n\r\n`);
    expect(await findCifar(nodeFiles, folder)).toEqual({ set: CIFAR10, folder: join(folder, 'cifar-10-batches-bin') });
    const { train, test } = await readCifar(nodeFiles, folder);
    expect(test).toBeNull();
    expect(train.classes).toEqual([...'abcdefghij']);
  });

  test('a missing folder, a file and an empty folder are told apart', async () => {
    const folder = tempFolder();
    expect(await findCifar(nodeFiles, folder)).toBeNull();
    expect((await hybridError('E_DATA', readCifar(nodeFiles, join(folder, 'no')))).message).toContain('there is no folder');
    expect((await hybridError('E_DATA', readCifar(nodeFiles, folder))).message).toContain('none of data_batch_1.bin');
    writeFileSync(join(folder, 'data_batch_1'), 'pickle');
    expect((await hybridError('E_DATA', readCifar(nodeFiles, join(folder, 'data_batch_1')))).message).toContain('is not a folder');
  });

  test.each([
    ['an empty file', new Uint8Array(0), 'data_batch_2.bin is empty'],
    [
      'a file cut short',
      records(3).subarray(0, 2 * 3073 + 5),
      'data_batch_2.bin is cut short: it ends at byte 6151, after 5 of the 3073 bytes of record 2',
    ],
    ['less than a record', records(1).subarray(0, 3072), 'after 3072 of the 3073 bytes of record 0'],
    ['a label above 9', records(3).fill(10, 6146, 6147), 'data_batch_2.bin has the label 10 in record 2, byte 6146; labels go from 0 to 9'],
  ])('%s is named with file, record and byte', async (_, bytes, message) => {
    const folder = folderWith({ 'data_batch_1.bin': records(1), 'data_batch_2.bin': bytes });
    expect((await hybridError('E_DATA', readCifar(nodeFiles, folder))).message).toContain(message);
  });

  test('a bad test file and a wrong number of class names are errors too', async () => {
    const folder = folderWith({ 'data_batch_1.bin': records(1), 'test_batch.bin': 'short' });
    expect((await hybridError('E_DATA', readCifar(nodeFiles, folder))).message).toContain('test_batch.bin is cut short');
    writeFileSync(join(folder, 'test_batch.bin'), records(1));
    writeFileSync(join(folder, 'batches.meta.txt'), 'cat\ndog\n');
    expect((await hybridError('E_DATA', readCifar(nodeFiles, folder))).message).toContain('names 2 classes instead of 10');
  });

  test('a folder in the place of a file', async () => {
    const folder = folderWith({ 'data_batch_1.bin': records(1) });
    mkdirSync(join(folder, 'data_batch_2.bin'));
    expect((await hybridError('E_DATA', readCifar(nodeFiles, folder))).message).toContain('data_batch_2.bin is a folder, not a file');
  });

  test.skipIf(process.platform === 'win32')('a pipe in the place of a file is not waited for', async () => {
    const folder = folderWith({ 'data_batch_1.bin': records(1) });
    execFileSync('mkfifo', [join(folder, 'data_batch_2.bin')]);
    expect((await hybridError('E_DATA', readCifar(nodeFiles, folder))).message).toContain('is a device or pipe');
  });

  test('a file that shrinks or cannot be read while it is read', async () => {
    const folder = folderWith({ 'data_batch_1.bin': records(4) });
    const shrinking = {
      ...nodeFiles,
      readInto: (path: string, target: Uint8Array) => nodeFiles.readInto(path, target.subarray(0, 2 * 3073)),
    };
    expect((await hybridError('E_DATA', readCifar(shrinking, folder))).message).toContain('changed from 12292 to 6146 bytes');
    const growing = {
      ...nodeFiles,
      readInto(path: string, target: Uint8Array) {
        appendFileSync(path, records(1));
        return nodeFiles.readInto(path, target);
      },
    };
    expect((await hybridError('E_DATA', readCifar(growing, folder))).message).toContain('changed from 12292 to 15365 bytes');
    const unreadable = { ...nodeFiles, readInto: () => Promise.reject(Object.assign(new Error('injected'), { code: 'EACCES' })) };
    const error = await hybridError('E_DATA', readCifar(unreadable, folder));
    expect(error.message).toContain(`cannot read ${join(folder, 'data_batch_1.bin')}: permission is denied (EACCES)`);
  });

  test('CIFAR-100: two label bytes a record, of which the second is the class', async () => {
    const bytes = new Uint8Array(3 * 3074);
    for (let r = 0; r < 3; r++) {
      bytes.set([r, 97 + r], r * 3074);
      for (let k = 0; k < 3072; k++) bytes[r * 3074 + 2 + k] = planarByte(r, k);
    }
    const folder = folderWith({ 'train.bin': bytes, 'test.bin': bytes.subarray(3074) });
    expect(await findCifar(nodeFiles, folder)).toEqual({ set: CIFAR100, folder });
    const { train, test } = await readCifar(nodeFiles, folder);
    expect([train.name, train.size, test?.size, train.classes.length, train.classes[7]]).toEqual([
      'CIFAR-100 training set',
      3,
      2,
      100,
      'class 7',
    ]);
    expect([...train.labels]).toEqual([97, 98, 99]);
    expect(image(train, 2)[(5 * 32 + 9) * 3 + 1]).toBe(planarByte(2, 1024 + 5 * 32 + 9));
    writeFileSync(join(folder, 'test.bin'), bytes.fill(100, 3075, 3076));
    expect((await hybridError('E_DATA', readCifar(nodeFiles, folder))).message).toContain(
      'label 100 in record 1, byte 3075; labels go from 0 to 99',
    );
    writeFileSync(join(folder, 'test.bin'), bytes.subarray(1));
    expect((await hybridError('E_DATA', readCifar(nodeFiles, folder))).message).toContain('after 3073 of the 3074 bytes of record 2');
  });

  test('beyond the memory budget the images stay on the disk, the same byte for byte', async () => {
    const folder = folderWith({ 'data_batch_1.bin': records(4), 'data_batch_2.bin': records(5, 4), 'test_batch.bin': records(2) });
    const held = await readCifar(nodeFiles, folder);
    const onDisk = await readCifar(nodeFiles, folder, { memoryBudget: 11 * 3073 - 1 });
    expect([held.train.images?.kind, onDisk.train.images?.kind, onDisk.test?.images?.kind]).toEqual(['shared', 'module', 'module']);
    expect(onDisk.train.labels).toEqual(held.train.labels);
    for (let i = 0; i < 9; i++) expect(image(onDisk.train, i)).toEqual(image(held.train, i));
    const out = new Uint8Array(3 * 3072);
    onDisk.train.read([8, 0, 4], out);
    expect(out.subarray(3072, 6144)).toEqual(image(held.train, 0));
  });

  test('a file that is cut or changed while it is read from the disk is named', async () => {
    const folder = folderWith({ 'data_batch_1.bin': records(4), 'data_batch_2.bin': records(5, 4) });
    const { train } = await readCifar(nodeFiles, folder, { memoryBudget: 0 });
    image(train, 8);
    writeFileSync(join(folder, 'data_batch_2.bin'), records(2, 4));
    image(train, 0); // the other file is as it was
    expect(() => image(train, 8)).toThrow(/data_batch_2\.bin changed from 15365 to 6146 bytes while it was in use/);
    rmSync(join(folder, 'data_batch_2.bin'));
    expect(() => image(train, 8)).toThrow(/cannot read .*data_batch_2\.bin: ENOENT/);
  });

  const present = existsSync(SAMPLE);
  test.skipIf(!present)(`the sample of real images${present ? '' : ' (SKIPPED: ../shared/data/cifar10-sample is not here)'}`, async () => {
    const { train, test } = await readCifar(nodeFiles, SAMPLE);
    expect([train.size, test?.size]).toEqual([5170, 1017]);
    expect(train.classes[9]).toBe('truck');
    const perClass = new Array(10).fill(0);
    for (const label of train.labels) perClass[label]++;
    expect(Math.min(...perClass)).toBeGreaterThan(400);
    // Neighbouring pixels of photographs are alike in each channel; with planes mixed up they would not be.
    let across = 0;
    for (let i = 0; i < 50; i++) {
      const bytes = image(train, i);
      for (let k = 3; k < 3072; k++) across += Math.abs(bytes[k] - bytes[k - 3]);
    }
    expect(across / (50 * 3069)).toBeLessThan(20);
  });
});
