// Executables that stand in front of another one have what that one has: a member that is forgotten is not missed by a type where it is
// optional.

import { expect, it } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import type { Executable } from '../../runtime/device.ts';
import { solo } from '../../runtime/distributed/communicator.ts';
import { distribute } from '../../runtime/distributed/distribute.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { TracedExecutable } from '../../runtime/train/traced-executable.ts';
import { randomBatch } from '../support/models.ts';

const model = buildModel('convmixer', { input: [8, 8, 3], classes: 5, dim: 12, depth: 1, kernel: 3, patch: 2 });
const options = { capacity: 4, seed: 1n };
const HYPER = { learningRate: 1e-3, weightDecay: 0, bnMomentum: 0.9 };
const batch = randomBatch(model, 4);

it('a traced executable forwards every call, `profile` among them, and notes the runs', async () => {
  await using device = await openWasmDevice({ threads: 1, v8Flags: false });
  const target = await device.compile(trainingGraphs(model), options);
  const spans: string[] = [];
  const traced: Executable = new TracedExecutable(target, { span: (lane, name) => spans.push(`${lane} ${name}`) });
  for (const [name, data] of initialize(model, 1n)) await traced.write(name, data);
  expect([traced.capacity, traced.state, traced.memoryBytes, traced.stepsAhead]).toEqual([4, target.state, target.memoryBytes, undefined]);
  const { loss } = await traced.gradient(batch);
  expect(await traced.update(HYPER)).toEqual({ applied: true });
  await traced.calibrate(batch, 0.9);
  expect((await traced.evaluate(batch)).logits).toEqual(await traced.predict(batch));
  expect((await traced.profile?.(batch, HYPER))?.length).toBeGreaterThan(20);
  expect(spans).toEqual(['gradient', 'update', 'calibrate', 'evaluate', 'predict'].map((name) => `device ${name}`));
  expect((await traced.gradient(batch)).loss).not.toBe(loss);
  await traced[Symbol.asyncDispose]();
  await expect(target.predict(batch)).rejects.toThrow('the executable is closed');
});

it('a rank has the capacity of the whole batch, and no profile', async () => {
  await using device = await openWasmDevice({ threads: 1, v8Flags: false });
  const { device: rank } = distribute({ device, communicator: solo });
  const executable = await rank.compile(trainingGraphs(model), options);
  expect([executable.capacity, executable.profile, executable.stepsAhead]).toEqual([4, undefined, undefined]);
});
