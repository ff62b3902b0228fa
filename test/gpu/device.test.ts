// The webgpu device as a whole on a software adapter: the self-test, order of calls, abort, refusals, the same bits from run to
// run and over the loss of a GPU. Whole models are in golden.test.ts and golden-table.test.ts.

import { getEventListeners } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTrustedGpu } from '../../gpu/host/auto.ts';
import { acquireInstance } from '../../gpu/host/binding.ts';
import { openWebGpuDevice, type WebGpuDevice } from '../../gpu/host/device.ts';
import { clock, type Trace } from '../../runtime/base/trace.ts';
import { selfTest } from '../../runtime/compile/self-test.ts';
import { type Device, type Executable, GRADIENTS } from '../../runtime/device.ts';
import { openDevice } from '../../runtime/devices.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { expectClose } from '../support/close.ts';
import { type Faults, faultyGpu } from '../support/faulty-gpu.ts';
import { randomBatch } from '../support/models.ts';
import { onCompile } from '../support/on-compile.ts';
import { MemoryStore, runPart, smallOptions } from '../support/runs.ts';
import { hasSwiftShader, useSwiftShader } from '../support/swiftshader.ts';

const HYPER = { learningRate: 1e-3, weightDecay: 1e-4, bnMomentum: 0.9 };
const SEED = 42n;
const CAPACITY = 5;
const model = buildModel('convmixer', { input: [8, 8, 3], classes: 5, dim: 12, depth: 1, kernel: 3, patch: 2 });
const batch = randomBatch(model, CAPACITY);

async function executable(on: Device): Promise<Executable> {
  const compiled = await on.compile(trainingGraphs(model), { seed: SEED, capacity: CAPACITY });
  for (const [name, data] of initialize(model, SEED)) await compiled.write(name, data);
  return compiled;
}

/** Everything that a step may change, by name. */
async function stateOf(compiled: Executable): Promise<Map<string, Float32Array>> {
  const state = new Map<string, Float32Array>();
  for (const { name } of compiled.state) state.set(name, await compiled.read(name));
  return state;
}

describe.runIf(hasSwiftShader)('the webgpu device', () => {
  let device: WebGpuDevice;
  let gpu: Executable;
  beforeAll(async () => {
    useSwiftShader();
    device = await openWebGpuDevice();
    gpu = await executable(device);
  });
  afterAll(() => device?.close());

  it('passes the self-test; a wrong sum would not', async () => {
    expect(await selfTest(device)).toMatchObject({ passed: true, error: expect.toSatisfy((error: number) => error < 1e-4) });
    const wrong = {
      compile: async (...args: Parameters<Device['compile']>) => {
        const compiled = await device.compile(...args);
        return Object.assign(Object.create(compiled), {
          read: async (name: string) =>
            (await compiled.read(name)).map((value) => (name === 'gradients/parameter 9' ? 1.01 * value : value)),
          close: () => compiled.close(),
          state: compiled.state,
          write: (name: string, data: ArrayLike<number>) => compiled.write(name, data),
          gradient: (...run: Parameters<Executable['gradient']>) => compiled.gradient(...run),
          update: (...run: Parameters<Executable['update']>) => compiled.update(...run),
        });
      },
    };
    expect(await selfTest(wrong)).toMatchObject({ passed: false, tensor: 'gradients/parameter 9' });
  });

  it('is software, says so, and is not what `auto` takes', async () => {
    expect(device.description).toMatch(/^WebGPU, SwiftShader.*software.*f32$/);
    expect(await openTrustedGpu()).toMatchObject({ device: null, reason: expect.stringMatching(/software adapter/) });
    const auto = await openDevice('auto', { threads: 1 });
    expect(auto.name).toBe('wasm');
    await auto.close();
  });

  it('runs calls in their order, many in flight, and takes their inputs at the call', async () => {
    const other = await executable(device);
    const expected: unknown[] = [];
    for (let step = 0; step < 4; step++) {
      expected.push(await gpu.gradient(randomBatch(model, CAPACITY, step)));
      expected.push(await gpu.update(HYPER));
      expected.push(await gpu.predict(randomBatch(model, 2, step)));
      expected.push(await gpu.read('layers/conv2d/vars/0'));
      await gpu.write('layers/dense/vars/1', new Float32Array(5).fill(step));
      expected.push(await gpu.evaluate(randomBatch(model, 3, step)));
      await gpu.calibrate(randomBatch(model, 3, step), 0.5);
    }
    const calls: Promise<unknown>[] = [];
    for (let step = 0; step < 4; step++) {
      const input = randomBatch(model, CAPACITY, step);
      calls.push(other.gradient(input));
      input.images.fill(0);
      input.labels.fill(0);
      calls.push(other.update(HYPER), other.predict(randomBatch(model, 2, step)), other.read('layers/conv2d/vars/0'));
      other.write('layers/dense/vars/1', new Float32Array(5).fill(step));
      calls.push(other.evaluate(randomBatch(model, 3, step)));
      other.calibrate(randomBatch(model, 3, step), 0.5);
    }
    expect(await Promise.all(calls)).toEqual(expected);
    // The same bits from run to run.
    expect(await stateOf(other)).toEqual(await stateOf(gpu));
    await other.close();
  });

  it('computes with fewer rows than there is room for as with no more room', async () => {
    const exact = await device.compile(trainingGraphs(model), { seed: SEED, capacity: 2 });
    for (const { name } of gpu.state) await exact.write(name, await gpu.read(name));
    const two = randomBatch(model, 2, 9);
    expect(await exact.gradient(two)).toEqual(await gpu.gradient(two));
    expect(await exact.read('gradients/layers/conv2d/vars/0')).toEqual(await gpu.read('gradients/layers/conv2d/vars/0'));
    await exact.close();
  });

  it('profiles a step: a time for every dispatch', async () => {
    const times = (await gpu.profile?.(batch, HYPER)) ?? [];
    const text = device.inspect(trainingGraphs(model), { capacity: CAPACITY, seed: SEED, programs: ['train'] });
    const dispatches = [...text.matchAll(/^program \w+: (\d+) dispatches$/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
    expect(times.length).toBe(dispatches);
    for (const { ms } of times) expect(ms).toBeGreaterThanOrEqual(0);
    expect(times.reduce((sum, { ms }) => sum + ms, 0)).toBeGreaterThan(0);
  });

  it.each([
    ['NaN', Number.NaN],
    ['infinity', Number.POSITIVE_INFINITY],
  ])('%s in a weight: the step is not applied and changes nothing', async (_, value) => {
    const weights = await gpu.read('layers/conv2d_1/vars/0');
    await gpu.write('layers/conv2d_1/vars/0', Object.assign(weights.slice(), { 3: value }));
    const before = await stateOf(gpu);
    expect(Number.isFinite((await gpu.gradient(batch)).loss)).toBe(false);
    expect(await gpu.update(HYPER)).toEqual({ applied: false });
    await gpu.calibrate(batch, 0.5);
    expect(await stateOf(gpu)).toEqual(before);
    await gpu.write('layers/conv2d_1/vars/0', weights);
    expect((await gpu.gradient(batch)).loss).toBeGreaterThan(0);
  });

  it('shows its first runs dispatch by dispatch in a timeline, in the time of the host', async () => {
    const spans: { name: string; begin: number; end: number }[] = [];
    const trace: Trace = {
      span(lane, name, begin, end) {
        expect(lane).toBe('GPU');
        spans.push({ name, begin, end });
      },
    };
    const traced = await device.compile(trainingGraphs(model), { seed: SEED, capacity: CAPACITY, trace });
    const other = await executable(device);
    for (const { name } of other.state) await traced.write(name, await other.read(name));
    const text = device.inspect(trainingGraphs(model), { seed: SEED, capacity: CAPACITY });
    const dispatches = (program: string) => Number(new RegExp(`^program ${program}: (\\d+) dispatches$`, 'm').exec(text)?.[1]);
    const begin = clock();
    const metrics = [await traced.gradient(batch), await traced.update(HYPER)];
    const end = clock();
    expect(spans.length).toBe(dispatches('gradient') + dispatches('update'));
    expect(spans.at(-1)?.name).toMatch(/^countStep of /);
    // What comparing both clocks leaves open, on a machine that does other things as well.
    const slack = 5;
    for (const [i, span] of spans.entries()) {
      expect(span.end).toBeGreaterThanOrEqual(span.begin);
      expect(span.begin).toBeGreaterThan(Math.max(begin, spans[i - 1]?.end ?? 0) - slack);
      expect(span.end).toBeLessThan(end + slack);
    }
    // Being looked at changes nothing, and ends after 64 runs.
    expect(metrics).toEqual([await other.gradient(batch), await other.update(HYPER)]);
    expect(await stateOf(traced)).toEqual(await stateOf(other));
    for (let run = 2; run < 66; run++) await traced.predict(batch);
    expect(spans.length).toBe(dispatches('gradient') + dispatches('update') + 62 * dispatches('predict'));
    for (const one of [traced, other]) await one.close();
  });

  describe('aborted runs', () => {
    it('reject with an AbortError, leave no trace and no listener, and the rest goes on', async () => {
      const before = await stateOf(gpu);
      const controller = new AbortController();
      const { signal } = controller;
      const aborted = [gpu.gradient(batch, { signal }), ...Array.from({ length: 9 }, () => gpu.predict(batch, { signal }))];
      const update = gpu.update(HYPER); // of a gradient that will not have happened, or has: then it counts
      const other = gpu.predict(batch);
      controller.abort();
      const outcomes = await Promise.allSettled(aborted.slice(1));
      for (const outcome of outcomes) expect(outcome).toMatchObject({ status: 'rejected', reason: { name: 'AbortError' } });
      const [gradient, applied] = await Promise.allSettled([aborted[0], update]);
      expect(applied.status).toBe(gradient.status);
      if (applied.status === 'rejected') expect(await stateOf(gpu)).toEqual(before);
      expect((await other).length).toBe(CAPACITY * 5);
      expect(getEventListeners(signal, 'abort')).toEqual([]);
      await expect(gpu.gradient(batch, { signal })).rejects.toMatchObject({ name: 'AbortError' });
      await expect(gpu.update(HYPER)).rejects.toMatchObject({ name: 'AbortError' });
    });

    it('are those without an update that was submitted, of any number of steps in flight', async () => {
      const counter = async () => (await gpu.read('optimizer/vars/0'))[0];
      const before = await counter();
      const controller = new AbortController();
      const steps = Array.from({ length: 3 }, () => [gpu.gradient(batch, { signal: controller.signal }), gpu.update(HYPER)] as const);
      await new Promise((resolve) => setImmediate(resolve));
      controller.abort();
      const outcomes = await Promise.all(steps.map((runs) => Promise.allSettled(runs)));
      for (const [gradient, update] of outcomes) expect(gradient.status).toBe(update.status);
      expect(await counter()).toBe(before + outcomes.filter(([gradient]) => gradient.status === 'fulfilled').length);
    });
  });

  it('a run that is stopped with steps in flight has the state of the step that its checkpoint names', async () => {
    const controller = new AbortController();
    let updates = 0;
    const ahead = onCompile(device, (executable) => {
      const update = executable.update.bind(executable);
      executable.update = (hyper) => {
        const updated = update(hyper);
        if (++updates === 4) setImmediate(() => controller.abort());
        return updated;
      };
      return Object.defineProperty(executable, 'stepsAhead', { value: 3 }); // as of hardware
    });
    const store = new MemoryStore();
    const { signal } = controller;
    const { result } = await runPart(smallOptions({ device: ahead, store, validation: null, test: null, signal }));
    expect(result.reason).toBe('aborted');
    const last = await store.load('last');
    expect(last?.optimizer.get('optimizer/vars/0')?.data[0]).toBe((last?.progress as { step: number }).step);
  });

  it('refuses calls that make no sense', async () => {
    const fresh = await device.compile(trainingGraphs(model), { capacity: CAPACITY, seed: 0n, programs: ['train', 'predict'] });
    await expect(fresh.update(HYPER)).rejects.toThrow('update was called before any gradient');
    await expect(fresh.predict({ ...batch, rows: CAPACITY + 1 })).rejects.toThrow('6 rows, capacity 5');
    await expect(fresh.predict({ ...batch, rows: 0 })).rejects.toThrow('0 rows');
    await expect(fresh.gradient({ ...batch, labels: undefined })).rejects.toThrow('gradient needs 5 elements of labels, got none');
    await expect(fresh.gradient({ ...batch, labels: new Int32Array(CAPACITY).fill(5) })).rejects.toThrow('row 0 has label 5 of 5 classes');
    await expect(fresh.read('layers/nothing')).rejects.toThrow('no state or gradient is called layers/nothing');
    await expect(fresh.write('layers/dense/vars/1', [1, 2])).rejects.toThrow('layers/dense/vars/1 has 5 elements, not 2');
    await expect(fresh.write('gradients/layers/dense/vars/1', [1, 2, 3, 4, 5])).rejects.toThrow('is not state');
    await expect(fresh.evaluate(batch)).rejects.toThrow('the program evaluate was not compiled');
    const closed = fresh.predict(batch);
    await fresh.close();
    await expect(closed).rejects.toMatchObject({ name: 'AbortError' });
    await expect(fresh.predict(batch)).rejects.toThrow('the executable is closed');
    await fresh.close();
  });

  it('agrees with the wasm device', async () => {
    const wasm = await openDevice('wasm', { threads: 1 });
    const cpu = await executable(wasm);
    for (const { name } of gpu.state) await cpu.write(name, await gpu.read(name));
    const [a, b] = [await gpu.evaluate(batch), await cpu.evaluate(batch)];
    expectClose(a.logits, b.logits, { absolute: 2e-5, relative: 1e-4 }, 'logits');
    expectClose([a.loss], [b.loss], { relative: 2e-5 }, 'loss');
    const [c, d] = [await gpu.gradient(batch), await cpu.gradient(batch)];
    expectClose([c.loss], [d.loss], { relative: 2e-5 }, 'training loss');
    expect(c.correct).toBe(d.correct);
    for (const { name, kind } of gpu.state) {
      if (kind !== 'parameter') continue;
      const gradient = await cpu.read(`gradients/${name}`);
      const scale = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0) / gradient.length);
      const tolerance = { absolute: 1e-3 * scale + 2e-6, relative: 2e-3 };
      expectClose(await gpu.read(`gradients/${name}`), gradient, tolerance, `gradient of ${name}`);
    }
    await wasm.close();
  });

  it('goes on after the loss of its GPU with the very same bits', async () => {
    const instance = await acquireInstance();
    const faults: Faults = {};
    const faulty = faultyGpu(instance.gpu, faults);
    const notices: string[] = [];
    const lossy = await openWebGpuDevice({ gpu: faulty.gpu, onNotice: (text) => notices.push(text) });
    const train = async (compiled: Executable, before: (step: number) => void) => {
      const seen: unknown[] = [];
      for (let step = 0; step < 3; step++) {
        before(step);
        const input = randomBatch(model, CAPACITY, step);
        seen.push(await compiled.gradient(input));
        // As ranks do, who exchange them: an update with other gradients than those that were computed.
        await compiled.write(
          GRADIENTS,
          (await compiled.read(GRADIENTS)).map((value) => value / 2),
        );
        seen.push(await compiled.update(HYPER));
        await compiled.calibrate(input, 0.9);
        seen.push(await compiled.evaluate(input));
      }
      return { seen, state: await stateOf(compiled) };
    };
    const calm = await executable(device);
    const expected = await train(calm, () => {});
    // In the second step; every other stage is in faults.test.ts, where compiling takes no time.
    const actual = await train(await executable(lossy), (step) => {
      if (step === 1) faults.loseAtSubmit = faulty.seen.submits + 1;
    });
    expect(actual).toEqual(expected);
    expect(notices.length).toBe(1);
    expect(faulty.seen.devices).toBe(2);
    await calm.close();
    await lossy.close();
    instance.release();
  });
});
