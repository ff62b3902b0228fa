// What the data pipeline does when something goes wrong: workers that throw, die, hang or cannot be loaded, consumers that leave,
// aborts. Nothing hangs, nothing leaks, and what comes out is right or an error.

import { execFile } from 'node:child_process';
import { getEventListeners } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { Dataset } from '../../runtime/data/dataset.ts';
import type { FeedOptions } from '../../runtime/data/feed.ts';
import { DataPipeline, loadDataKernels, type PipelineOptions } from '../../runtime/data/pipeline.ts';
import { hybridError } from '../support/expect-error.ts';
import { referenceBatches } from '../support/reference-batches.ts';
import { tempFolder } from '../support/temp-folder.ts';

const SHAPE = [8, 8, 3] as const;
const BYTES = 192;
const SIZE = 70;

type Fault = 'none' | 'throw' | 'exit' | 'hang' | 'data';
interface Faults {
  readonly fault?: Fault;
  /** Calls of the reader, from 0, that fail. */
  readonly from?: number;
  readonly to?: number;
  readonly pauseMs?: number;
}

/** Noise, read in the workers by a module that fails on demand. */
function faultySet({ fault = 'none', from = 0, to = Number.POSITIVE_INFINITY, pauseMs = 0 }: Faults = {}): Dataset {
  const module = new URL('../support/faulty-reader.mjs', import.meta.url).href;
  const counter = new SharedArrayBuffer(8);
  return {
    name: 'noise',
    size: SIZE,
    shape: SHAPE,
    classes: ['a', 'b'],
    labels: Uint8Array.from({ length: SIZE }, (_, i) => i % 2),
    read(indices, out) {
      for (let row = 0; row < indices.length; row++) {
        for (let at = 0; at < BYTES; at++) out[row * BYTES + at] = Math.imul(indices[row] * BYTES + at + 1, 0x9e3779b1) >>> 24;
      }
    },
    images: { kind: 'module', module, data: { imageBytes: BYTES, counter, fault, from, to, pauseMs }, first: 0 },
  };
}

const feedOf = (dataset: Dataset, more: Partial<FeedOptions> = {}): FeedOptions => ({
  dataset,
  batch: 16,
  seed: 3n,
  shuffle: true,
  augment: { crop: 2, flip: true },
  ...more,
});

const open = (dataset: Dataset, options: PipelineOptions = {}, more: Partial<FeedOptions> = {}) =>
  DataPipeline.open({ train: feedOf(dataset, more) }, options);

/** Images of all batches of an epoch, one after the other. */
async function epochBytes(pipeline: DataPipeline<'train'>, epoch = 1): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const { images } of pipeline.loader('train').epoch(epoch)) parts.push(Uint8Array.from(images));
  return Buffer.concat(parts);
}
const expectedBytes = (epoch = 1): Buffer =>
  Buffer.concat([...referenceBatches({ ...feedOf(faultySet()), epoch })].map(({ images }) => images));

const soon = async <T>(promise: Promise<T>, ms: number): Promise<T> => {
  const begin = performance.now();
  const value = await promise;
  expect(performance.now() - begin).toBeLessThan(ms);
  return value;
};

describe('a worker that fails', () => {
  test.each(['throw', 'exit'] as const)('%s once: the task is done again, with the same bytes', async (fault) => {
    await using pipeline = await open(faultySet({ fault, from: 2, to: 3 }), { workers: 1 });
    expect(await epochBytes(pipeline)).toEqual(expectedBytes());
    expect(pipeline.stats.retries).toBeGreaterThanOrEqual(1);
    expect(pipeline.stats.restarts).toBe(fault === 'exit' ? 1 : 0);
    expect(await epochBytes(pipeline, 2)).toEqual(expectedBytes(2));
  });

  test('two workers, one of which dies: the same bytes', async () => {
    await using pipeline = await open(faultySet({ fault: 'exit', from: 5, to: 6 }), { workers: 2 }, { chunk: 4 });
    expect(await epochBytes(pipeline)).toEqual(expectedBytes());
    expect(pipeline.stats.restarts).toBe(1);
  });

  test.each(['throw', 'exit'] as const)('%s every time: E_WORKER after three attempts, and from then on', async (fault) => {
    await using pipeline = await open(faultySet({ fault, from: 2 }), { workers: 1 }, { prefetch: 0 });
    const error = await hybridError('E_WORKER', epochBytes(pipeline));
    expect(error.message).toMatch(/^rows 0 to 15 of slot \d, epoch 1 failed 3 times: /);
    expect(error.message).toContain(fault === 'throw' ? 'the reader is out of order' : 'worker exited with code: 3');
    expect(error.exitStatus).toBe(7);
    await hybridError('E_WORKER', soon(epochBytes(pipeline), 2_000));
  });

  test('finds its data damaged: that error, at once, and the pool goes on', async () => {
    await using pipeline = await open(faultySet({ fault: 'data', from: 2, to: 3 }), { workers: 1 });
    const error = await hybridError('E_DATA', epochBytes(pipeline));
    expect(error).toMatchObject({ message: 'image 7 is damaged', remedy: 'Replace it.' });
    expect(pipeline.stats.retries).toBe(0);
    expect(await epochBytes(pipeline)).toEqual(expectedBytes());
  });

  test('hangs: E_WORKER within the limit that names worker, slot and rows; closing returns', async () => {
    const pipeline = await open(faultySet({ fault: 'hang', from: 1, to: 2 }), { workers: 2, crew: { taskLimitMs: 600 } });
    const error = await hybridError('E_WORKER', soon(epochBytes(pipeline), 10_000));
    expect(error.message).toMatch(/^data worker \d+ hangs in rows \d+ to \d+ of slot \d, epoch 1: it has not moved for 0.6 s$/);
    await soon(pipeline.close(), 10_000);
  });

  test('a slow one does not count as hung as long as it moves, nor do the tasks that wait for it', async () => {
    // Each block takes a third of the limit, all five together longer than it. Shorter limits fail where the machine has more to do.
    await using pipeline = await open(faultySet({ pauseMs: 700 }), { workers: 1, crew: { taskLimitMs: 2_100 } });
    expect(await epochBytes(pipeline)).toEqual(expectedBytes());
  });

  test('in another pipeline: this one gives the same bytes', async () => {
    await using broken = await open(faultySet({ fault: 'exit' }), { workers: 1 });
    await using whole = await open(faultySet(), { workers: 1 });
    const [failure, bytes] = await Promise.all([epochBytes(broken).catch((error: unknown) => error), epochBytes(whole)]);
    expect(failure).toMatchObject({ code: 'E_WORKER' });
    expect(bytes).toEqual(expectedBytes());
  });
});

describe('workers that do not start: E_WORKER_BOOT at once', () => {
  const script = (text: string): URL => {
    const path = join(tempFolder(), 'body.mjs');
    writeFileSync(path, text);
    return pathToFileURL(path);
  };

  test('the file is missing', async () => {
    const missing = pathToFileURL(join(tempFolder(), 'gone.mjs'));
    const error = await hybridError('E_WORKER_BOOT', soon(open(faultySet(), { workers: 2, crew: { script: missing } }), 10_000));
    expect(error.message).toContain('gone.mjs');
    expect(error.exitStatus).toBe(3);
  });

  test('the file throws, is no JavaScript, or ends its thread', async () => {
    for (const text of ["throw new Error('no kernels here')", 'this is no JavaScript', 'process.exit(5)']) {
      const crew = { script: script(text), startLimitMs: 3_000 };
      await hybridError('E_WORKER_BOOT', soon(open(faultySet(), { workers: 1, crew }), 10_000));
    }
  });

  test('the file never says that it is ready', async () => {
    const crew = { script: script('export default () => {}'), startLimitMs: 400 };
    const error = await hybridError('E_WORKER_BOOT', soon(open(faultySet(), { workers: 2, crew }), 10_000));
    expect(error.message).toContain('0 of 2 were ready after 400 ms');
  });

  test("the dataset's module is missing or has no reader", async () => {
    const withModule = (module: string): Dataset => ({ ...faultySet(), images: { kind: 'module', module, data: null, first: 0 } });
    const missing = pathToFileURL(join(tempFolder(), 'reader.mjs')).href;
    expect((await hybridError('E_WORKER_BOOT', open(withModule(missing), { workers: 1 }))).message).toContain('reader.mjs');
    const empty = await hybridError('E_WORKER_BOOT', open(withModule(script('export const other = 1').href), { workers: 1 }));
    expect(empty.message).toContain('exports no function openReader');
  });
});

test('kernels that are missing or damaged: E_ENVIRONMENT', async () => {
  const url = pathToFileURL(join(tempFolder(), 'data.wasm'));
  expect((await hybridError('E_ENVIRONMENT', loadDataKernels(url.href))).message).toContain('data.wasm are missing');
  writeFileSync(url, Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 99));
  expect((await hybridError('E_ENVIRONMENT', loadDataKernels(url.href))).message).toContain('cannot be used');
});

describe('a consumer', () => {
  test('that stops asking: no more is prepared than there are slots', async () => {
    await using pipeline = await open(faultySet(), { workers: 2 }, { prefetch: 1, batch: 4 });
    const epoch = pipeline.loader('train').epoch(1);
    await epoch.next();
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(pipeline.stats.tasks).toBe(3);
  });

  test('that never asks at all: closing is quick', async () => {
    const pipeline = await open(faultySet({ pauseMs: 20 }), { workers: 1 });
    pipeline.loader('train').epoch(1);
    await soon(pipeline.close(), 2_000);
  });

  test('that breaks, returns or throws: the next epoch has all slots, and its own bytes', async () => {
    await using pipeline = await open(faultySet(), { workers: 1 });
    const loader = pipeline.loader('train');
    for (let k = 0; k < 20; k++) {
      for await (const batch of loader.epoch(1)) if (batch.index === k % 4) break;
      await loader.epoch(2).return();
      const thrown = (async () => {
        for await (const _ of loader.epoch(3)) throw new RangeError('mine');
      })();
      await expect(thrown).rejects.toThrow('mine');
    }
    expect(await epochBytes(pipeline, 4)).toEqual(expectedBytes(4));
  });

  test('that begins another epoch: the one before says so', async () => {
    await using pipeline = await open(faultySet(), { workers: 1 });
    const before = pipeline.loader('train').epoch(1);
    await before.next();
    expect(await epochBytes(pipeline, 2)).toEqual(expectedBytes(2));
    await expect(before.next()).rejects.toMatchObject({ code: 'E_INTERNAL', message: expect.stringContaining('ended') });
  });

  test('that asks after the end, or after closing', async () => {
    const pipeline = await open(faultySet(), { workers: 1 });
    const epoch = pipeline.loader('train').epoch(1);
    for await (const _ of epoch);
    expect(await epoch.next()).toEqual({ value: undefined, done: true });
    const cut = pipeline.loader('train').epoch(2);
    await pipeline.close();
    await pipeline.close();
    await expect(cut.next()).rejects.toMatchObject({ code: 'E_INTERNAL', message: expect.stringContaining('closed') });
    await expect(pipeline.loader('train').epoch(3).next()).rejects.toMatchObject({ code: 'E_INTERNAL' });
  });

  test('whose own dataset throws hears that error, and may go on', async () => {
    let broken = true;
    const { images: _, ...whole } = faultySet();
    const own: Dataset = {
      ...whole,
      async read(indices, out) {
        if (broken) throw new RangeError('my disk is gone');
        await whole.read(indices, out);
      },
    };
    for (const workers of [0, 1]) {
      broken = true;
      await using pipeline = await open(own, { workers });
      await expect(epochBytes(pipeline)).rejects.toThrow('my disk is gone');
      broken = false;
      expect(await epochBytes(pipeline)).toEqual(expectedBytes());
    }
  });
});

describe('an abort', () => {
  const aborted = { name: 'AbortError', code: 'ABORT_ERR', cause: 'enough' };

  test.each([0, 1])('before, during and after an epoch, %i workers', async (workers) => {
    await using pipeline = await open(faultySet({ pauseMs: 50 }), { workers });
    const loader = pipeline.loader('train');
    await expect(loader.epoch(1, { signal: AbortSignal.abort('enough') }).next()).rejects.toMatchObject(aborted);

    const during = new AbortController();
    const epoch = loader.epoch(1, { signal: during.signal });
    await epoch.next();
    const rest = (async () => {
      for await (const _ of epoch);
    })();
    const told = expect(rest).rejects.toMatchObject(aborted);
    setTimeout(() => during.abort('enough'), 5);
    await told;
    await expect(epoch.next()).rejects.toMatchObject(aborted);

    const after = new AbortController();
    const whole = loader.epoch(2, { signal: after.signal });
    for await (const _ of whole);
    after.abort('enough');
    expect(await whole.next()).toEqual({ value: undefined, done: true });
    for (const { signal } of [during, after]) expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    expect(await epochBytes(pipeline, 3)).toEqual(expectedBytes(3));
  });

  test('is heard within 100 ms though a worker is at work', async () => {
    await using pipeline = await open(faultySet({ pauseMs: 1_000 }), { workers: 1 });
    const controller = new AbortController();
    const waiting = pipeline.loader('train').epoch(1, { signal: controller.signal }).next();
    const told = expect(waiting).rejects.toMatchObject(aborted);
    controller.abort('enough');
    await soon(told, 100);
  });

  test('signal of a thousand epochs keeps no listener', async () => {
    await using pipeline = await open(faultySet(), { workers: 0 });
    const { signal } = new AbortController();
    for (let k = 0; k < 1000; k++) {
      const epoch = pipeline.loader('train').epoch(1, { signal });
      if (k % 2) await epoch.return();
    }
    await pipeline.loader('train').epoch(1).return();
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });
});

describe('the process', () => {
  const run = promisify(execFile);
  const index = new URL('../../dist/runtime/index.js', import.meta.url).href;
  const program = (body: string) => `
    import { DataPipeline, syntheticSource } from ${JSON.stringify(index)};
    const { train } = syntheticSource({ train: 64 });
    const pipeline = await DataPipeline.open({ train: { dataset: train, batch: 16, seed: 1n, shuffle: true } }, { workers: 2 });
    const loader = pipeline.loader('train');
    ${body}`;
  const script = (body: string): string => {
    const path = join(tempFolder(), 'program.mjs');
    writeFileSync(path, program(body));
    return path;
  };

  test('ends by itself, closed or not, in the middle of an epoch or after it', async () => {
    for (const body of [
      'await pipeline.close();',
      'for await (const batch of loader.epoch(1)); ',
      'await loader.epoch(1).next();',
      'loader.epoch(1);',
    ]) {
      const { stdout } = await run(process.execPath, [script(`${body} console.log('end');`)], { timeout: 30_000 });
      expect(stdout).toBe('end\n');
    }
  });

  test.skipIf(process.platform !== 'linux')('on a single core: no deadlock, the same bytes', async () => {
    const path = script(`
      const { createHash } = await import('node:crypto');
      const hash = createHash('sha256');
      for await (const { images } of loader.epoch(1)) hash.update(images.slice());
      console.log(hash.digest('hex'));`);
    const free = await run(process.execPath, [path], { timeout: 60_000 });
    const bound = await run('taskset', ['-c', '0', process.execPath, path], { timeout: 60_000 });
    expect(bound.stdout).toBe(free.stdout);
  });
});
