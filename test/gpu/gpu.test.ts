// The wrapped device on a software adapter: what is written comes back, bounds, and what the binding crashes on.

import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { acquireInstance, USAGE } from '../../gpu/host/binding.ts';
import { measureBounds, untilLong } from '../../gpu/host/bounds.ts';
import { Gpu, STORAGE } from '../../gpu/host/gpu.ts';
import { Pipelines } from '../../gpu/host/pipelines.ts';
import { Staging } from '../../gpu/host/staging.ts';
import { swiftShaderChild, useSwiftShader } from '../support/swiftshader.ts';

let gpu: Gpu;
let release: () => void;
beforeAll(async () => {
  useSwiftShader();
  const instance = await acquireInstance();
  release = instance.release;
  gpu = await Gpu.open(instance.gpu);
});
afterAll(() => {
  gpu?.close();
  release?.();
});

it('knows a software adapter', () => {
  expect(gpu.adapter).toMatchObject({ software: true, description: expect.stringMatching(/SwiftShader/) });
  expect(gpu.adapter.limits.maxStorageBuffersPerShaderStage).toBeGreaterThanOrEqual(8);
});

it.each([
  ['private', (bytes: number) => new ArrayBuffer(bytes)],
  ['shared', (bytes: number) => new SharedArrayBuffer(bytes)],
])('writes views on %s memory of any length, and reads them back through its ring', async (_, memory) => {
  const [buffer] = await gpu.allocate([{ label: 'x', bytes: 64, usage: STORAGE }]);
  const staging = new Staging(gpu);
  for (const length of [4, 5, 7, 64]) {
    gpu.write(buffer, 0, new Uint8Array(64).fill(255));
    const data = new Uint8Array(memory(length + 3), 3, length).map((_, i) => i + 1);
    const view = new Uint8Array(memory(length + 3), 3, length);
    view.set(data);
    gpu.write(buffer, 0, view);
    const download = staging.prepare([8, 56]);
    const valid = gpu.submit('copy', (encoder) => {
      encoder.copyBufferToBuffer(buffer, 0, download.buffer, download.offsets[0], 8);
      encoder.copyBufferToBuffer(buffer, 8, download.buffer, download.offsets[1], 56);
    });
    view.fill(77); // the queue has its own copy
    const [head, tail] = await download.read();
    await valid;
    const read = [...new Uint8Array(head), ...new Uint8Array(tail)];
    expect(read.slice(0, length)).toEqual([...data]);
    expect(read.slice(Math.ceil(length / 4) * 4)).toEqual(new Array(64 - Math.ceil(length / 4) * 4).fill(255));
  }
  staging.destroy();
  buffer.destroy();
});

it('measures bounds', async () => {
  const { flopsPerSecond, bytesPerSecond } = await measureBounds(gpu, new Pipelines(gpu));
  expect(flopsPerSecond).toBeGreaterThan(1e7);
  expect(bytesPerSecond).toBeGreaterThan(1e6);
});

it('refuses what is larger than the adapter allows, and goes on', async () => {
  const bytes = 2 * gpu.adapter.limits.maxBufferSize;
  await expect(gpu.allocate([{ label: 'huge', bytes, usage: STORAGE }])).rejects.toMatchObject({ code: 'E_MEMORY' });
  const [buffer] = await gpu.allocate([{ label: 'small', bytes: 16, usage: USAGE.storage }]);
  buffer.destroy();
  expect(gpu.failure).toBeNull();
});

// Were the instance collected, or a shared view handed on, this process would be killed by a signal.
it('survives garbage collection while a device lives, and ends by itself', () => {
  const { args, env } = swiftShaderChild();
  const url = (file: string) => JSON.stringify(new URL(`../../dist/gpu/host/${file}.js`, import.meta.url).href);
  const code = `
    const { acquireInstance } = await import(${url('binding')});
    const { Gpu, STORAGE } = await import(${url('gpu')});
    const { Staging } = await import(${url('staging')});
    const open = async () => { const { gpu, release } = await acquireInstance(); return { gpu: await Gpu.open(gpu), release }; };
    const { gpu, release } = await open();
    const [buffer] = await gpu.allocate([{ label: 'x', bytes: 1024, usage: STORAGE }]);
    const staging = new Staging(gpu);
    for (let i = 0; i < 20; i++) {
      globalThis.gc();
      await new Promise((resolve) => setTimeout(resolve, 5));
      gpu.write(buffer, 0, new Uint8Array(new SharedArrayBuffer(1024)).fill(i));
      const download = staging.prepare([4]);
      const valid = gpu.submit('copy', (encoder) => encoder.copyBufferToBuffer(buffer, 0, download.buffer, 0, 4));
      const [data] = await download.read();
      await valid;
      if (new Uint8Array(data)[0] !== i) throw new Error('wrong data');
    }
    console.log('done');
    if (process.argv[1] === 'close') { gpu.close(); release(); }`;
  for (const ending of ['close', 'leave']) {
    const child = spawnSync(process.execPath, ['--expose-gc', ...args, '--input-type=module', '-e', code, ending], {
      encoding: 'utf8',
      env: { ...process.env, ...env },
      timeout: 60_000,
    });
    expect(child).toMatchObject({ status: 0, signal: null, stdout: 'done\n', stderr: '' });
  }
});

it('the work of a measurement is doubled until it lasts, and no further than the most', async () => {
  const measured: number[] = [];
  const at = (perWork: number) => async (work: number) => {
    measured.push(work);
    return perWork * work;
  };
  expect(await untilLong(at(0.3), 4, 1000)).toEqual({ work: 32, ms: 9.6 });
  expect(measured).toEqual([4, 8, 16, 32]);
  expect(await untilLong(at(100), 4, 1000)).toEqual({ work: 4, ms: 400 });
  expect(await untilLong(at(1e-9), 4, 20)).toMatchObject({ work: 16 });
});
