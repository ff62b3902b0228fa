// Opening, training and closing many times, and training for long: memory, handles and threads stay flat.

import { readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { train } from '../../runtime/train/fit.ts';
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

const threads = (): number => readdirSync('/proc/self/task').length;
const residentMiB = (): number => process.memoryUsage.rss() / 2 ** 20;

it('500 times open, train, close', async () => {
  const seen: { threads: number; rss: number }[] = [];
  for (let cycle = 0; cycle < 500; cycle++) {
    const device = await openWasmDevice({ threads: 2, v8Flags: true });
    await run(device, 1);
    await device.close();
    if (cycle % 50 === 49) seen.push({ threads: threads(), rss: residentMiB() });
  }
  process.stderr.write(`${JSON.stringify(seen)}\n`);
  expect(seen.at(-1)?.threads).toBeLessThanOrEqual((seen[1]?.threads as number) + 1);
  expect(seen.at(-1)?.rss).toBeLessThan((seen[1]?.rss as number) + 64);
});

it('an hour of training', async () => {
  const device = await openWasmDevice({ threads: 2, v8Flags: true });
  const seen: number[] = [];
  const end = performance.now() + 3_600_000;
  while (performance.now() < end) {
    await run(device, 50);
    seen.push(residentMiB());
  }
  await device.close();
  const quarter = seen.length >> 2;
  process.stderr.write(`${seen.length} runs, ${seen[quarter].toFixed(0)} MiB after a quarter, ${seen.at(-1)?.toFixed(0)} MiB at the end\n`);
  expect(seen.at(-1)).toBeLessThan(seen[quarter] + 64);
});
