// Opening the webgpu device, training and closing it many times in one process: threads, files and memory stay flat. Most cycles
// are on Dawn's null backend, where compiling takes no time; some compute, on SwiftShader.

import { readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import { openWebGpuDevice } from '../../gpu/host/device.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { randomBatch } from '../support/models.ts';
import { useSwiftShader } from '../support/swiftshader.ts';

const model = buildModel('convmixer', { input: [8, 8, 3], classes: 4, dim: 8, depth: 1, kernel: 3, patch: 2 });
const batch = randomBatch(model, 8);

async function cycle(backend?: 'null'): Promise<void> {
  const device = await openWebGpuDevice({ backend });
  const executable = await device.compile(trainingGraphs(model), { capacity: 8, seed: 1n });
  for (const [name, values] of initialize(model, 1n)) await executable.write(name, values);
  const calls: Promise<unknown>[] = [];
  for (let step = 0; step < 10; step++)
    calls.push(executable.gradient(batch), executable.update({ learningRate: 1e-3, weightDecay: 0, bnMomentum: 0.9 }));
  await Promise.all([...calls, executable.predict(batch)]);
  await device.close();
}

const count = (folder: string): number => readdirSync(`/proc/self/${folder}`).length;

it.each([
  ['null', 200, 'null'],
  ['SwiftShader', 20, undefined],
] as const)('on %s, %i times', async (_, cycles, backend) => {
  if (!backend) useSwiftShader();
  const seen: { threads: number; files: number; rss: number }[] = [];
  for (let i = 0; i < cycles; i++) {
    await cycle(backend);
    if ((i + 1) % (cycles / 10) !== 0) continue;
    globalThis.gc?.();
    seen.push({ threads: count('task'), files: count('fd'), rss: Math.round(process.memoryUsage.rss() / 2 ** 20) });
  }
  process.stderr.write(`${JSON.stringify(seen)}\n`);
  const [early, last] = [seen[2], seen[9]];
  expect(last.threads).toBeLessThanOrEqual(early.threads + 1);
  expect(last.files).toBeLessThanOrEqual(early.files + 1);
  expect(last.rss).toBeLessThan(early.rss + 64);
});
