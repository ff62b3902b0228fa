// A step allocates a constant handful of objects in JavaScript, however many ops it has, and leaves none behind.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { randomBatch } from '../support/models.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const STEPS = 60;

/** Bytes of JavaScript objects that a step makes, and that it leaves behind. */
async function bytesPerStep(depth: number): Promise<{ made: number; left: number; ops: number }> {
  const model = buildModel('convmixer', { input: [8, 8, 3], classes: 4, dim: 8, depth, kernel: 3, patch: 2 });
  const device = await openWasmDevice({ threads: 2, v8Flags: true });
  const graphs = trainingGraphs(model);
  const executable = await device.compile(graphs, { capacity: 4, seed: 1n });
  for (const [name, data] of initialize(model, 1n)) await executable.write(name, data);
  const batch = randomBatch(model, 4);
  const hyper = { learningRate: 1e-3, weightDecay: 1e-4, bnMomentum: 0.9 };
  const steps = async (count: number) => {
    for (let i = 0; i < count; i++) await Promise.all([executable.gradient(batch), executable.update(hyper)]);
  };
  await steps(50); // code is compiled and caches are filled
  collect();
  const before = process.memoryUsage().heapUsed;
  await steps(STEPS);
  const made = process.memoryUsage().heapUsed - before;
  collect();
  const left = process.memoryUsage().heapUsed - before;
  await device.close();
  return { made: made / STEPS, left: left / STEPS, ops: graphs.train.nodes.length };
}

test('what a step allocates does not grow with the number of ops, and nothing of it stays', async () => {
  const small = await bytesPerStep(2);
  const large = await bytesPerStep(24);
  expect(large.ops).toBeGreaterThan(6 * small.ops);
  // A few promises, closures and views a run; some kilobytes of slack for what else the engine does meanwhile.
  expect(large.made).toBeLessThan(24 * 1024);
  expect(large.made).toBeLessThan(1.5 * small.made + 2048);
  for (const { left } of [small, large]) expect(left).toBeLessThan(1024);
});
