// Products by matrix units: their arithmetic and indices with a unit that is emulated on a software adapter, the text for real ones with
// Dawn's compiler of WGSL.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { acquireInstance } from '../../gpu/host/binding.ts';
import { compileAll, layOut } from '../../gpu/host/program.ts';
import type { MatrixUnit } from '../../gpu/kernels/matrices.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import type { KernelOpName } from '../../runtime/ops/index.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import type { OpCase } from '../support/cases.ts';
import { DispatchRunner, type RunOptions } from '../support/dispatch-runner.ts';
import { emulatedUnit, hardwareUnit } from '../support/matrix-unit.ts';
import { runReference } from '../support/reference.ts';
import { hasSwiftShader } from '../support/swiftshader.ts';
import { fixed, samples, uniform } from '../support/tensors.ts';

/** √(Σ(actual − expected)² / Σ expected²), without what the reference leaves zero: entries of partials that are nobody's. */
function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [difference, size] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    if (expected[i] === 0) continue;
    difference += (actual[i] - expected[i]) ** 2;
    size += expected[i] ** 2;
  }
  return Math.sqrt(difference / size);
}

/** Of sums of some dozens to some hundreds of products: rounding to 11 bits of both factors; and that of f32. Both twice what is seen. */
const ERROR = { f16: 5e-4, f16x3: 6e-7 };
const EVERYTHING = { bias: true, activation: 'gelu', derivative: true, stats: true };
const RELU = { bias: true, activation: 'relu', stats: true };
const square = emulatedUnit(4, 4, 4);
const tall = emulatedUnit(8, 4, 4);
const deep = emulatedUnit(4, 4, 8);

function conv(rows: number, xShape: readonly number[], wShape: readonly number[], epilogue: { bias?: boolean }, stride = 1): OpCase {
  const inputs = [samples(rows, xShape, uniform(1)), fixed(wShape, uniform(2)), fixed(wShape.slice(-1), uniform(4))];
  return {
    name: '',
    rows,
    inputs: inputs.slice(0, epilogue.bias ? 3 : 2),
    attrs: { stride, padding: stride === 1 ? 'same' : 'valid', epilogue },
  };
}

function gradient(of: 'input' | 'weight', rows: number, xShape: readonly number[], wShape: readonly number[], stride = 1): OpCase {
  const { inputs, attrs } = conv(rows, xShape, wShape, {}, stride);
  const [y] = runReference('conv', inputs, attrs);
  const dy = samples(rows, y.spec.shape, uniform(3));
  return of === 'input'
    ? { name: '', rows, inputs: [dy, inputs[1]], attrs: { ...attrs, inputShape: xShape } }
    : { name: '', rows, inputs: [inputs[0], dy], attrs: { ...attrs, weightShape: wShape } };
}

const CASES: readonly (readonly [name: string, op: KernelOpName, unit: MatrixUnit, one: OpCase])[] = [
  ['statistics of tiles of several blocks', 'conv', square, conv(2, [9, 8, 37], [1, 1, 37, 12], EVERYTHING)],
  ['256 products', 'conv', square, conv(3, [5, 7, 256], [1, 1, 256, 11], {})],
  ['several chunks', 'convGradWeight', deep, gradient('weight', 5, [20, 20, 16], [1, 1, 16, 37])],
  ['windows, columns that come in no fours', 'conv', tall, conv(3, [5, 7, 5], [3, 3, 5, 11], RELU)],
  ['one pixel after a stride', 'conv', deep, conv(1, [3, 2, 16], [2, 2, 16, 16], { bias: true }, 2)],
  ['windows', 'convGradInput', square, gradient('input', 2, [6, 5, 8], [3, 3, 8, 11])],
  ['patches and what they leave', 'convGradInput', tall, gradient('input', 3, [5, 4, 3], [2, 2, 3, 23], 2)],
  ['windows, channels that come in no fours', 'convGradWeight', square, gradient('weight', 3, [7, 6, 5], [3, 3, 5, 13])],
];
/** Indices are those of three passes in all tiers: of one pass the first cases are enough. */
const RUNS = [
  ...CASES.map((one) => ({ precision: 'f16x3' as const, one })),
  ...CASES.slice(0, 3).map((one) => ({ precision: 'f16' as const, one })),
];

describe.runIf(hasSwiftShader)('products by an emulated matrix unit', () => {
  let runner: DispatchRunner;
  beforeAll(async () => {
    runner = await DispatchRunner.open();
  });
  afterAll(() => runner?.close());

  /** The smaller tiles: large ones take SwiftShader long to compile. */
  const using = (unit: MatrixUnit, precision: 'f16' | 'f16x3'): RunOptions['change'] => ({
    precision,
    limits: { ...runner.context(1).limits, invocations: 4 },
    features: { f16: false, subgroups: false, subgroupMatrix: unit, barriers: true },
  });

  it.each(
    RUNS.map(({ precision, one: [name, op, unit, one] }) => [op, name, precision, unit, one] as const),
  )('%s, %s: %s', async (op, _name, precision, unit, one) => {
    const expected = runReference(op, one.inputs, one.attrs, { rows: one.rows });
    const options = { change: using(unit, precision) };
    const { outputs, kernels } = await runner.run(op, one, options);
    expect(kernels).toContain(`${op === 'convGradInput' && one.attrs.stride === 2 ? 'convGradInputPatches' : op}, ${precision}`);
    for (const [i, { data }] of expected.entries()) expect(relativeError(outputs[i], data), `output ${i}`).toBeLessThan(ERROR[precision]);
    const spare = await runner.run(op, one, { ...options, capacity: one.rows + 3 });
    expect(spare.outputs).toEqual(outputs);
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
const UNITS = { 'NVIDIA and AMD': hardwareUnit(), Intel: hardwareUnit(8, 16, 16, 32, true) };

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
