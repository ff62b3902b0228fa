import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type DataNotice, type DataProgress, type OpenDataOptions, userCacheDir } from '../../app/sources/place.ts';
import { openData } from '../../app/sources/source.ts';
import { nodeFiles } from '../../runtime/base/files.ts';
import { records } from '../support/cifar10-records.ts';
import { hybridError } from '../support/expect-error.ts';
import { faultyFiles } from '../support/faulty-files.ts';
import { refusedUrl, sendFile, serve } from '../support/loopback.ts';
import { SMALL_CONTENTS, SMALL_ENTRIES, tarGz } from '../support/tar.ts';
import { tempFolder } from '../support/temp-folder.ts';

const ARCHIVE = tarGz(SMALL_ENTRIES);

/** An empty ./data, an empty cache, and a network where `url` serves the small archive. */
async function setting({ archive = ARCHIVE, url: mirror }: { archive?: Uint8Array; url?: string } = {}) {
  const root = tempFolder();
  const localDir = join(root, 'data');
  const cacheDir = join(root, 'cache', 'hybrid');
  const { url, requests } = await serve((request, response) => sendFile(request, response, archive));
  const notices: DataNotice[] = [];
  const progress: DataProgress[] = [];
  const remote = { url, size: archive.length, sha256: createHash('sha256').update(archive).digest('hex') };
  const open = (spec: string, more: OpenDataOptions = {}) =>
    openData(spec, {
      localDir,
      cacheDir,
      url: mirror,
      archive: { remote, contents: SMALL_CONTENTS },
      onNotice: (notice) => notices.push(notice),
      onProgress: (step) => progress.push(step),
      silence: 500,
      ...more,
    });
  const warnings = (): string[] => notices.filter(({ level }) => level === 'warning').map(({ text }) => text);
  const cached = (): string[] => (existsSync(cacheDir) ? readdirSync(cacheDir) : []);
  return { root, localDir, cacheDir, url, requests, open, progress, warnings, cached };
}

function putRecords(folder: string, count: number): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'data_batch_1.bin'), records(count));
}

describe('openData', () => {
  test('a path is read, without a look elsewhere', async () => {
    const { root, open, requests } = await setting();
    putRecords(join(root, 'mine'), 3);
    expect((await open(join(root, 'mine'))).train.size).toBe(3);
    await hybridError('E_DATA', open(join(root, 'other')));
    expect(requests.length).toBe(0);
  });

  test('a mistyped word is not taken for a folder', async () => {
    const { open } = await setting();
    expect((await hybridError('E_DATA', open('cifar'))).remedy).toBe('Did you mean cifar10?');
    expect((await hybridError('E_DATA', open('sinthetic'))).remedy).toBe('Did you mean synthetic?');
  });

  test('`synthetic` needs nothing', async () => {
    const { open, requests, warnings } = await setting();
    expect((await open('synthetic')).train.size).toBe(5_000);
    expect([requests.length, warnings()]).toEqual([0, []]);
  });

  test.each(['cifar10', 'auto'])('%s: ./data, then the cache, then the network', async (spec) => {
    const { localDir, cacheDir, open, requests, progress, warnings, cached } = await setting();
    const fetched = await open(spec);
    expect([fetched.train.size, fetched.test?.size, fetched.train.classes[0]]).toEqual([10, 2, 'a']);
    expect(cached()).toEqual(['cifar-10-batches-bin']);
    expect(progress.at(0)?.stage).toBe('download');
    expect(progress.at(-1)).toEqual({ stage: 'unpack', done: ARCHIVE.length, total: ARCHIVE.length });
    expect((await open(spec)).train.size).toBe(10);
    putRecords(cacheDir, 4);
    expect((await open(spec)).train.size).toBe(4);
    putRecords(join(localDir, 'cifar-10-batches-bin'), 3);
    expect((await open(spec)).train.size).toBe(3);
    expect([requests.length, warnings()]).toEqual([1, []]);
  });

  test('the address of a mirror replaces the official one, but not size and hash', async () => {
    const mirror = await serve((request, response) => sendFile(request, response, ARCHIVE));
    const { open, requests } = await setting({ url: mirror.url });
    expect((await open('cifar10')).train.size).toBe(10);
    expect([requests.length, mirror.requests.length]).toEqual([0, 1]);
    const wrong = await serve((request, response) => sendFile(request, response, Buffer.from(ARCHIVE).fill(7, 100, 200)));
    const { open: openWrong, cached } = await setting({ url: wrong.url });
    expect((await hybridError('E_NETWORK', openWrong('cifar10'))).message).toContain('SHA-256');
    expect(cached()).toEqual([]);
  });

  test.each(['ftp://example.org/x', 'example.org/x', ''])('%j is no address', async (url) => {
    const { open } = await setting({ url });
    await hybridError('E_USAGE', open('auto'));
  });

  test('without a network `cifar10` is an error with the remedy and `auto` a warning and the synthetic set', async () => {
    const url = await refusedUrl();
    const { open, warnings, cached } = await setting({ url });
    expect((await hybridError('E_NETWORK', open('cifar10'))).remedy).toContain('`url`');
    expect(warnings()).toEqual([]);
    const start = performance.now();
    expect((await open('auto')).train.name).toContain('synthetic');
    expect(performance.now() - start).toBeLessThan(5_000);
    expect(warnings().length).toBe(1);
    expect(warnings()[0]).toContain('NOT CIFAR-10');
    expect(warnings()[0]).toContain(`cannot fetch ${url}: the server refuses the connection`);
    expect(cached()).toEqual([]);
    // Nobody would hear of it.
    await hybridError('E_NETWORK', open('auto', { onNotice: undefined }));
  });

  test('a silent network and a login page are no network', async () => {
    for (const listener of [() => {}, (_: unknown, response: { end(body: string): void }) => response.end('<html>Please log in</html>')]) {
      const { url } = await serve(listener);
      const { open, warnings } = await setting({ url });
      expect((await open('auto')).train.name).toContain('synthetic');
      expect(warnings().length).toBe(1);
    }
  });

  test('`auto` does not hide damaged data, a wrong archive or a full disk', async () => {
    const damaged = await setting();
    mkdirSync(damaged.localDir);
    writeFileSync(join(damaged.localDir, 'data_batch_1.bin'), 'short');
    expect((await hybridError('E_DATA', damaged.open('auto'))).message).toContain('cut short');
    expect(damaged.requests.length).toBe(0);

    const evil = await setting({ archive: tarGz([{ name: 'cifar-10-batches-bin/../../evil', data: 'x' }]) });
    await hybridError('E_DATA', evil.open('auto'));
    expect(evil.cached()).toEqual([]);

    // The files of the archive come after the file that is fetched: both stages are hit.
    for (const failAt of [1, 2, 3, 12]) {
      const full = await setting();
      await hybridError('E_DISK', full.open('auto', { files: faultyFiles(nodeFiles, { failAt, keepFailing: true }) }));
      expect(full.cached()).toEqual([]);
    }
  });

  test('an aborted fetch leaves nothing and does not fall back', async () => {
    const { url } = await serve((_, response) => void response.writeHead(200, { 'content-length': ARCHIVE.length }).write('x'));
    const { open, cached, warnings } = await setting({ url });
    await expect(open('auto', { silence: 5_000, signal: AbortSignal.timeout(100) })).rejects.toMatchObject({ name: 'AbortError' });
    expect([cached(), warnings()]).toEqual([[], []]);
  });

  test('what killed fetches left is removed after an hour, and nothing else is', async () => {
    const { cacheDir, open, cached } = await setting();
    mkdirSync(cacheDir, { recursive: true });
    const old = new Date(Date.now() - 2 * 3_600_000);
    for (const name of ['cifar-10-binary-00.part', 'cifar-10-batches-bin.00.tmp', 'cifar-10-binary-11.part', 'notes.part']) {
      writeFileSync(join(cacheDir, name), 'x');
      if (!name.includes('11')) utimesSync(join(cacheDir, name), old, old);
    }
    await open('cifar10');
    expect(cached().sort()).toEqual(['cifar-10-batches-bin', 'cifar-10-binary-11.part', 'notes.part']);
  });
});

test('the cache folder is where the system wants it', () => {
  expect(userCacheDir('linux', {}, '/home/a')).toBe(join('/home/a', '.cache', 'hybrid'));
  expect(userCacheDir('linux', { XDG_CACHE_HOME: '/cache' }, '/home/a')).toBe(join('/cache', 'hybrid'));
  expect(userCacheDir('linux', { XDG_CACHE_HOME: 'relative' }, '/home/a')).toBe(join('/home/a', '.cache', 'hybrid'));
  expect(userCacheDir('darwin', {}, '/Users/a')).toBe(join('/Users/a', 'Library', 'Caches', 'hybrid'));
  expect(userCacheDir('win32', { LOCALAPPDATA: 'L' }, 'H')).toBe(join('L', 'hybrid'));
  expect(userCacheDir('win32', {}, 'H')).toBe(join('H', 'AppData', 'Local', 'hybrid'));
});
