// Loss scaling, on f32 storage and a software adapter: the same bits as without, overflows that leave no trace, growth, resuming. And the text of
// what is scaled, without an adapter.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openWebGpuDevice, type WebGpuDevice } from '../../gpu/host/device.ts';
import { GROWTH_INTERVAL, INITIAL_EXPONENT, LOSS_SCALE, MOST_EXPONENT } from '../../gpu/lowering/loss-scale.ts';
import { type Device, type Executable, GRADIENTS } from '../../runtime/device.ts';
import { distribute } from '../../runtime/distributed/distribute.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
import type { Checkpoint } from '../../runtime/train/checkpoint.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { localGroup } from '../support/local-group.ts';
import { randomBatch } from '../support/models.ts';
import { onCompile } from '../support/on-compile.ts';
import { digestOf, MemoryStore, ofType, runPart, smallOptions } from '../support/runs.ts';
import { hasSwiftShader, useSwiftShader } from '../support/swiftshader.ts';

const HYPER = { learningRate: 1e-3, weightDecay: 1e-4, bnMomentum: 0.9 };
const ROWS = 3;
const model = buildModel('convmixer', { input: [8, 8, 3], classes: 5, dim: 12, depth: 1, kernel: 3, patch: 2 });
const batch = randomBatch(model, ROWS);

/** Exponent and good steps, as the state has them. */
const scaleOf = (exponent: number, good: number): number[] => [exponent - INITIAL_EXPONENT, good];

async function executable(device: Device): Promise<Executable> {
  const compiled = await device.compile(trainingGraphs(model), { seed: 1n, capacity: ROWS, programs: ['train'] });
  for (const [name, data] of initialize(model, 1n)) await compiled.write(name, data);
  return compiled;
}

async function read(from: Executable, names: readonly string[]): Promise<Record<string, readonly number[]>> {
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, [...(await from.read(name))]] as const)));
}

describe.runIf(hasSwiftShader)('loss scaling on SwiftShader', () => {
  let scaling: WebGpuDevice;
  let plain: WebGpuDevice;
  let scaled: Executable;
  const state = (): Promise<Record<string, readonly number[]>> =>
    read(
      scaled,
      scaled.state.map(({ name }) => name).filter((name) => name !== LOSS_SCALE),
    );
  const step = () => Promise.all([scaled.gradient(batch), scaled.update(HYPER)]);
  const scale = async (): Promise<number[]> => [...(await scaled.read(LOSS_SCALE))];
  beforeAll(async () => {
    useSwiftShader();
    scaling = await openWebGpuDevice({ lossScale: true });
    plain = await openWebGpuDevice();
    scaled = await executable(scaling);
  });
  afterAll(async () => {
    await scaling?.close();
    await plain?.close();
  });

  it('changes no bit of gradients, updates and losses', async () => {
    const unscaled = await executable(plain);
    expect(unscaled.state.map(({ name }) => name)).not.toContain(LOSS_SCALE);
    const parameters = model.variables.filter(({ kind }) => kind === 'parameter').map(({ name }) => `gradients/${name}`);
    for (let i = 0; i < 2; i++) {
      const input = randomBatch(model, ROWS, i);
      expect(await scaled.gradient(input)).toEqual(await unscaled.gradient(input));
      expect(await read(scaled, parameters)).toEqual(await read(unscaled, parameters));
      expect(await scaled.update(HYPER)).toEqual({ applied: true });
      expect(await unscaled.update(HYPER)).toEqual({ applied: true });
    }
    const names = unscaled.state.map(({ name }) => name);
    expect(await read(scaled, names)).toEqual(await read(unscaled, names));
    expect(await scale()).toEqual(scaleOf(INITIAL_EXPONENT, 2));
    await unscaled.close();
  });

  it('halves a scale at which gradients overflow until they do not; steps that are left out leave no trace', async () => {
    const before = await state();
    await scaled.write(LOSS_SCALE, scaleOf(126, 7));
    // All in flight at once: each uses what the one before has made of the scale.
    const updates = (await Promise.all(Array.from({ length: 5 }, step))).map(([{ loss }, update]) => ({
      ...update,
      finite: Number.isFinite(loss),
    }));
    const skipped = updates.filter(({ applied }) => !applied);
    expect(skipped.length).toBeGreaterThan(0);
    expect(skipped).toEqual(skipped.map((_, i) => ({ applied: false, overflow: 2 ** (126 - i), finite: true })));
    expect(updates.slice(skipped.length)).toEqual(updates.slice(skipped.length).map(() => ({ applied: true, finite: true })));
    expect(await scale()).toEqual(scaleOf(126 - skipped.length, 5 - skipped.length));

    await scaled.write(LOSS_SCALE, scaleOf(126, 7));
    for (const [name, data] of Object.entries(before)) await scaled.write(name, data);
    await step();
    expect(await state()).toEqual(before);
    await scaled.write(LOSS_SCALE, scaleOf(INITIAL_EXPONENT, 0));
  });

  it('is not to blame where the loss is not finite, or the scale is 1', async () => {
    const before = await state();
    const infinite = await scaled.read(GRADIENTS);
    infinite[0] = Number.POSITIVE_INFINITY;
    await scaled.gradient(batch);
    await scaled.write(GRADIENTS, infinite);
    expect(await scaled.update(HYPER)).toEqual({ applied: false, overflow: 2 ** INITIAL_EXPONENT });
    await scaled.write(LOSS_SCALE, scaleOf(0, 3));
    await scaled.gradient(batch);
    await scaled.write(GRADIENTS, infinite);
    expect(await scaled.update(HYPER)).toEqual({ applied: false });
    expect(await scale()).toEqual(scaleOf(0, 3));
    expect(await state()).toEqual(before);

    await scaled.write(LOSS_SCALE, scaleOf(10, 3));
    const bias = await scaled.read('layers/dense/vars/1');
    await scaled.write(
      'layers/dense/vars/1',
      bias.map(() => Number.NaN),
    );
    const [{ loss }, update] = await step();
    expect([loss, update]).toEqual([Number.NaN, { applied: false }]);
    expect(await scale()).toEqual(scaleOf(10, 3));
    await scaled.write('layers/dense/vars/1', bias);
  });

  it('doubles the scale after many good steps, up to a limit', async () => {
    for (const [from, to] of [
      [INITIAL_EXPONENT, INITIAL_EXPONENT + 1],
      [0, 1],
      [MOST_EXPONENT, MOST_EXPONENT],
    ]) {
      await scaled.write(LOSS_SCALE, scaleOf(from, GROWTH_INTERVAL - 2));
      expect((await step())[1]).toEqual({ applied: true });
      expect(await scale()).toEqual(scaleOf(from, GROWTH_INTERVAL - 1));
      expect((await step())[1]).toEqual({ applied: true });
      expect(await scale()).toEqual(scaleOf(to, 0));
    }
  });

  it('stays the same on all ranks where the loss of one is not finite', async () => {
    const compiled: Executable[] = [];
    const ranks = await Promise.all(
      localGroup(2).map(async (communicator) => {
        const own = onCompile(scaling, (one) => {
          compiled.push(one);
          return one;
        });
        return executable(distribute({ device: own, communicator }).device);
      }),
    );
    await compiled[1].write('layers/dense/vars/1', new Float32Array(5).fill(Number.NaN));
    const steps = ranks.map((rank) => Promise.all([rank.gradient(batch), rank.update(HYPER)]));
    for (const [, { applied }] of await Promise.all(steps)) expect(applied).toBe(false);
    for (const own of compiled) expect([...(await own.read(LOSS_SCALE))]).toEqual(scaleOf(INITIAL_EXPONENT, 0));
    for (const rank of ranks) await rank.close();
  });

  it('in a run: overflows are told and no divergence, and a run in parts is the run in one go', async () => {
    // Begins at a scale that is far too large.
    const device = onCompile(scaling, async (one) => {
      await one.write(LOSS_SCALE, scaleOf(126, 0));
      return one;
    });
    const options = (store: MemoryStore, resume?: Checkpoint) => smallOptions({ device, epochs: 2, store, resume });
    const store = new MemoryStore();
    const { events, result } = await runPart(options(store));
    expect(result).toMatchObject({ reason: 'completed' });
    const told = ofType(events, 'message').filter(({ text }) => text.includes('loss scale'));
    expect(told[0]).toEqual({
      type: 'message',
      level: 'info',
      text: `epoch 1, step 1: the gradients went beyond the range of f16 at a loss scale of ${2 ** 126}: the step is skipped, and the scale is ${2 ** 125} from here on.`,
    });
    for (const { train } of ofType(events, 'epoch')) expect(train.loss).toBeGreaterThan(0);
    const whole = (await store.load('last')) as Checkpoint;
    const [exponent] = whole.optimizer.get(LOSS_SCALE)?.data ?? [];
    expect(exponent).toBe(126 - told.length - INITIAL_EXPONENT);

    const parts = new MemoryStore();
    await runPart(options(parts), 2);
    await runPart(options(parts, (await parts.load('last')) ?? undefined), 2);
    await runPart(options(parts, (await parts.load('last')) ?? undefined));
    expect(digestOf((await parts.load('last')) as Checkpoint)).toBe(digestOf(whole));

    // A checkpoint of a tier that scales nothing: the scale begins where it does.
    const { [LOSS_SCALE]: _, ...without } = Object.fromEntries(whole.optimizer);
    const from = { ...whole, optimizer: new Map(Object.entries(without)) };
    const resumed = new MemoryStore();
    await runPart(smallOptions({ device, epochs: 3, store: resumed, resume: from }));
    expect([...((await resumed.load('last'))?.optimizer.get(LOSS_SCALE)?.data ?? [])][0]).toBe(0);
  });
});
