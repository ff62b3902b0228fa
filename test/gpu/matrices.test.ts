// Products by matrix units: their arithmetic and indices with a unit that is emulated on a software adapter, the text for real ones with
// Dawn's compiler of WGSL.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { acquireInstance } from '../../gpu/host/binding.ts';
import { compileAll, layOut } from '../../gpu/host/program.ts';
import { subgroupMatrices } from '../../gpu/kernels/matrices.ts';
import { PROFILES } from '../../gpu/lowering/profile.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { DispatchRunner } from '../support/dispatch-runner.ts';
import { checkMatrices, MATRIX_CASES } from '../support/matrix-cases.ts';
import { emulatedF32Unit, emulatedUnit } from '../support/matrix-unit.ts';
import { hasSwiftShader } from '../support/swiftshader.ts';

/** Indices are those of three passes in all tiers: of one pass the first cases are enough. */
const RUNS = [
  ...MATRIX_CASES.map((one) => ['f16x3', one.op, one.name, one] as const),
  ...MATRIX_CASES.slice(0, 3).map((one) => ['f16', one.op, one.name, one] as const),
];

describe.runIf(hasSwiftShader)('products by an emulated matrix unit', () => {
  let runner: DispatchRunner;
  beforeAll(async () => {
    runner = await DispatchRunner.open();
  });
  afterAll(() => runner?.close());

  const shapes = [emulatedUnit(4, 4, 4), emulatedUnit(8, 4, 4), emulatedUnit(4, 4, 8)];

  it.each(RUNS)('%s: %s, %s', async (precision, _op, _name, one) => {
    // The smaller tiles: large ones take SwiftShader long to compile.
    const limits = { ...runner.context(1).limits, invocations: 4 };
    await checkMatrices(runner, one, precision, shapes[MATRIX_CASES.indexOf(one) % shapes.length], limits);
  });
});

describe.runIf(hasSwiftShader)('products by an emulated matrix unit for f32', () => {
  let runner: DispatchRunner;
  beforeAll(async () => {
    runner = await DispatchRunner.open();
  });
  afterAll(() => runner?.close());

  it.each(MATRIX_CASES.map((one) => [one.op, one.name, one] as const))('%s, %s', async (_op, _name, one) => {
    const limits = { ...runner.context(1).limits, invocations: 4 };
    await checkMatrices(runner, one, 'f32', emulatedF32Unit(4, 4, 4), limits);
  });
});

/** Products by matrices of a training step: a forward one, two backward, for each convolution but the patches of three channels, and no dense layer. */
const PRODUCTS = {
  'convmixer-256-8': 24,
  'conv-pooling': 15,
  'convmixer-2stage-flatten': 27,
  'convmixer-2stage': 27,
  'convmixer-256-8-block-residual': 24,
};
const UNIT_OF_APPLE = subgroupMatrices({ m: 8, n: 8, k: 8, subgroupSize: 32, pinned: false, component: 'f32' });
const UNITS = {
  NVIDIA: subgroupMatrices({ m: 16, n: 16, k: 16, subgroupSize: 32, pinned: false }),
  Intel: subgroupMatrices({ m: 8, n: 16, k: 16, subgroupSize: 32, pinned: true }),
};

describe('products by matrix units of GPUs', () => {
  let instance: Awaited<ReturnType<typeof acquireInstance>>;
  let device: GPUDevice;
  beforeAll(async () => {
    instance = await acquireInstance({ backend: 'null', precision: 'f16' });
    const adapter = (await instance.gpu.requestAdapter()) as GPUAdapter;
    const requiredFeatures = ['shader-f16', 'subgroup-size-control', 'chromium-experimental-subgroup-matrix'] as GPUFeatureName[];
    device = await adapter.requestDevice({ requiredFeatures });
  });
  afterAll(() => {
    device.destroy();
    instance.release();
  });

  it.each(Object.entries(PRODUCTS))("for f32, of %s, are what Dawn's compiler takes", async (arch, products) => {
    const graphs = compileAll(trainingGraphs(buildModel(arch, { input: [32, 32, 3], classes: 10 })), {
      ...{ capacity: 128, seed: 0n, programs: ['train'] },
    });
    const { programs } = layOut(graphs, 128, {
      precision: 'f32',
      limits: { workgroupStorage: 32_768, invocations: 1024, storageBuffers: 10 },
      features: { f16: false, subgroups: true, subgroupMatrix: UNIT_OF_APPLE, barriers: true, profile: PROFILES.apple },
    });
    const dispatches = programs.flatMap((program) => program.dispatches).filter(({ kernel }) => kernel.endsWith(', f32 matrices'));
    // Its matrices are smaller, so that three more products of conv-pooling are large enough.
    expect(dispatches.length).toBe(arch === 'conv-pooling' ? products + 3 : products);
    for (const code of new Set(dispatches.map((dispatch) => dispatch.code))) {
      expect(code).not.toMatch(/f16/);
      device.pushErrorScope('validation');
      device.createShaderModule({ code });
      expect((await device.popErrorScope())?.message).toBe(undefined);
    }
  });

  it.each(Object.entries(PRODUCTS))("of %s are what Dawn's compiler takes", async (arch, products) => {
    const graphs = compileAll(trainingGraphs(buildModel(arch, { input: [32, 32, 3], classes: 10 })), {
      ...{ capacity: 128, seed: 0n, programs: ['train'] },
    });
    for (const [maker, subgroupMatrix] of Object.entries(UNITS)) {
      for (const precision of ['f16', 'f16x3'] as const) {
        const { programs } = layOut(graphs, 128, {
          precision,
          limits: { workgroupStorage: 32_768, invocations: 256, storageBuffers: 10 },
          features: { f16: true, subgroups: true, subgroupMatrix, barriers: true },
        });
        const dispatches = programs.flatMap((program) => program.dispatches).filter(({ kernel }) => kernel.endsWith(`, ${precision}`));
        expect(dispatches.length).toBe(products);
        for (const code of new Set(dispatches.map((dispatch) => dispatch.code))) {
          device.pushErrorScope('validation');
          const module = device.createShaderModule({ code });
          const error = await device.popErrorScope();
          const { messages } = await module.getCompilationInfo();
          const told = messages.map(({ message, lineNum }) => `${message}: ${code.split('\n')[lineNum - 1]}`);
          expect([maker, precision, error?.message, ...told]).toEqual([maker, precision, undefined]);
        }
      }
    }
  });
});
