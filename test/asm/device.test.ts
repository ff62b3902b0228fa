// The wasm device as a whole: small models against the reference, the same bits for any number of threads, and the
// guarantees of the contract: order, abort, refusal of what does not fit, steps that are not finite.

import { getEventListeners } from 'node:events';
import { afterAll, describe, expect, it } from 'vitest';
import { availableMemory, gangThreads } from '../../asm/host/cores.ts';
import { openWasmDevice } from '../../asm/host/device.ts';
import { WasmExecutable } from '../../asm/host/executable.ts';
import type { Gang } from '../../asm/host/gang.ts';
import { loadKernels } from '../../asm/host/modules.ts';
import { layOut, PAGE_BYTES, writePrograms } from '../../asm/host/program.ts';
import { compileGraph } from '../../runtime/compile/compile.ts';
import type { Device, Executable } from '../../runtime/device.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
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
        expect(await wasm.update(HYPER)).toEqual({ applied: true });
        expect(await reference.update(HYPER)).toEqual({ applied: true });
        for (const { name, kind } of reference.state) {
          // Adam's first steps are the signs of the gradients: parameters may differ by a step where those are noise.
          const tolerance = kind === 'parameter' ? { absolute: 2.1 * HYPER.learningRate } : { absolute: 2e-4, relative: 2e-3 };
          expectClose(await wasm.read(name), await reference.read(name), tolerance, name);
        }
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

describe('runs', () => {
  it('are executed in call order, several in flight, and take their inputs at the call', async () => {
    const one = await executable(model, await device(2), { capacity: CAPACITY });
    const other = await executable(model, await device(2), { capacity: CAPACITY });
    const expected: unknown[] = [];
    for (let step = 0; step < 4; step++) {
      expected.push(await one.gradient(randomBatch(model, CAPACITY, step)));
      expected.push(await one.update(HYPER));
      expected.push(await one.predict(randomBatch(model, 2, step)));
      expected.push(await one.read('layers/conv2d/vars/0'));
    }
    const settled: number[] = [];
    const promises: Promise<unknown>[] = [];
    const shared = randomBatch(model, CAPACITY);
    for (let step = 0; step < 4; step++) {
      shared.images.set(randomBatch(model, CAPACITY, step).images);
      shared.labels.set(randomBatch(model, CAPACITY, step).labels);
      promises.push(other.gradient(shared), other.update(HYPER));
      shared.images.set(randomBatch(model, 2, step).images);
      promises.push(other.predict({ ...shared, rows: 2 }), other.read('layers/conv2d/vars/0'));
      shared.images.fill(0);
      shared.labels.fill(0);
    }
    promises.forEach((promise, i) => void promise.then(() => settled.push(i)));
    expect(await Promise.all(promises)).toEqual(expected);
    expect(settled).toEqual(promises.map((_, i) => i));
  });

  it('write in their turn', async () => {
    const wasm = await executable(model, await device(2), { capacity: CAPACITY });
    const name = 'layers/dense/vars/1';
    const values = Float32Array.from([1, 2, 3, 4, 5]);
    const before = wasm.read(name);
    const gradient = wasm.gradient(batch);
    const written = wasm.write(name, values);
    values.fill(9);
    const after = wasm.read(name);
    await Promise.all([gradient, written]);
    expect([...(await before)]).toEqual([0, 0, 0, 0, 0]);
    expect([...(await after)]).toEqual([1, 2, 3, 4, 5]);
  });
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

  it('leaves no listener on the signal', async () => {
    const wasm = await executable(model, await device(2), { capacity: CAPACITY });
    const { signal } = new AbortController();
    for (let i = 0; i < 100; i++) await wasm.predict(batch, { signal });
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    await wasm.close();
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

describe('steps that are not finite', () => {
  it.each([
    ['NaN', Number.NaN],
    ['infinity', Number.POSITIVE_INFINITY],
  ])('%s in a weight: not applied, nothing changed, in no part of the state', async (_, value) => {
    const wasm = await executable(model, await device(2), { capacity: CAPACITY });
    await wasm.gradient(batch);
    await wasm.update(HYPER); // moments and counter are not zero
    const weights = await wasm.read('layers/conv2d_1/vars/0');
    weights[3] = value;
    await wasm.write('layers/conv2d_1/vars/0', weights);
    const before = await stateOf(wasm);
    expect((await wasm.gradient(batch)).loss).toBeNaN();
    expect(await wasm.update(HYPER)).toEqual({ applied: false });
    await wasm.calibrate(batch, 0.5);
    expect(await stateOf(wasm)).toEqual(before);
    expect(before.get('optimizer/vars/0')).toEqual(Float32Array.from([1]));
  });
});

it('has a thread for each core, and from four cores on leaves one to everything else', () => {
  expect([1, 2, 3, 4, 16].map((cores) => gangThreads(cores))).toEqual([1, 2, 3, 3, 15]);
});

describe('refusals', () => {
  it('of what does not fit, with the largest batch that does', async () => {
    const wasm = await device(2);
    const wide = buildModel('convmixer-256-8', { input: [32, 32, 3], classes: 10 });
    const graphs = trainingGraphs(wide);
    const error = await wasm.compile(graphs, { capacity: 10_000, seed: 0n }).catch((reason) => reason);
    expect(error).toMatchObject({
      code: 'E_MEMORY',
      message: expect.stringMatching(/^a batch of 10000 needs [\d,]+ MiB of memory, but only [\d,]+ MiB can be had$/),
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

  it('of calls that make no sense', async () => {
    const wasm = await executable(model, await device(2), { capacity: CAPACITY });
    const graphs = trainingGraphs(model);
    await expect(wasm.update(HYPER)).rejects.toThrow('update was called before any gradient');
    await expect(wasm.predict({ ...batch, rows: CAPACITY + 1 })).rejects.toThrow('10 rows, capacity 9');
    await expect(wasm.predict({ ...batch, rows: 0 })).rejects.toThrow('0 rows');
    await expect(wasm.gradient({ ...batch, labels: undefined })).rejects.toThrow('gradient needs 9 elements of labels, got none');
    await expect(wasm.gradient({ ...batch, labels: new Int32Array(CAPACITY).fill(5) })).rejects.toThrow('row 0 has label 5 of 5 classes');
    await expect(wasm.read('layers/nothing')).rejects.toThrow('no state or gradient is called layers/nothing');
    await expect(wasm.write('layers/dense/vars/1', [1, 2])).rejects.toThrow('layers/dense/vars/1 has 5 elements, not 2');
    const partial = await (await device(1)).compile(graphs, { capacity: 1, seed: 0n, programs: ['predict'] });
    await expect(partial.gradient({ ...batch, rows: 1 })).rejects.toThrow('the program gradient was not compiled');
    expect(partial.memoryBytes).toBeLessThan(wasm.memoryBytes);
    await wasm.close();
    await wasm.close();
    await expect(wasm.predict(batch)).rejects.toThrow('the executable is closed');
  });
});

it('tells what compile will need before it does, and prints its programs', async () => {
  const wasm = await device(2);
  const graphs = trainingGraphs(model);
  const compiled = await wasm.compile(graphs, { capacity: CAPACITY, seed: 0n });
  expect(wasm.memoryFor(graphs, { capacity: CAPACITY, seed: 0n })).toBe(compiled.memoryBytes);
  const text = wasm.inspect(graphs, { capacity: CAPACITY, seed: 0n });
  for (const program of ['gradient', 'update', 'calibrate', 'evaluate', 'predict'])
    expect(text).toMatch(new RegExp(`^program ${program}: \\d+ kernel calls$`, 'm'));
  expect(text).toMatch(/adamw\(/);
  expect(wasm.description).toMatch(/2 threads/);
});

it('profiles a step: a time for every kernel call of its two programs', async () => {
  const wasm = await device(2);
  const compiled = await executable(model, wasm, { capacity: CAPACITY });
  const times = (await compiled.profile?.(batch, HYPER)) ?? [];
  const text = wasm.inspect(trainingGraphs(model), { capacity: CAPACITY, seed: SEED, programs: ['train'] });
  const calls = [...text.matchAll(/^program \w+: (\d+) kernel calls$/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
  expect(times.length).toBe(calls);
  for (const { ms } of times) expect(ms).toBeGreaterThan(0);
  expect(times.at(-1)?.kernel).toBe('countStep');
  await compiled.close();
});

// Few rows touch few pages: this needs address space, not memory.
it.skipIf(availableMemory() < 2 ** 32)('computes the same with addresses above 2 GiB', async () => {
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
