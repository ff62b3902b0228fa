// The tier f16 without an adapter that has it: which tensors are f16, what that leaves of the bytes of a step, and shaders that Dawn takes
// (its null backend lists shader-f16). What it computes is in f16.test.ts.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { matrixUnit } from '../../gpu/host/adapter.ts';
import { openGpu, openTrustedGpu } from '../../gpu/host/auto.ts';
import { acquireInstance } from '../../gpu/host/binding.ts';
import { openWebGpuDevice } from '../../gpu/host/device.ts';
import { compileAll, type KernelOptions, layOut } from '../../gpu/host/program.ts';
import { storages, storedBytes } from '../../gpu/lowering/storage.ts';
import type { Precision } from '../../runtime/device.ts';
import type { Graph } from '../../runtime/ir/graph.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import type { Model } from '../../runtime/model/model.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { faultyGpu } from '../support/faulty-gpu.ts';
import { smallModels } from '../support/models.ts';

const BATCH = 128;
const FULL = ['convmixer-256-8', 'conv-pooling', 'convmixer-2stage-flatten', 'convmixer-2stage', 'convmixer-256-8-block-residual'];

/** Of any current GPU. */
const optionsOf = (precision: Precision): KernelOptions => ({
  precision,
  limits: { workgroupStorage: 32_768, invocations: 256, storageBuffers: 16 },
  features: { f16: true, subgroups: true, subgroupMatrix: false, barriers: true },
});

const compiledOf = (model: Model, precision: Precision) =>
  compileAll(trainingGraphs(model), { capacity: BATCH, seed: 0n }, precision !== 'f32');

describe('f16', () => {
  it.each(smallModels().map((model) => [model.arch, model] as const))('of %s: what has pixels, with all views of it', (_, model) => {
    for (const graph of Object.values(compiledOf(model, 'f16'))) {
      const storage = storages(graph, 'f16');
      const views = new Map(graph.nodes.filter(({ op }) => op === 'reshape').map(({ inputs, outputs }) => [outputs[0], inputs[0]]));
      const gradients = new Set(graph.gradients.map(({ gradient }) => gradient));
      for (const { id, name, spec, role } of graph.values) {
        const stored = storage(id);
        if (gradients.has(id)) expect(stored, name).toBe('unscaled');
        else if (role !== 'temporary' || !spec.perSample || Object.values(graph.outputs).includes(id)) expect(stored, name).not.toBe('f16');
        else if (spec.shape.length === 3) expect(stored, name).toBe('f16');
        else if (views.has(id)) expect(stored, name).toBe(storage(views.get(id) as number));
        else if (![...views].some(([view, shown]) => shown === id && storage(view) === 'f16')) expect(stored, name).toBe('f32');
      }
    }
  });

  it('is nothing in the other tiers, where only the gradients of parameters differ', () => {
    const model = smallModels()[0];
    for (const [precision, stored] of [
      ['f32', ['bytes', 'f32', 'i32']],
      ['f16x3', ['bytes', 'f32', 'i32', 'unscaled']],
    ] as const) {
      const { train } = compiledOf(model, precision);
      const storage = storages(train as Graph, precision);
      expect([...new Set(train?.values.map(({ id }) => storage(id)))].sort()).toEqual(stored);
    }
  });

  it.each(FULL)('halves the activations of a step of %s, and moves little more than half the bytes', (arch) => {
    const model = buildModel(arch, { input: [32, 32, 3], classes: 10 });
    const { f32, f16 } = Object.fromEntries(
      (['f32', 'f16'] as const).map((precision) => {
        const graphs = compiledOf(model, precision);
        const { plan, programs } = layOut(graphs, BATCH, optionsOf(precision));
        const storage = storages(graphs.train as Graph, precision);
        const images = (graphs.train as Graph).values.filter(
          ({ spec, role }) => role === 'temporary' && spec.perSample && spec.shape.length === 3,
        );
        const moved = programs.flatMap(({ name, dispatches }) => (name === 'gradient' || name === 'update' ? dispatches : []));
        return [
          precision,
          {
            dispatches: moved.length,
            activations: images.reduce((sum, { id, spec }) => sum + storedBytes(spec, storage(id), BATCH), 0),
            moved: moved.flatMap(({ regions }) => regions).reduce((sum, { bytes }) => sum + bytes, 0),
            held: plan.bytes,
          },
        ];
      }),
    );
    expect(f16.activations).toBe(f32.activations / 2);
    expect(f16.moved / f32.moved).toBeLessThan(0.6);
    expect(f16.held / f32.held).toBeLessThan(0.6);
    // The scale is kept by the dispatches that there are.
    expect(f16.dispatches).toBe(f32.dispatches);
  });

  it.each(
    smallModels().map((model) => [model.arch, model] as const),
  )('of %s: shaders that are valid, on the null backend', async (_, model) => {
    const device = await openWebGpuDevice({ backend: 'null', precision: 'f16' });
    const executable = await device.compile(trainingGraphs(model), { capacity: 5, seed: 0n });
    expect(executable.memoryBytes).toBeGreaterThan(0);
    await device.close();
  });
});

describe('the matrix unit', () => {
  const adapter = (sides: readonly [number, number, number], subgroupSize: number): GPUAdapter =>
    ({
      features: new Set(['shader-f16', 'chromium-experimental-subgroup-matrix', 'subgroup-size-control']),
      info: {
        ...{ subgroupMinSize: subgroupSize, subgroupMaxSize: subgroupSize },
        subgroupMatrixConfigs: [{ componentType: 'f16', resultComponentType: 'f32', M: sides[0], N: sides[1], K: sides[2] }],
      },
    }) as unknown as GPUAdapter;

  it.each([
    [[16, 16, 16], 32, true],
    [[8, 8, 8], 32, true],
    [[16, 16, 16], 64, true],
    [[8, 8, 8], 64, false], // a lane would have half a pair of a result
    [[16, 16, 12], 32, false],
  ] as const)('%j with subgroups of %i: %s', (sides, subgroupSize, isUsed) => {
    expect(matrixUnit(adapter(sides, subgroupSize)) !== null).toBe(isUsed);
  });
});

describe("Apple's matrix unit for f32", () => {
  const APPLE = {
    ...{ vendor: 'apple', architecture: 'metal-3', device: '', description: 'Apple M3', isFallbackAdapter: false },
    subgroupMatrixConfigs: [
      { componentType: 'f16', resultComponentType: 'f16', M: 8, N: 8, K: 8 },
      { componentType: 'f32', resultComponentType: 'f32', M: 8, N: 8, K: 8 },
    ],
  };
  const graphs = trainingGraphs(buildModel('convmixer', { input: [16, 16, 3], classes: 5, dim: 64, depth: 1, kernel: 3, patch: 2 }));
  let instance: Awaited<ReturnType<typeof acquireInstance>>;
  beforeAll(async () => {
    instance = await acquireInstance({ backend: 'null', precision: 'f16' }); // with the switch that the f32 tier has on macOS
  });
  afterAll(() => instance?.release());

  it('multiplies in f32 and in f16, which has no other there, and `arithmetic` says so', async () => {
    for (const precision of ['f32', 'f16'] as const) {
      const { gpu } = faultyGpu(instance.gpu, { info: APPLE });
      await using device = await openWebGpuDevice({ gpu, precision });
      expect(device.adapter).toMatchObject({ matrixUnit: null, f32MatrixUnit: { m: 8, n: 8, k: 8, subgroupSize: 32 } });
      expect(device.arithmetic).toMatch(/^apple metal-3 Apple M3 f\d\d, narrow windows, matrices of f32, version 4$/);
      expect(device.inspect(graphs, { capacity: 4, seed: 0n })).toContain('conv, f32 matrices(');
      await (await device.compile(graphs, { capacity: 4, seed: 0n })).close();
    }
  });

  it('is left to other makers, to software and to who does without', async () => {
    for (const [info, options] of [
      [{ ...APPLE, vendor: 'nvidia' }, {}],
      [{ ...APPLE, isFallbackAdapter: true }, {}],
      [{ ...APPLE, subgroupMatrixConfigs: APPLE.subgroupMatrixConfigs.slice(0, 1) }, {}],
      [APPLE, { f32Matrices: false }],
    ] as const) {
      const { gpu } = faultyGpu(instance.gpu, { info });
      await using device = await openWebGpuDevice({ gpu, ...options });
      expect(device.adapter.f32MatrixUnit).toBe(null);
      expect(device.arithmetic).not.toContain('matrices');
      expect(device.inspect(graphs, { capacity: 4, seed: 0n })).not.toContain('matrices');
    }
  });

  it('is given up where the self-test does not pass with it', async () => {
    const { gpu, seen } = faultyGpu(instance.gpu, { info: APPLE }); // the null backend computes nothing: it fails without, too
    await expect(openGpu({ gpu })).rejects.toMatchObject({ code: 'E_DEVICE', message: expect.stringContaining('fails the self-test') });
    expect(seen.devices).toBe(2);
    expect(await openTrustedGpu({ gpu })).toMatchObject({ device: null, reason: expect.stringContaining('self-test') });
    expect(seen.devices).toBe(4);
  });
});
