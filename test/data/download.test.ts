import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type DownloadOptions, download, OFFICIAL_ARCHIVES, type RemoteFile } from '../../app/sources/download.ts';
import { type Files, nodeFiles } from '../../runtime/base/files.ts';
import { hybridError } from '../support/expect-error.ts';
import { faultyFiles } from '../support/faulty-files.ts';
import { breakOff, rangeStart, refusedUrl, sendFile, serve } from '../support/loopback.ts';
import { tempFolder } from '../support/temp-folder.ts';

const BYTES = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, i) => (i * i) >> 3));
const remoteAt = (url: string): RemoteFile => ({ url, size: BYTES.length, sha256: createHash('sha256').update(BYTES).digest('hex') });

/** Longer than a busy machine takes for anything; and what is waited for in tests of silence, long enough for a request to be made. */
const PATIENCE = 60_000;
const SILENCE = 1_000;

/** What the client has of the file. */
const arrived = { bytes: 0 };

/** A folder to fetch into, and a function that does. */
function target(options: Partial<DownloadOptions> = {}) {
  const folder = join(tempFolder(), 'cache');
  const path = join(folder, 'file');
  const fetchFrom = (url: string, more: Partial<DownloadOptions> = {}) =>
    download(remoteAt(url), {
      ...{ files: nodeFiles, path, silence: PATIENCE },
      onProgress(bytes) {
        arrived.bytes = bytes;
      },
      ...options,
      ...more,
    });
  const left = (): string[] => (existsSync(folder) ? readdirSync(folder) : []);
  return { path, fetchFrom, left };
}

describe('download', () => {
  test('knows the official archive', () => {
    expect(OFFICIAL_ARCHIVES['CIFAR-10'].size).toBe(170_052_171);
    expect(OFFICIAL_ARCHIVES['CIFAR-10'].sha256).toBe('c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd');
    expect(new URL(OFFICIAL_ARCHIVES['CIFAR-10'].url).pathname).toMatch(/\/cifar-10-binary\.tar\.gz$/);
  });

  test('fetches, and tells how far it is', async () => {
    const { url, requests } = await serve((request, response) => sendFile(request, response, BYTES));
    const { path, fetchFrom } = target();
    const progress: number[] = [];
    await fetchFrom(url, {
      onProgress(bytes, total) {
        expect(total).toBe(BYTES.length);
        progress.push(bytes);
      },
    });
    expect(readFileSync(path).equals(BYTES)).toBe(true);
    expect(progress).toEqual([...progress].sort((a, b) => a - b));
    expect(progress.at(-1)).toBe(BYTES.length);
    expect(requests.length).toBe(1);
    expect(requests[0].headers['accept-encoding']).toBe('identity');
  });

  test('follows a redirect, and does without the announcement of a size', async () => {
    const { url } = await serve((request, response) => {
      if (request.url === '/archive.tar.gz') response.writeHead(302, { location: '/elsewhere' }).end();
      else response.end(BYTES);
    });
    const { path, fetchFrom } = target();
    await fetchFrom(url);
    expect(readFileSync(path).equals(BYTES)).toBe(true);
  });

  test('a connection that breaks is taken up once where it broke', async () => {
    const { url, requests } = await serve((request, response) => {
      if (rangeStart(request) === 0) breakOff(response, BYTES, 100_000, arrived);
      else sendFile(request, response, BYTES);
    });
    const { path, fetchFrom } = target();
    await fetchFrom(url);
    expect(requests.map(rangeStart)).toEqual([0, 100_000]);
    expect(readFileSync(path).equals(BYTES)).toBe(true);
  });

  test('a server that knows no ranges sends all of it again', async () => {
    const { url, requests } = await serve((_, response) => {
      if (requests.length === 1) breakOff(response, BYTES, 100_000, arrived);
      else response.writeHead(200, { 'content-length': BYTES.length }).end(BYTES);
    });
    const { path, fetchFrom } = target();
    await fetchFrom(url);
    expect(requests.length).toBe(2);
    expect(readFileSync(path).equals(BYTES)).toBe(true);
  });

  test('a connection that stalls within the file is taken up too', async () => {
    const { url, requests } = await serve((request, response) => {
      if (rangeStart(request) > 0) return sendFile(request, response, BYTES);
      response.writeHead(200, { 'content-length': BYTES.length });
      response.write(BYTES.subarray(0, 5_000));
    });
    const { path, fetchFrom } = target({ silence: SILENCE });
    await fetchFrom(url);
    expect(requests.map(rangeStart)).toEqual([0, 5_000]);
    expect(readFileSync(path).equals(BYTES)).toBe(true);
  });

  test.each<[string, Parameters<typeof serve>[0], string, number]>([
    ['a status of 500', (_, response) => void response.writeHead(500).end(), 'status 500', 1],
    ['a status of 404', (_, response) => void response.writeHead(404).end(BYTES), 'status 404', 1],
    [
      'a redirect loop',
      (_, response) => void response.writeHead(302, { location: '/archive.tar.gz' }).end(),
      'redirect count exceeded',
      21,
    ],
    ['a login page', (_, response) => void response.end('<html>'), 'offers 6 bytes instead of 300,000', 1],
    ['a body too long', (_, response) => void response.write(BYTES, () => response.end('more')), 'more than the expected 300,000 bytes', 1],
    ['a wrong hash', (_, response) => void response.end(Buffer.from(BYTES).fill(1, 150_000)), 'instead of', 1],
    ['silence', () => {}, 'no data received for 1 seconds', 1],
    ['a connection that breaks at once', (request) => void request.socket.destroy(), 'the connection was lost', 1],
    // Both tries get the first part only.
    ['a body that breaks twice', (_, response) => breakOff(response, BYTES, 1_000, arrived), 'the connection was lost', 2],
    [
      'another range than asked for',
      (request, response) => {
        if (rangeStart(request) === 0) breakOff(response, BYTES, 1_000, arrived);
        else response.writeHead(206, { 'content-range': `bytes 5-${BYTES.length - 1}/${BYTES.length}` }).end(BYTES.subarray(5));
      },
      'a different range',
      2,
    ],
    ['a part without its place', (_, response) => void response.writeHead(206).end(BYTES), 'a different range', 1],
  ])('%s: a network error, and nothing left behind', async (_, listener, message, count) => {
    const { url, requests } = await serve(listener);
    const { fetchFrom, left } = target({ silence: message.startsWith('no data received') ? SILENCE : PATIENCE });
    const error = await hybridError('E_NETWORK', fetchFrom(url));
    expect(error.message).toContain(`cannot fetch ${url}: `);
    expect(error.message).toContain(message);
    expect(error.remedy).toContain('`url`');
    expect(requests.length).toBe(count);
    expect(left()).toEqual([]);
  });

  test('a body that ends early without an announced size is asked for once more', async () => {
    const { url, requests } = await serve((_, response) => {
      response.write(BYTES.subarray(0, 1_000));
      response.end();
    });
    const { fetchFrom, left } = target();
    // The server sends the same beginning again, as if it were all.
    expect((await hybridError('E_NETWORK', fetchFrom(url))).message).toContain('it ended after 1,000 of 300,000 bytes');
    expect([requests.length, left()]).toEqual([2, []]);
  });

  test('no server: fails at once, with the reason', async () => {
    const { fetchFrom, left } = target();
    const start = performance.now();
    expect((await hybridError('E_NETWORK', fetchFrom(await refusedUrl()))).message).toContain('refuses the connection (ECONNREFUSED)');
    expect(performance.now() - start).toBeLessThan(PATIENCE / 2);
    expect(left()).toEqual([]);
  });

  test('an abort ends it at once, before, while waiting and within the body', async () => {
    // Aborted once the server has the request, however long a busy machine takes to bring it there.
    let controller = new AbortController();
    const { url, requests } = await serve((request, response) => {
      setTimeout(() => controller.abort(), 50);
      if (request.url === '/silent') return;
      response.writeHead(200, { 'content-length': BYTES.length });
      response.write(BYTES.subarray(0, 5_000));
    });
    const { fetchFrom, left } = target();
    await expect(fetchFrom(url, { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' });
    expect(requests.length).toBe(0);
    for (const address of [new URL('/silent', url).href, url]) {
      controller = new AbortController();
      const start = performance.now();
      await expect(fetchFrom(address, { signal: controller.signal })).rejects.toMatchObject({
        name: 'AbortError',
        code: 'ABORT_ERR',
      });
      expect(performance.now() - start).toBeLessThan(PATIENCE / 2);
    }
    expect(requests.length).toBe(2);
    expect(left()).toEqual([]);
  });

  test('a failure of any write is a disk error, asked for once, and nothing is left behind', async () => {
    const { url, requests } = await serve((request, response) => sendFile(request, response, BYTES));
    // mkdir, open, a write: these come in this order in every run.
    for (const failAt of [1, 2, 3]) {
      const { fetchFrom, left } = target();
      const error = await hybridError('E_DISK', fetchFrom(url, { files: faultyFiles(nodeFiles, { failAt }) }));
      expect(error.message).toContain('300,000 bytes are needed');
      expect(left()).toEqual([]);
    }
    expect(requests.length).toBe(3);
    // The number of writes depends on the network: sync and close are failed by name.
    for (const failing of ['sync', 'close'] as const) {
      const { fetchFrom, left } = target();
      const open: Files['open'] = async (path, flags) => {
        const file = await nodeFiles.open(path, flags);
        const fail = async (): Promise<never> => {
          if (failing === 'close') await file.close();
          throw Object.assign(new Error('injected'), { code: 'EIO' });
        };
        return { ...file, [failing]: fail };
      };
      const files = { ...nodeFiles, open };
      expect((await hybridError('E_DISK', fetchFrom(url, { files }))).message).toContain('EIO');
      expect(left()).toEqual([]);
    }
  });

  test('short writes are continued', async () => {
    const { url } = await serve((request, response) => sendFile(request, response, BYTES));
    const { path, fetchFrom } = target({ files: faultyFiles(nodeFiles, { maxWrite: 777 }) });
    await fetchFrom(url);
    expect(readFileSync(path).equals(BYTES)).toBe(true);
  });
});
