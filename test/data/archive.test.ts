import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { officialContents, unpackArchive } from '../../app/sources/archive.ts';
import { CIFAR10 } from '../../app/sources/cifar.ts';
import { type Files, nodeFiles } from '../../runtime/base/files.ts';
import { records } from '../support/cifar10-records.ts';
import { hybridError } from '../support/expect-error.ts';
import { faultyFiles } from '../support/faulty-files.ts';
import { SMALL_CONTENTS, SMALL_ENTRIES, type TarEntry, tarEntry, tarGz } from '../support/tar.ts';
import { tempFolder } from '../support/temp-folder.ts';

const NAMES = Object.keys(SMALL_CONTENTS).sort();
const FOLDER = 'cifar-10-batches-bin';

/** A folder with the archive in it; unpacking goes to `cifar-10-batches-bin` beside it. */
function place(archive: Uint8Array) {
  const root = tempFolder();
  const path = join(root, 'archive');
  writeFileSync(path, archive);
  const folder = join(root, FOLDER);
  const unpack = (files: Files = nodeFiles, signal?: AbortSignal) =>
    unpackArchive({ files, archive: path, folder, contents: SMALL_CONTENTS, signal });
  return { root, folder, unpack };
}

/** The good archive with one entry before the last. */
const withEntry = (entry: TarEntry): Buffer => tarGz([...SMALL_ENTRIES.slice(0, -1), entry, ...SMALL_ENTRIES.slice(-1)]);
/** The good archive with its second entry, data_batch_1.bin, changed. */
const withFirstFile = (change: Partial<TarEntry>): Buffer =>
  tarGz(SMALL_ENTRIES.map((entry, i) => (i === 1 ? { ...entry, ...change } : entry)));

const overwriteEnd = (bytes: Buffer, count: number): Buffer => bytes.fill(1, bytes.length - count);

describe('unpackArchive', () => {
  test('unpacks the eight files, byte for byte, and nothing else', async () => {
    const { root, folder, unpack } = place(tarGz(SMALL_ENTRIES));
    await unpack();
    expect(readdirSync(folder).sort()).toEqual(NAMES);
    expect(readFileSync(join(folder, 'data_batch_3.bin')).equals(records(2, 4))).toBe(true);
    expect(readFileSync(join(folder, 'readme.html'), 'utf8')).toBe('<html></html>');
    expect(readdirSync(root).sort()).toEqual(['archive', FOLDER]);
  });

  test('the official table has six files of 10,000 records and two small ones', () => {
    const sizes = Object.values(officialContents(CIFAR10)).filter(({ min, max }) => min === 30_730_000 && max === 30_730_000);
    expect([sizes.length, Object.keys(officialContents(CIFAR10)).sort()]).toEqual([6, NAMES]);
  });

  const bomb = Buffer.alloc(16 << 20);
  const batch = `${FOLDER}/data_batch_1.bin`;
  const attacks: [string, () => Uint8Array, string][] = [
    ['a name with ../', () => withEntry({ name: `${FOLDER}/../../evil`, data: 'x' }), 'not one of the expected'],
    ['an absolute name', () => withEntry({ name: '/tmp/evil', data: 'x' }), 'not one of the expected'],
    ['an unknown name', () => withEntry({ name: `${FOLDER}/evil.bin`, data: 'x' }), 'not one of the expected'],
    ['a known name elsewhere', () => withEntry({ name: 'readme.html', data: 'x' }), 'not one of the expected'],
    ['a name of the object prototype', () => withEntry({ name: `${FOLDER}/__proto__`, data: 'x' }), 'not one of the expected'],
    ['a name in other letters', () => withFirstFile({ name: `${FOLDER}/Data_batch_1.bin` }), 'not one of the expected'],
    ['a Unicode twin of a name', () => withFirstFile({ name: `${FOLDER}/data_batch_１.bin` }), 'not one of the expected'],
    ['a backslash', () => withFirstFile({ name: `${FOLDER}\\data_batch_1.bin` }), 'not one of the expected'],
    ['the same file twice', () => withEntry(SMALL_ENTRIES[1]), 'comes twice'],
    ['a link', () => withFirstFile({ type: '2', link: '/etc/passwd', data: '' }), 'not a regular file (type "2")'],
    ['a hard link', () => withFirstFile({ type: '1', link: `${FOLDER}/test_batch.bin`, data: '' }), 'not a regular file (type "1")'],
    ['a device', () => withFirstFile({ type: '3', data: '' }), 'not a regular file (type "3")'],
    ['another folder', () => withEntry({ name: `${FOLDER}/sub/`, type: '5' }), 'not a regular file (type "5")'],
    ['a long name of PAX', () => withEntry({ name: 'pax', type: 'x', data: `30 path=${FOLDER}/evil\n` }), 'not a regular file (type "x")'],
    ['a long name of GNU', () => withEntry({ name: '././@LongLink', type: 'L', data: 'evil' }), 'not a regular file (type "L")'],
    ['a name prefix', () => withFirstFile({ prefix: '../evil' }), 'long name'],
    ['a file too large', () => withFirstFile({ data: records(3) }), 'data_batch_1.bin has 9219 bytes instead of 6146'],
    ['a file too small', () => withFirstFile({ data: records(1) }), 'data_batch_1.bin has 3073 bytes instead of 6146'],
    [
      'an empty small file',
      () => tarGz([...SMALL_ENTRIES.slice(0, -1), { name: `${FOLDER}/readme.html` }]),
      'has 0 bytes instead of 1 to 4096',
    ],
    ['a size that is not a number', () => withFirstFile({ size: '-0000006146\0' }), 'not octal'],
    ['a size in binary', () => withFirstFile({ size: '\x80\0\0\0\0\0\0\0\0\0\x18\x02' }), 'not octal'],
    ['a header with a wrong checksum', () => withFirstFile({ badChecksum: true }), 'checksum'],
    ['a missing file', () => tarGz(SMALL_ENTRIES.filter((entry) => entry.name !== batch)), 'it lacks data_batch_1.bin'],
    ['nothing', () => tarGz([]), 'it lacks'],
    ['data after the end', () => tarGz(SMALL_ENTRIES, Buffer.concat([Buffer.alloc(512), Buffer.from('more')])), 'data after its end'],
    ['a second archive behind', () => Buffer.concat([tarGz(SMALL_ENTRIES), tarGz(SMALL_ENTRIES)]), 'data after its end'],
    ['bytes behind the compressed data', () => Buffer.concat([tarGz(SMALL_ENTRIES), Buffer.from('tail')]), 'cannot be read'],
    [
      'zeros behind the compressed data',
      () => Buffer.concat([tarGz(SMALL_ENTRIES), Buffer.alloc(200_000)]),
      'data after the end of the compressed part',
    ],
    ['a bomb of zeros behind', () => tarGz(SMALL_ENTRIES, bomb), 'data after its end'],
    ['a bomb in a file', () => withFirstFile({ data: bomb }), 'has 16777216 bytes'],
    [
      'data between the entries',
      () => gzipSync(Buffer.concat([overwriteEnd(tarEntry(SMALL_ENTRIES[1]), 100), Buffer.alloc(1024)])),
      'data after the end of data_batch_1.bin',
    ],
    ['an archive cut in a file', () => gzipSync(Buffer.concat(SMALL_ENTRIES.map(tarEntry)).subarray(0, 5_000)), 'cut short'],
    ['an archive cut in a header', () => gzipSync(tarEntry(SMALL_ENTRIES[0]).subarray(0, 300)), 'cut short'],
    ['compressed data cut short', () => tarGz(SMALL_ENTRIES).subarray(0, -200), 'cannot be read'],
    ['a wrong checksum of the compressed data', () => overwriteEnd(tarGz(SMALL_ENTRIES), 8), 'cannot be read (Z_DATA_ERROR)'],
    ['something that is not compressed', () => Buffer.from('<html>Please log in</html>'), 'cannot be read (Z_DATA_ERROR)'],
    ['an empty archive', () => new Uint8Array(0), 'cannot be read'],
  ];
  test.each(attacks)('%s is refused and leaves nothing', async (_, archive, message) => {
    const { root, unpack } = place(archive());
    expect((await hybridError('E_DATA', unpack())).message).toContain(message);
    expect(readdirSync(root)).toEqual(['archive']);
  });

  test('a failure of any write leaves nothing; after the move, everything', async () => {
    const counting = faultyFiles(nodeFiles, {});
    await place(tarGz(SMALL_ENTRIES)).unpack(counting);
    const calls = counting.calls.length;
    // mkdir; open, write, sync, close of each of eight files at least; sync, rename, sync of folders.
    expect(calls).toBeGreaterThanOrEqual(4 + 4 * 8);
    for (let failAt = 1; failAt <= calls; failAt++) {
      const { root, folder, unpack } = place(tarGz(SMALL_ENTRIES));
      await hybridError('E_DISK', unpack(faultyFiles(nodeFiles, { failAt })));
      // The last call syncs the folder in which the new one is complete already.
      expect(readdirSync(root).sort()).toEqual(failAt === calls ? ['archive', FOLDER] : ['archive']);
      if (failAt === calls) expect(readdirSync(folder).sort()).toEqual(NAMES);
    }
  });

  test('short writes are continued', async () => {
    const { folder, unpack } = place(tarGz(SMALL_ENTRIES));
    await unpack(faultyFiles(nodeFiles, { maxWrite: 1_000 }));
    expect(readFileSync(join(folder, 'test_batch.bin')).equals(records(2, 10))).toBe(true);
  });

  test('what another process unpacked meanwhile is kept; anything else in the way is an error', async () => {
    const { root, folder, unpack } = place(tarGz(SMALL_ENTRIES));
    mkdirSync(folder);
    writeFileSync(join(folder, 'notes'), 'mine');
    await hybridError('E_DISK', unpack());
    expect([readdirSync(root).sort(), readdirSync(folder)]).toEqual([['archive', FOLDER], ['notes']]);
    writeFileSync(join(folder, 'data_batch_1.bin'), records(1));
    await unpack();
    expect([readdirSync(root).sort(), readdirSync(folder)]).toEqual([
      ['archive', FOLDER],
      ['data_batch_1.bin', 'notes'],
    ]);
  });

  test('an aborted unpacking leaves nothing', async () => {
    const { root, folder, unpack } = place(tarGz(SMALL_ENTRIES));
    await expect(unpack(nodeFiles, AbortSignal.abort())).rejects.toMatchObject({ name: 'AbortError' });
    expect(existsSync(folder)).toBe(false);
    expect(readdirSync(root)).toEqual(['archive']);
  });
});
