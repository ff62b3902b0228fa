// Opening, training and closing many times, and training for long: memory, handles and threads stay flat.

import { readdirSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { train } from '../../runtime/train/run.ts';
import { shapesDataset } from '../support/shapes-dataset.ts';

const model = buildModel('convmixer', { input: [8, 8, 3], classes: 4, dim: 16, depth: 2, kernel: 5, patch: 2 });

const run = (device: Awaited<ReturnType<typeof openWasmDevice>>, epochs: number) =>
  train({
    device,
    model,
    train: shapesDataset(64),
    validation: shapesDataset(16, { seed: 2 }),
    test: null,
    epochs,
    batch: 16,
    learningRate: 1e-3,
    weightDecay: 1e-4,
    schedule: { name: 'constant' },
    earlyStopping: null,
    plateau: null,
    augment: { crop: 1, flip: true },
    shuffle: true,
    seed: 1n,
    bnMomentum: 0.9,
    recalibrateBn: 0,
  }).result;

// What is only not yet collected is no leak.
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

interface Held {
  readonly threads: number;
  readonly handles: number;
  /** MiB. */
  readonly resident: number;
  readonly heap: number;
}

/** Of this process, when all garbage is gone and ended threads have left. */
async function held(): Promise<Held> {
  collect();
  await new Promise((resolve) => setTimeout(resolve, 500));
  collect();
  const { rss, heapUsed } = process.memoryUsage();
  const threads = readdirSync('/proc/self/task').length;
  return { threads, handles: process.getActiveResourcesInfo().length, resident: rss / 2 ** 20, heap: heapUsed / 2 ** 20 };
}

function expectFlat(seen: readonly Held[]): void {
  process.stderr.write(`${JSON.stringify(seen)}\n`);
  const [early, late] = [seen[seen.length >> 2], seen.at(-1)] as [Held, Held];
  expect(late.threads).toBeLessThanOrEqual(early.threads + 1);
  expect(late.handles).toBeLessThanOrEqual(early.handles + 1);
  expect(late.resident).toBeLessThan(early.resident + 64);
  expect(late.heap).toBeLessThan(early.heap + 16);
}

it('500 times open, train, close', async () => {
  const seen: Held[] = [];
  for (let cycle = 0; cycle < 500; cycle++) {
    const device = await openWasmDevice({ threads: 2, v8Flags: true });
    await run(device, 1);
    await device.close();
    if (cycle % 50 === 49) seen.push(await held());
  }
  expectFlat(seen);
});

it('an hour of training', async () => {
  const device = await openWasmDevice({ threads: 2, v8Flags: true });
  const seen: Held[] = [];
  for (const end = performance.now() + 3_600_000; performance.now() < end; ) {
    await run(device, 200);
    seen.push(await held());
  }
  await device.close();
  expectFlat(seen);
});
