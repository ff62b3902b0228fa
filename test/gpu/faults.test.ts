// What can go wrong with a GPU, each case with its error: code, cause, remedy. On Dawn's null backend, whose results are zeros.

import { spawnSync } from 'node:child_process';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openTrustedGpu } from '../../gpu/host/auto.ts';
import { acquireInstance, USAGE } from '../../gpu/host/binding.ts';
import { openWebGpuDevice } from '../../gpu/host/device.ts';
import { Gpu } from '../../gpu/host/gpu.ts';
import { Pipelines } from '../../gpu/host/pipelines.ts';
import { HybridError } from '../../runtime/base/errors.ts';
import type { Executable } from '../../runtime/device.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { hybridError } from '../support/expect-error.ts';
import { type Faults, faultyGpu } from '../support/faulty-gpu.ts';

const model = buildModel('convmixer', { input: [8, 8, 3], classes: 4, dim: 8, depth: 1, kernel: 3, patch: 2 });
const graphs = trainingGraphs(model);
const CAPACITY = 4;
const batch = {
  rows: CAPACITY,
  images: new Uint8Array(CAPACITY * 192),
  labels: new Int32Array(CAPACITY),
  samples: new Int32Array(CAPACITY),
  epoch: 1,
};
const HYPER = { learningRate: 1e-3, weightDecay: 0, bnMomentum: 0.9 };

let instance: Awaited<ReturnType<typeof acquireInstance>>;
beforeAll(async () => {
  instance = await acquireInstance({ backend: 'null' });
});
afterAll(() => instance?.release());

const open = async (faults: Faults, timeLimitMs?: number) => {
  const { gpu, seen } = faultyGpu(instance.gpu, faults);
  return { device: await openWebGpuDevice({ gpu, timeLimitMs }), seen };
};
const compile = async (faults: Faults, timeLimitMs?: number) => {
  const { device, seen } = await open(faults, timeLimitMs);
  return { device, seen, faults, executable: await device.compile(graphs, { capacity: CAPACITY, seed: 1n }) };
};

const STAGES = ['gradient', 'update', 'calibrate', 'evaluate', 'predict', 'read'] as const;
const calls = (executable: Executable) => ({
  gradient: () => executable.gradient(batch),
  update: () => executable.update(HYPER),
  calibrate: () => executable.calibrate(batch, 0.9),
  evaluate: () => executable.evaluate(batch),
  predict: () => executable.predict(batch),
  read: () => executable.read('layers/dense/vars/1'),
});

describe('a lost device', () => {
  it.each(STAGES)('is made good at %s: a new one goes on, with the state and all that waits', async (stage) => {
    const faults: Faults = {};
    const notices: string[] = [];
    const { gpu, seen } = faultyGpu(instance.gpu, faults);
    const device = await openWebGpuDevice({ gpu, onNotice: (text) => notices.push(text) });
    const executable = await device.compile(graphs, { capacity: CAPACITY, seed: 1n });
    await executable.write('layers/dense/vars/1', [1, 2, 3, 4]);
    await executable.gradient(batch);
    faults.loseAtSubmit = seen.submits;
    const waiting = [calls(executable)[stage](), executable.predict(batch), executable.read('layers/dense/vars/1')];
    const outcomes = await Promise.allSettled(waiting);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled']);
    expect(seen.devices).toBe(2);
    expect(notices).toEqual([expect.stringMatching(/^the GPU was lost: the cable was pulled; continued with a new one/)]);
    await device.close();
  });

  it('is not replaced by another GPU, or another driver, which would give other bits', async () => {
    const card = { vendor: 'nvidia', architecture: 'ada', device: 'RTX 4070', description: 'driver 1' };
    const others = [{ device: 'Iris Xe' }, { description: 'driver 2' }, { description: 'llvmpipe', device: 'llvmpipe' }];
    for (const other of others) {
      const { device, executable, seen, faults } = await compile({ info: card });
      expect(device.description).toContain('RTX 4070 (driver 1)');
      expect(device.arithmetic).toMatch(/^nvidia ada RTX 4070 driver 1 f32, version \d+$/);
      await executable.gradient(batch);
      Object.assign(faults, { loseAtSubmit: seen.submits, info: { ...card, ...other } });
      const error = await hybridError('E_DEVICE', executable.predict(batch));
      expect(error.message).toMatch(/^RTX 4070 \(driver 1\) was lost, and this machine now offers (Iris Xe|RTX 4070|llvmpipe)/);
      await device.close();
    }
  });

  it.each(STAGES)('is given up at %s when it is lost again and again, and nothing works any more', async (stage) => {
    const { device, executable, seen, faults } = await compile({});
    await executable.gradient(batch);
    faults.loseAtSubmit = 'every';
    const outcomes = await Promise.allSettled([calls(executable)[stage](), executable.predict(batch)]);
    for (const outcome of outcomes) expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'E_DEVICE' } });
    expect((outcomes[0] as PromiseRejectedResult).reason.message).toBe('the GPU was lost: the cable was pulled, 3 times in a row');
    expect(seen.devices).toBe(4);
    await hybridError('E_DEVICE', executable.gradient(batch));
    await device.close();
  });

  it('does not bring back a gradient that was aborted before: its update rejects, and changes nothing', async () => {
    const { device, executable, seen, faults } = await compile({});
    const other = await device.compile(graphs, { capacity: CAPACITY, seed: 1n, programs: ['predict'] });
    await executable.gradient(batch);
    const before = Array.from({ length: 6 }, () => executable.predict(batch)); // as many as may be under way: what follows has to wait
    const controller = new AbortController();
    const gradient = executable.gradient(batch, { signal: controller.signal });
    const aborted = [gradient, executable.update(HYPER)].map((run) => expect(run).rejects.toMatchObject({ name: 'AbortError' }));
    controller.abort();
    await aborted[0];
    faults.loseAtSubmit = seen.submits;
    await other.predict(batch);
    await aborted[1];
    await Promise.all(before);
    expect(seen.devices).toBe(2);
    await device.close();
  });

  it('is made good before anything is compiled, where it was lost while nothing ran', async () => {
    const { gpu, seen, lose } = faultyGpu(instance.gpu, {});
    const device = await openWebGpuDevice({ gpu });
    lose();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const executable = await device.compile(graphs, { capacity: CAPACITY, seed: 1n });
    expect((await executable.predict(batch)).length).toBe(CAPACITY * 4);
    expect(seen.devices).toBe(2);
    await device.close();
  });

  it('is given up when there is no other', async () => {
    const { device, executable, faults } = await compile({});
    faults.loseAtSubmit = 'every';
    faults.noAdapter = true;
    await hybridError('E_ENVIRONMENT', executable.gradient(batch));
    await device.close();
  });
});

it('a GPU that never answers ends in the time limit, and closing does not wait for it', async () => {
  const LIMIT = 300_000; // by a clock of the test's own: no machine is too busy to compile within it
  const { device, executable } = await compile({ silent: true }, LIMIT);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  try {
    let isOver = false;
    const failed = hybridError('E_DEVICE', executable.gradient(batch)).finally(() => {
      isOver = true;
    });
    await vi.advanceTimersByTimeAsync(LIMIT - 1);
    expect(isOver).toBe(false);
    // What was answered meanwhile counts from then on.
    await vi.advanceTimersByTimeAsync(LIMIT + 1);
    expect((await failed).message).toMatch(/^the GPU has not answered for 300 s \(waiting for (gradient|results)\)$/);
    await device.close();
  } finally {
    vi.useRealTimers();
  }
});

describe('what a machine lacks', () => {
  it('no adapter: says so; auto goes on without', async () => {
    const { gpu } = faultyGpu(instance.gpu, { noAdapter: true });
    const error = await hybridError('E_ENVIRONMENT', openWebGpuDevice({ gpu }));
    expect(error.message).toBe('this machine offers no GPU to WebGPU');
    expect(error.remedy).toMatch(/hybrid doctor/);
    expect(await openTrustedGpu({ gpu })).toEqual({ device: null, reason: 'this machine offers no GPU to WebGPU' });
  });

  it('the package: importing works, and opening says what to install', () => {
    const code = `import * as module from 'node:module';
      const resolve = (name, context, next) => {
        if (name === 'webgpu') throw Object.assign(new Error('not found'), { code: 'ERR_MODULE_NOT_FOUND' });
        return next(name, context);
      };
      // Node 20 has only the one that Node 26 warns of.
      if (module.registerHooks) module.registerHooks({ resolve });
      else module.register('data:text/javascript,' + encodeURIComponent('export const resolve = ' + resolve));
      const { openDevice } = await import(${JSON.stringify(new URL('../../dist/runtime/index.js', import.meta.url).href)});
      await openDevice('webgpu').catch((error) => console.log(error.code, error.message, error.remedy));
      const auto = await openDevice('auto');
      console.log(auto.name);
      await auto.close();`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
    expect(stderr).toBe('');
    expect(stdout).toMatch(/^E_ENVIRONMENT .*optional package `webgpu`.*npm install webgpu.*\nwasm\n$/);
  });

  it('timestamps: a timeline does without, a profile cannot', async () => {
    const notices: string[] = [];
    const { gpu } = faultyGpu(instance.gpu, { noTimestamps: true });
    const device = await openWebGpuDevice({ gpu, onNotice: (text) => notices.push(text) });
    const spans: string[] = [];
    const trace = { span: (lane: string) => spans.push(lane) };
    const executable = await device.compile(graphs, { capacity: CAPACITY, seed: 1n, trace });
    await executable.gradient(batch);
    expect(spans).toEqual([]);
    expect(notices).toEqual(['This GPU does not support timestamp queries: the trace has no GPU track.']);
    for (const call of [() => executable.profile?.(batch, HYPER), () => device.bounds()]) {
      const error = await hybridError('E_ENVIRONMENT', call() as Promise<unknown>);
      expect(error.message).toMatch(/ does not support timestamp queries \(timestamp-query\)$/);
    }
    await device.close();
  });

  it('memory: names bytes and the batch', async () => {
    const { device } = await open({ memoryBytes: 1024 });
    const error = await hybridError('E_MEMORY', device.compile(graphs, { capacity: CAPACITY, seed: 1n }));
    expect(error.message).toMatch(/^a batch of 4: the GPU does not give \d+ MiB of memory: .* of \d+ bytes$/);
    expect(error.remedy).toMatch(/`batch`/);
    await device.close();
  });

  it('limits: names the largest batch that fits', async () => {
    const { device } = await open({});
    const error = await hybridError('E_MEMORY', device.compile(graphs, { capacity: 1_000_000, seed: 1n }));
    expect(error.message).toMatch(/^a batch of 1000000 needs a buffer of [\d,]+ MiB \(.+\), but this GPU takes at most [\d,]+ MiB$/);
    const largest = Number(/`batch: (\d+)` is the largest/.exec(error.remedy)?.[1]);
    expect(largest).toBeGreaterThan(1000);
    await device.close();
  });
});

describe('defects of our own', () => {
  it('a shader that does not compile: its name, the line and what is on it', async () => {
    const gpu = await Gpu.open(instance.gpu);
    const code = '@compute @workgroup_size(1) fn main() {\n  let x = unknown + 1;\n}';
    const dispatch = { kernel: 'broken', code, bindings: [], workgroups: () => [1, 1, 1] as const };
    const error = await hybridError('E_INTERNAL', new Pipelines(gpu).pipeline(dispatch, 'broken of layers/dense'));
    expect(error.message).toBe(
      "internal error: the shader broken of layers/dense does not compile, line 2: unresolved value 'unknown'\n  let x = unknown + 1;",
    );
    gpu.close();
  });

  it('a shader that does not compile leaves the device as it was, and each node that has it gets its own name', async () => {
    const gpu = await Gpu.open(instance.gpu);
    const pipelines = new Pipelines(gpu);
    const dispatch = (code: string) => ({ kernel: 'k', code, bindings: [], workgroups: () => [1, 1, 1] as const });
    const broken = dispatch('@compute @workgroup_size(1) fn main() { let x = 1.0 / inf; }');
    const whole = dispatch('@compute @workgroup_size(1) fn main() {}');
    const during = pipelines.pipeline(whole, 'another one');
    for (const label of ['normalize of layers/a', 'normalize of layers/b']) {
      const error = await hybridError('E_INTERNAL', pipelines.pipeline(broken, label));
      expect(error.message).toContain(`the shader ${label} does not compile`);
    }
    await during;
    await pipelines.pipeline(dispatch('@compute @workgroup_size(2) fn main() {}'), 'a later one');
    expect(gpu.failure).toBeNull();
    gpu.close();
  });

  it('commands that are not valid: an error, never the results of the run before', async () => {
    const faults: Faults = {};
    const { device, executable, seen } = await compile(faults);
    await executable.gradient(batch);
    faults.invalidAtSubmit = seen.submits;
    const error = await hybridError('E_INTERNAL', executable.gradient(batch));
    expect(error.message).toMatch(/WebGPU refuses: .*"too small"/s);
    await device.close();
  });
});

it('a closed device is let go of, though the binding keeps the listeners of its own for ever', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const use = async () => {
    const { device, executable } = await compile({});
    await executable.gradient(batch);
    await device.close();
    return new WeakRef(device);
  };
  const device = await use();
  for (let i = 0; i < 20 && device.deref(); i++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    collect();
  }
  expect(device.deref()).toBeUndefined();
});

it('a wait that fails at once leaves no rejection behind', async () => {
  const gpu = await Gpu.open(instance.gpu);
  const [buffer] = await gpu.allocate([{ label: 'b', bytes: 16, usage: USAGE.mapRead | USAGE.copyDst }]);
  gpu.fail(new HybridError('E_DEVICE', 'it failed', 'none'));
  gpu.device.destroy();
  await expect(gpu.download(buffer, 16)).rejects.toMatchObject({ message: 'it failed' });
  await new Promise((resolve) => setTimeout(resolve, 50)); // a rejection that nobody hears fails the test run
});

it('calibrations without updates are kept within bounds: the state is copied anew', async () => {
  const { device, executable } = await compile({});
  const images = new Uint8Array(CAPACITY * 192 + (1 << 20));
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 150; i++) await executable.calibrate({ ...batch, images }, 0.9);
  expect((process.memoryUsage().arrayBuffers - before) / 2 ** 20).toBeLessThan(100);
  await device.close();
});

it('views on shared memory never reach the queue', async () => {
  const { device, executable } = await compile({});
  const images = new Uint8Array(new SharedArrayBuffer(batch.images.length));
  const labels = new Int32Array(new SharedArrayBuffer(4 * CAPACITY));
  await executable.gradient({ ...batch, images, labels });
  await executable.write('layers/dense/vars/1', new Float32Array(new SharedArrayBuffer(16)));
  await device.close();
});
