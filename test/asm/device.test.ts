// The wasm device as a whole: small models against the reference, the same bits for any number of threads, runs that are stopped in the
// middle, the failure of a thread, memory that does not suffice. (What all devices promise is in test/device-contract/.)

import { afterAll, describe, expect, it } from 'vitest';
import { availableMemory, gangThreads } from '../../asm/host/cores.ts';
import { openWasmDevice } from '../../asm/host/device.ts';
import { WasmExecutable } from '../../asm/host/executable.ts';
import type { Gang } from '../../asm/host/gang.ts';
import { loadKernels } from '../../asm/host/modules.ts';
import { layOut, PAGE_BYTES, writePrograms } from '../../asm/host/program.ts';
import { compileGraph } from '../../runtime/compile/compile.ts';
import type { Device, Executable } from '../../runtime/device.ts';
import { host } from '../../runtime/hosts/index.ts';
import { layers } from '../../runtime/layers/functional.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
import { sequentialModel } from '../../runtime/model/layered-model.ts';
import type { Model } from '../../runtime/model/model.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { expectClose } from '../support/close.ts';
import { randomBatch, smallModels } from '../support/models.ts';

const HYPER = { learningRate: 1e-3, weightDecay: 1e-4, bnMomentum: 0.9 };
const SEED = 42n;

const open: Device[] = [];
async function device(threads: number, v8Flags = false): Promise<Device> {
  const opened = await openWasmDevice({ threads, v8Flags });
  open.push(opened);
  return opened;
}
afterAll(() => Promise.all(open.map((each) => each.close())));

async function executable(model: Model, on: Device, options: { capacity: number; withoutRules?: string[] }): Promise<Executable> {
  const compiled = await on.compile(trainingGraphs(model), { seed: SEED, ...options });
  for (const [name, data] of initialize(model, SEED)) await compiled.write(name, data);
  return compiled;
}

/** Everything that a step may change, by name. */
async function stateOf(compiled: Executable): Promise<Map<string, Float32Array>> {
  const state = new Map<string, Float32Array>();
  for (const { name } of compiled.state) state.set(name, await compiled.read(name));
  return state;
}

/** Weights after a step, in doubles (Keras' form of AdamW, as in ARCHITECTURE.md). */
function adamw(weights: Float32Array, gradients: Float32Array, [m, v]: Float32Array[], t: number): Float64Array {
  const { learningRate, weightDecay } = HYPER;
  const alpha = (learningRate * Math.sqrt(1 - 0.999 ** t)) / (1 - 0.9 ** t);
  return Float64Array.from(weights, (w, i) => {
    const g = gradients[i];
    const moment1 = m[i] + (g - m[i]) * 0.1;
    const moment2 = v[i] + (g * g - v[i]) * 0.001;
    return w - w * weightDecay * learningRate - (alpha * moment1) / (Math.sqrt(moment2) + 1e-7);
  });
}

/** With everything that sums over samples; sizes that do not come out even. */
const model = buildModel('convmixer', { input: [12, 12, 3], classes: 5, dim: 20, depth: 3, kernel: 5, patch: 2 });
const CAPACITY = 9;
const batch = randomBatch(model, CAPACITY);

describe.each([
  ['as the engine is', false],
  ['with V8 flags', true],
])('against the reference, %s', (_, v8Flags) => {
  it.each(
    smallModels().map((small) => [small.arch, small] as const),
  )('%s: loss, gradients, update, moving statistics, logits', async (_arch, small) => {
    const capacity = 5;
    const reference = await executable(small, openReferenceDevice(), { capacity });
    for (const withoutRules of [[], ['all']]) {
      const wasm = await executable(small, await device(2, v8Flags), { capacity, withoutRules });
      for (const [name] of initialize(small, SEED)) await wasm.write(name, await reference.read(name));
      for (const rows of [capacity, capacity - 2]) {
        // Both start each step from the same values: differences do not add up.
        for (const { name } of reference.state) await wasm.write(name, await reference.read(name));
        const batch = randomBatch(small, rows, rows);
        const expected = await reference.gradient(batch);
        const actual = await wasm.gradient(batch);
        expectClose([actual.loss], [expected.loss], { relative: 2e-5 }, 'loss');
        expect(actual.correct).toBe(expected.correct);
        for (const { name, kind } of reference.state) {
          if (kind !== 'parameter') continue;
          const gradient = await reference.read(`gradients/${name}`);
          const scale = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0) / gradient.length);
          expectClose(
            await wasm.read(`gradients/${name}`),
            gradient,
            { absolute: 1e-3 * scale + 2e-6, relative: 2e-3 },
            `gradient of ${name}`,
          );
        }
        const gradients = new Map<string, Float32Array>();
        for (const { name, kind } of reference.state) if (kind === 'parameter') gradients.set(name, await wasm.read(`gradients/${name}`));
        const before = await stateOf(wasm);
        expect(await wasm.update(HYPER)).toEqual({ applied: true });
        expect(await reference.update(HYPER)).toEqual({ applied: true });
        const parameters = reference.state.filter(({ kind }) => kind === 'parameter');
        for (const [k, { name }] of parameters.entries()) {
          // Adam's first steps are the signs of the gradients, which are noise where gradients are: the step is that of the device's own.
          const moments = [2 + 2 * k, 3 + 2 * k].map((i) => before.get(`optimizer/vars/${i}`) as Float32Array);
          const t = (before.get('optimizer/vars/0') as Float32Array)[0] + 1;
          const expected = adamw(before.get(name) as Float32Array, gradients.get(name) as Float32Array, moments, t);
          expectClose(await wasm.read(name), expected, { absolute: 2e-6, relative: 1e-5 }, name);
        }
        for (const { name, kind } of reference.state)
          if (kind !== 'parameter')
            expectClose(await wasm.read(name), await reference.read(name), { absolute: 2e-4, relative: 2e-3 }, name);
      }
      for (const { name } of reference.state) await wasm.write(name, await reference.read(name));
      const batch = randomBatch(small, 3, 7);
      await wasm.calibrate(batch, 0.5);
      await reference.calibrate(batch, 0.5);
      for (const { name, kind } of reference.state) {
        if (kind === 'statistic') expectClose(await wasm.read(name), await reference.read(name), { absolute: 1e-5, relative: 1e-4 }, name);
      }
      const expected = await reference.evaluate(batch);
      const actual = await wasm.evaluate(batch);
      expectClose([actual.loss], [expected.loss], { relative: 2e-5 }, 'evaluation loss');
      expectClose(actual.logits, expected.logits, { absolute: 2e-5, relative: 1e-4 }, 'logits');
      expect(await wasm.predict(batch)).toEqual(actual.logits);
      // The reference goes back to where it was, for the second round.
      for (const [name, data] of initialize(small, SEED)) await reference.write(name, data);
      for (const { name, shape, kind } of reference.state) {
        if (kind !== 'parameter' && kind !== 'statistic') await reference.write(name, new Float32Array(shape.reduce((a, b) => a * b, 1)));
      }
      await wasm.close();
    }
  });
});

it.each([
  ['convmixer', model] as const,
  ['conv-pooling', smallModels()[1]] as const,
])('%s: the same bits for any number of threads', async (_arch, each) => {
  const results = [];
  for (const threads of [1, 2, 3, 5, 5]) {
    const wasm = await executable(each, await device(threads), { capacity: CAPACITY });
    const losses = [];
    for (let step = 0; step < 5; step++) {
      losses.push(await wasm.gradient(randomBatch(each, CAPACITY - step, step)));
      await wasm.update(HYPER);
    }
    results.push({ losses, state: await stateOf(wasm), logits: await wasm.predict(randomBatch(each, 4)) });
    await wasm.close();
  }
  expect(results[0].losses.every(({ loss }) => Number.isFinite(loss))).toBe(true);
  for (const result of results.slice(1)) expect(result).toEqual(results[0]);
});

describe('abort', () => {
  // Large enough to be still running when the signal comes.
  const large = buildModel('convmixer', { input: [32, 32, 3], classes: 5, dim: 64, depth: 4, kernel: 5, patch: 1 });
  const rows = 24;
  const images = randomBatch(large, rows);

  it('of runs that are running or waiting: they reject, nothing changes, the executable goes on', async () => {
    const wasm = await executable(large, await device(2), { capacity: rows });
    const before = await stateOf(wasm);
    const controller = new AbortController();
    const { signal } = controller;
    const runs = [
      wasm.gradient(images, { signal }),
      wasm.calibrate(images, 0.5, { signal }),
      wasm.evaluate(images, { signal }),
      wasm.update(HYPER), // of a gradient that never came
    ];
    setTimeout(() => controller.abort(new Error('enough')), 10);
    const outcomes = await Promise.allSettled(runs);
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({
        status: 'rejected',
        reason: { name: 'AbortError', code: 'ABORT_ERR', cause: { message: 'enough' } },
      });
    }
    expect(await stateOf(wasm)).toEqual(before);
    await expect(wasm.predict(images, { signal })).rejects.toMatchObject({ name: 'AbortError' });
    const { loss } = await wasm.gradient(images);
    expect(loss).toBeGreaterThan(0);
    expect(await wasm.update(HYPER)).toEqual({ applied: true });
    expect(await stateOf(wasm)).not.toEqual(before);
    await wasm.close();
  });
});

describe('what is made of weights alone is kept by an executable that only predicts', () => {
  // Winograd's convolution, one in groups, one of pixels, and a dense layer.
  const layered = sequentialModel({
    name: 'layered',
    input: [9, 10, 3],
    layers: [
      layers.conv2d({ filters: 18, kernelSize: 3, padding: 'same', activation: 'relu' }),
      layers.conv2d({ filters: 16, kernelSize: 3, padding: 'same' }),
      layers.conv2d({ filters: 12, kernelSize: 2, strides: 2, groups: 2, activation: 'gelu' }),
      layers.conv2d({ filters: 20, kernelSize: 1 }),
      layers.globalAveragePooling2d(),
      layers.dense({ units: 4 }),
    ],
  });
  const pictures = randomBatch(layered, 5, 3);

  /** Logits by a device, and the kernels that a run of it calls. */
  async function predicting(on: Device, programs: readonly ('predict' | 'evaluate')[]) {
    const called: string[] = [];
    const trace = { span: (lane: string, name: string) => void (lane === 'compute thread 1' && called.push(name.split(' ')[0])) };
    const compiled = await on.compile(trainingGraphs(layered), { capacity: 5, seed: 0n, programs, trace });
    const load = async (seed: bigint): Promise<void> => {
      for (const [name, data] of initialize(layered, seed)) await compiled.write(name, data);
    };
    const run = async (signal?: AbortSignal) => {
      called.length = 0;
      return { logits: await compiled.predict(pictures, { signal }), makes: called.filter((kernel) => /Weights$/.test(kernel)).length };
    };
    return { load, run };
  }

  it('is made once, made again when weights are written, and gives the same bits', async () => {
    const on = await device(2);
    const [keeping, making] = [await predicting(on, ['predict']), await predicting(on, ['predict', 'evaluate'])];
    const seen: Float32Array[] = [];
    for (const seed of [1n, 2n]) {
      await keeping.load(seed);
      await making.load(seed);
      const first = await keeping.run();
      const second = await keeping.run();
      const other = await making.run();
      expect([first.makes, second.makes, other.makes]).toEqual([6, 0, 6]);
      expect(second.logits).toEqual(first.logits);
      expect(first.logits).toEqual(other.logits);
      expect((await making.run()).makes).toBe(6);
      seen.push(first.logits);
    }
    expect(seen[1]).not.toEqual(seen[0]);
  });

  it('is made again after a run that was stopped before it was through', async () => {
    const on = await device(2);
    const [keeping, making] = [await predicting(on, ['predict']), await predicting(on, ['predict', 'evaluate'])];
    for (const seed of [1n, 2n, 3n, 4n]) {
      await keeping.load(seed);
      await making.load(seed);
      const stopped = new AbortController();
      const run = keeping.run(stopped.signal);
      stopped.abort();
      await expect(run).rejects.toMatchObject({ name: 'AbortError' });
      expect((await keeping.run()).logits).toEqual((await making.run()).logits);
    }
  });
});

it('rejects the run in flight and all that wait when the gang fails, and whatever comes later', async () => {
  const predict = compileGraph(trainingGraphs(model).predict);
  const layout = layOut({ predict }, CAPACITY, 1);
  const pages = layout.bytes / PAGE_BYTES;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const programs = writePrograms(layout, memory.buffer, (await loadKernels()).kernels);
  const error = new Error('a thread failed');
  let fail = (): void => {};
  const gang = {
    failure: null as Error | null,
    run: () =>
      new Promise<never>((_, reject) => {
        fail = () => {
          gang.failure = error;
          reject(error);
        };
      }),
    close: async () => {},
  };
  const parts = { graphs: { predict }, layout, memory, programs, capacity: CAPACITY, seed: SEED, onClose: () => {} };
  const wasm = new WasmExecutable({ ...parts, gang: gang as unknown as Gang });
  const waiting = [wasm.predict(batch), wasm.predict(batch), wasm.read('layers/dense/vars/1')];
  fail();
  for (const outcome of await Promise.allSettled(waiting)) expect(outcome).toEqual({ status: 'rejected', reason: error });
  await expect(wasm.predict(batch)).rejects.toBe(error);
  await expect(wasm.read('layers/dense/vars/1')).rejects.toBe(error);
});

it('has a thread for each core, and from four cores on leaves one to everything else', () => {
  expect([1, 2, 3, 4, 16].map((cores) => gangThreads(cores))).toEqual([1, 2, 3, 3, 15]);
});

it('counts what Node itself takes to the memory that cannot be had', () => {
  const MiB = 2 ** 20;
  const system = { limit: 1000 * MiB, used: 150 * MiB, free: 8000 * MiB };
  // Measured beside the memory of the program: 54 MiB with one thread, 59 with two, 91 with eight, 105 with sixteen.
  for (const [threads, taken] of [
    [1, 54],
    [2, 59],
    [8, 91],
    [16, 105],
  ]) {
    expect(availableMemory(threads, system)).toBeLessThan((850 - taken) * MiB);
    expect(availableMemory(threads, system)).toBeGreaterThan((850 - 2 * taken - 60) * MiB);
    expect(availableMemory(threads, { ...system, free: 500 * MiB })).toBeLessThan((500 - taken) * MiB);
  }
  expect(availableMemory(2, { ...system, used: 990 * MiB })).toBe(0);
  expect(availableMemory(2)).toBeLessThan(host.memory.physical() - process.memoryUsage.rss());
});

describe('refusals', () => {
  it('of what does not fit, with the largest batch that does', async () => {
    const wasm = await device(2);
    const wide = buildModel('convmixer-256-8', { input: [32, 32, 3], classes: 10 });
    const graphs = trainingGraphs(wide);
    const error = await wasm.compile(graphs, { capacity: 10_000, seed: 0n }).catch((reason) => reason);
    expect(error).toMatchObject({
      code: 'E_MEMORY',
      message: expect.stringMatching(/^a batch of 10000 needs [\d,]+ MiB of memory, but only [\d,]+ MiB are available$/),
    });
    const largest = Number(/`batch: (\d+)` is the largest that fits/.exec(error.remedy)?.[1]);
    expect(error).toMatchObject({ field: 'batch', suggested: largest });
    const limit = Number(/only ([\d,]+) MiB/.exec(error.message)?.[1].replaceAll(',', '')) * 2 ** 20;
    expect(limit).toBeLessThanOrEqual(4095.9375 * 2 ** 20 + 2 ** 20);
    expect(wasm.memoryFor(graphs, { capacity: largest, seed: 0n })).toBeLessThanOrEqual(limit);
    expect(wasm.memoryFor(graphs, { capacity: largest + 1, seed: 0n })).toBeGreaterThan(limit - 2 ** 20);
  });

  it('of a number of threads that makes no sense', async () => {
    for (const threads of [0, -1, 1.5, 1000, Number.NaN])
      await expect(openWasmDevice({ threads })).rejects.toMatchObject({ code: 'E_USAGE' });
  });
});

it('prints one line a kernel call, and says how many threads it has', async () => {
  const wasm = await device(2);
  const text = wasm.inspect(trainingGraphs(model), { capacity: CAPACITY, seed: 0n });
  for (const program of ['gradient', 'update', 'calibrate', 'evaluate', 'predict'])
    expect(text).toMatch(new RegExp(`^program ${program}: \\d+ kernel calls$`, 'm'));
  expect(wasm.description).toMatch(/2 threads/);
});

// Few rows touch few pages: this needs address space, not memory.
it.skipIf(availableMemory(1) < 2 ** 32)('computes the same with addresses above 2 GiB', async () => {
  const wide = buildModel('convmixer', { input: [32, 32, 3], classes: 5, dim: 32, depth: 2, kernel: 3, patch: 1 });
  const rows = 3;
  const train = async (capacity: number) => {
    const wasm = await executable(wide, await device(2), { capacity });
    const losses = [];
    for (let step = 0; step < 2; step++) {
      losses.push(await wasm.gradient(randomBatch(wide, rows, step)));
      await wasm.update(HYPER);
    }
    const result = { losses, state: await stateOf(wasm), evaluated: await wasm.evaluate(randomBatch(wide, rows)) };
    await wasm.close();
    return { result, bytes: wasm.memoryBytes };
  };
  const small = await train(rows);
  const perRow = (await device(2)).memoryFor(trainingGraphs(wide), { capacity: 1000, seed: SEED }) / 1000;
  const large = await train(Math.floor((3.9 * 2 ** 30) / perRow));
  expect(large.bytes).toBeGreaterThan(3.5 * 2 ** 30);
  expect(large.result).toEqual(small.result);
});
