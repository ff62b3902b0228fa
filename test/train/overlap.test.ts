// Data and device work at the same time: proven with a source and a device that wait for each other to have begun, and seen in the timeline of
// a real run. What is told of waiting is in flight.test.ts, by a clock of its own.

import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Dataset } from '../../runtime/data/dataset.ts';
import type { Device, Executable } from '../../runtime/device.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import type { TrainEvent } from '../../runtime/train/events.ts';
import { train } from '../../runtime/train/run.ts';
import { cli } from '../support/cli.ts';
import { tempFolder } from '../support/temp-folder.ts';

const SHAPE = [8, 8, 3] as const;
const STEPS = 10;
const BATCH = 16;

/** Words of what device and source have done, as test/support/stepping-reader.mjs has them. */
const [ROWS_BEGUN, ROWS_READ, STEPS_BEGUN] = [0, 1, 2];
/** What they have done. */
const counters = () => new Int32Array(new SharedArrayBuffer(12));

/** Resolves when a word is at least `value`. Looked at from timers: the one that changes it may be another thread, or this one. */
async function atLeast(words: Int32Array, word: number, value: number): Promise<void> {
  while (Atomics.load(words, word) < value) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** A device that begins steps, and ends each when the batch behind it was read: it would wait for ever for a source that waits for it. */
function steppingDevice(words: Int32Array): Device {
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(run: () => Promise<T>): Promise<T> => {
    const result = last.then(run);
    last = result.catch(() => {});
    return result;
  };
  const gradient = async () => {
    const begun = Atomics.add(words, STEPS_BEGUN, 1) + 1;
    await atLeast(words, ROWS_READ, Math.min(begun + 1, STEPS) * BATCH);
    return { loss: 1, correct: 0 };
  };
  const executable: Executable = {
    capacity: BATCH,
    state: [],
    memoryBytes: 0,
    gradient: () => inTurn(gradient),
    update: () => inTurn(async () => ({ applied: true })),
    calibrate: async () => {},
    evaluate: async ({ rows }) => ({ loss: 1, correct: 0, logits: new Float32Array(rows * 2) }),
    predict: async ({ rows }) => new Float32Array(rows * 2),
    read: async () => new Float32Array(0),
    write: async () => {},
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
  return {
    name: 'reference',
    description: 'in step with its source',
    arithmetic: 'none',
    threads: 1,
    memoryLimit: 1,
    compile: async () => executable,
    memoryFor: () => 0,
    inspect: () => '',
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
  } as Device;
}

/** A dataset whose batches, but for the first, are there only when the device has begun the step before: in the workers, or on the calling thread. */
function steppingSet(words: Int32Array, where: 'workers' | 'caller'): Dataset {
  const size = STEPS * BATCH;
  const module = new URL('../support/stepping-reader.mjs', import.meta.url).href;
  return {
    name: 'in step',
    size,
    shape: SHAPE,
    classes: ['a', 'b'],
    labels: new Uint8Array(size),
    read: async (indices, out) => {
      // Its fingerprint takes another number of images.
      if (indices.length !== BATCH) return void out.fill(0);
      await atLeast(words, STEPS_BEGUN, Atomics.add(words, ROWS_BEGUN, BATCH) / BATCH);
      out.fill(indices[0]);
      Atomics.add(words, ROWS_READ, BATCH);
    },
    ...(where === 'workers' && { images: { kind: 'module', module, data: { state: words.buffer, batch: BATCH }, first: 0 } as const }),
  };
}

test.each(['workers', 'caller'] as const)('device and source work at the same time, step for step: source in the %s', async (where) => {
  const words = counters();
  const events: TrainEvent[] = [];
  const training = train({
    device: steppingDevice(words),
    model: buildModel('convmixer', { input: SHAPE, classes: 2, dim: 4, depth: 1, kernel: 3, patch: 2 }),
    train: steppingSet(words, where),
    epochs: 1,
    batch: BATCH,
    learningRate: 1e-3,
    augment: { crop: 1, flip: true },
    seed: 1n,
    bnMomentum: 0.9,
  });
  for await (const event of training) events.push(event);
  // One after the other they would have waited for each other.
  expect([...words]).toEqual([STEPS * BATCH, STEPS * BATCH, STEPS]);
  const epoch = events.find((event) => event.type === 'epoch');
  if (epoch?.type !== 'epoch') throw new Error('no epoch');
  const { dataWait, deviceWait } = epoch;
  expect(Math.min(dataWait, deviceWait)).toBeGreaterThanOrEqual(0);
  expect(dataWait + deviceWait).toBeLessThanOrEqual(1);
});

describe('the timeline of hybrid train', () => {
  interface Span {
    readonly name: string;
    readonly ph: string;
    readonly ts: number;
    readonly dur: number;
    readonly tid: number;
    readonly args: { readonly name?: string; readonly rows?: number; readonly epoch?: number };
  }

  test('shows workers at work while the device is, and all training rows come from the pool', async () => {
    const cwd = tempFolder();
    const argv = [
      'train',
      '--data',
      'synthetic',
      '--limit',
      '1000',
      '--val-fraction',
      '0',
      '--arch',
      'convmixer',
      '--dim',
      '16',
      '--depth',
      '2',
    ];
    const { status } = await cli([...argv, '--epochs', '2', '--bn-momentum', '0.5', '--trace', 'trace.json', '--quiet'], { cwd });
    expect(status).toBe(0);
    const events: Span[] = JSON.parse(readFileSync(join(cwd, 'trace.json'), 'utf8'));
    const lanes = new Map(events.filter(({ name }) => name === 'thread_name').map(({ tid, args }) => [tid, args.name as string]));
    const inLane = (lane: string) => events.filter(({ ph, tid }) => ph === 'X' && lanes.get(tid)?.startsWith(lane));
    expect([...lanes.values()].some((lane) => lane.startsWith('data worker'))).toBe(true);
    expect([...lanes.values()]).toContain('data wait');

    const rowsOf = (spans: readonly Span[]) => spans.reduce((sum, { args }) => sum + (args.rows ?? 0), 0);
    const prepared = inLane('data worker').filter(({ args }) => args.epoch !== 0); // epoch 0: the test
    const gradients = inLane('device').filter(({ name }) => name === 'gradient');
    expect(rowsOf(gradients)).toBe(2000);
    expect(rowsOf(prepared)).toBe(2000);

    // The device does one thing at a time, and most tasks of workers lie within one of its runs.
    const device = [...inLane('device')].sort((a, b) => a.ts - b.ts);
    for (const [i, span] of device.entries())
      if (i > 0) expect(span.ts).toBeGreaterThanOrEqual(device[i - 1].ts + device[i - 1].dur - 0.01);
    const begin = gradients[0].ts;
    const inTheShadow = prepared.filter(({ ts, dur }) => device.some((run) => run.ts <= ts && ts + dur <= run.ts + run.dur));
    expect(prepared.filter(({ ts }) => ts < begin).length).toBeGreaterThan(0); // before the first step: while the device was opened
    // How many depends on what else the machine does.
    expect(inTheShadow.length).toBeGreaterThan(0);

    // What the threads of the device do: one kernel after the other, and between them no longer than the device was at work.
    const threads = [...lanes.values()].filter((lane) => lane.startsWith('compute thread'));
    expect(threads.length).toBe(availableParallelism() < 4 ? availableParallelism() : availableParallelism() - 1);
    for (const lane of threads) {
      const kernels = inLane(lane);
      expect(kernels.length).toBeGreaterThan(100);
      for (const [i, { ts }] of kernels.entries()) {
        if (i > 0) expect(ts).toBeGreaterThanOrEqual(kernels[i - 1].ts + kernels[i - 1].dur - 0.01);
      }
      const [first, last] = [kernels[0], kernels.at(-1) as Span];
      expect(first.ts).toBeGreaterThanOrEqual(device[0].ts - 0.01);
      const end = last.ts + last.dur;
      const atWork = device.reduce((sum, run) => sum + Math.max(0, Math.min(run.dur, end - run.ts)), 0);
      expect(kernels.reduce((sum, { dur }) => sum + dur, 0)).toBeLessThanOrEqual(atWork);
    }
  });
});
