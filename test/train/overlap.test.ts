// Data and device work at the same time: proven with a slow source and a slow device, and seen in the timeline of a real run.

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

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A device that only takes its time: `ms` a gradient. Runs wait for each other, as the contract has it. */
function slowDevice(ms: number): Device {
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(run: () => Promise<T>): Promise<T> => {
    const result = last.then(run);
    last = result.catch(() => {});
    return result;
  };
  const executable: Executable = {
    capacity: BATCH,
    state: [],
    memoryBytes: 0,
    gradient: () => inTurn(() => sleep(ms).then(() => ({ loss: 1, correct: 0 }))),
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
    description: 'slow',
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

/** A dataset whose images take `ms` a batch: in the workers, or on the calling thread, which waits meanwhile. */
function slowSet(ms: number, where: 'workers' | 'caller'): Dataset {
  const size = STEPS * BATCH;
  const module = new URL('../support/faulty-reader.mjs', import.meta.url).href;
  const data = { imageBytes: 192, counter: new SharedArrayBuffer(8), fault: 'none', from: 0, to: 0, pauseMs: ms };
  return {
    name: 'slow',
    size,
    shape: SHAPE,
    classes: ['a', 'b'],
    labels: new Uint8Array(size),
    read: async (indices, out) => {
      // Its fingerprint takes single images.
      if (indices.length === BATCH) await sleep(ms);
      out.fill(indices[0]);
    },
    ...(where === 'workers' && { images: { kind: 'module', module, data, first: 0 } as const }),
  };
}

async function run(deviceMs: number, sourceMs: number, where: 'workers' | 'caller') {
  const events: TrainEvent[] = [];
  const training = train({
    device: slowDevice(deviceMs),
    model: buildModel('convmixer', { input: SHAPE, classes: 2, dim: 4, depth: 1, kernel: 3, patch: 2 }),
    train: slowSet(sourceMs, where),
    validation: null,
    test: null,
    epochs: 1,
    batch: BATCH,
    learningRate: 1e-3,
    weightDecay: 0,
    schedule: { name: 'constant' },
    earlyStopping: null,
    plateau: null,
    augment: { crop: 1, flip: true },
    shuffle: true,
    seed: 1n,
    bnMomentum: 0.9,
    recalibrateBn: 0,
  });
  for await (const event of training) events.push(event);
  const epoch = events.find((event) => event.type === 'epoch');
  if (epoch?.type !== 'epoch') throw new Error('no epoch');
  return { ms: epoch.seconds * 1000, dataWait: epoch.dataWait, deviceWait: epoch.deviceWait };
}

describe('a slow device and a slow source', () => {
  test.each(['workers', 'caller'] as const)('take as long as the slower of both, not as both: source in the %s', async (where) => {
    const [device, source] = [120, 100];
    const { ms, dataWait, deviceWait } = await run(device, source, where);
    expect(ms).toBeGreaterThan(STEPS * device - 5);
    // One after the other it would be 220 a step.
    expect(ms).toBeLessThan(STEPS * (device + source) * 0.8);
    // Only the first batch is waited for.
    expect(dataWait).toBeLessThan(0.2);
    expect(deviceWait).toBeGreaterThan(0);
    expect(dataWait + deviceWait).toBeLessThanOrEqual(1);
  });

  test('a device slower than the source is told as the wait that it is', async () => {
    const { dataWait, deviceWait } = await run(120, 0, 'workers');
    expect(deviceWait).toBeGreaterThan(0.6);
    expect(dataWait).toBeLessThan(0.3);
  });

  test('a source slower than the device is told as the wait that it is', async () => {
    const { ms, dataWait, deviceWait } = await run(20, 100, 'workers');
    expect(deviceWait).toBeLessThan(0.2);
    expect(dataWait).toBeGreaterThan(0.6);
    expect(dataWait).toBeLessThan(0.95);
    expect(ms).toBeLessThan(STEPS * 120 + 300);
  });
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
    expect(inTheShadow.length).toBeGreaterThan(0.5 * prepared.filter(({ ts }) => ts > begin).length);

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
