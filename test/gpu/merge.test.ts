// Nodes that the webgpu device merges: against the reference of their parts, and how many dispatches are left of a training step.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lowerings } from '../../gpu/lowering/index.ts';
import type { Lowering } from '../../gpu/lowering/lowering.ts';
import { mergeNodes } from '../../gpu/lowering/merge.ts';
import { plainStorage } from '../../gpu/lowering/storage.ts';
import type { DeviceOpName } from '../../gpu/ops/index.ts';
import { compileGraph, trainingGraph } from '../../runtime/compile/compile.ts';
import type { Graph } from '../../runtime/ir/graph.ts';
import { input, type LayerTensor, layers } from '../../runtime/layers/functional.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { buildForward } from '../../runtime/model/build-graph.ts';
import { functionalModel } from '../../runtime/model/layered-model.ts';
import { DEPTHWISE_GRADIENTS, DEPTHWISES, depthwiseGradCase } from '../ops/depthwise.cases.ts';
import { expectClose } from '../support/close.ts';
import { DispatchRunner, type RunOptions } from '../support/dispatch-runner.ts';
import { type OpCase, partialsOf, STATISTICS } from '../support/op-case.ts';
import { runReference } from '../support/reference.ts';
import { hasSwiftShader } from '../support/swiftshader.ts';
import { copy, fixed, samples, type TestTensor, uniform } from '../support/tensors.ts';

/** A merged node and what its parts give. */
interface MergedCase extends Omit<OpCase, 'name'> {
  readonly expected: readonly TestTensor[];
}

const pixelsOf = (shape: readonly number[]): number => shape.slice(0, -1).reduce((product, n) => product * n, 1);
const vector = (channels: number, seed: number, low = -1, high = 1): TestTensor => fixed([channels], uniform(seed, low, high));
const epsilon = 1e-3;

/** Mean, variance and gamma for the gradient of a normalised x, and the results of its fold. */
function gradientFold(dx: TestTensor, x: TestTensor, rows: number) {
  const channels = x.shape[x.shape.length - 1];
  const vectors = { mean: vector(channels, 21), variance: vector(channels, 22, 0.5, 2), gamma: vector(channels, 23) };
  const fold = { epsilon, pixels: pixelsOf(x.spec.shape) };
  const [dySum, dyxSum] = runReference('bnGradStats', { dy: dx, x, mean: vectors.mean });
  return { vectors, fold, expected: runReference('bnGradFold', { dySum, dyxSum, ...vectors }, fold, { rows }) };
}

const statistics = (from: 'input' | 'partials'): MergedCase[] =>
  STATISTICS.map(([rows, shape]) => {
    const x = samples(rows, shape, uniform(1, -2, 2));
    const [gamma, beta] = [vector(shape.at(-1) as number, 2), vector(shape.at(-1) as number, 3)];
    const [mean, variance] = runReference('bnStats', [x], { from: 'input', pixels: pixelsOf(shape) });
    const folded = runReference('bnFold', [mean, variance, gamma, beta], { epsilon });
    const attrs = { from, pixels: pixelsOf(shape), epsilon };
    return { rows, inputs: [from === 'input' ? x : partialsOf(x), gamma, beta], attrs, expected: [mean, variance, ...folded] };
  });

const gradientStatistics = (): MergedCase[] =>
  STATISTICS.map(([rows, shape]) => {
    const [dy, x] = [samples(rows, shape, uniform(4)), samples(rows, shape, uniform(1, -2, 2))];
    const { vectors, fold, expected } = gradientFold(dy, x, rows);
    return { rows, inputs: { dy, x, ...vectors }, attrs: fold, expected };
  });

const convGradients = (): MergedCase[] =>
  (
    [
      [3, [4, 4, 16], [1, 1, 16, 12]],
      [5, [3, 5, 7], [1, 1, 7, 10]],
      [2, [9, 8, 6], [3, 3, 6, 5]],
    ] as const
  ).map(([rows, shape, wShape]) => {
    const attrs = { stride: 1, padding: 'same', inputShape: shape };
    const dy = samples(rows, [...shape.slice(0, 2), wShape[3]], uniform(5));
    const w = fixed(wShape, uniform(3));
    const x = samples(rows, shape, uniform(1, -2, 2));
    const [dx] = runReference('convGradInput', { dy, w }, attrs);
    const { vectors, fold, expected } = gradientFold(dx, x, rows);
    return { rows, inputs: { dy, w, x, ...vectors }, attrs: { ...attrs, ...fold }, expected: [dx, ...expected] };
  });

/** With statistics; and with slope, alpha and kappa of dy apart or, as `coefficients`, together. */
const depthwiseGradients = (isTogether = false): MergedCase[] =>
  [DEPTHWISES[1], DEPTHWISES[3]].flatMap((size) =>
    [DEPTHWISE_GRADIENTS[0], DEPTHWISE_GRADIENTS[5]].map((parts) => {
      const { rows } = size;
      const { inputs, attrs } = depthwiseGradCase(size, parts);
      const plain = runReference('depthwiseGrad', inputs, attrs);
      const { vectors, fold, expected } = gradientFold(plain[0], inputs.x as TestTensor, rows);
      const { slope, alpha, kappa, ...others } = inputs as Record<string, TestTensor>;
      const coefficients = isTogether && slope ? { coefficients: inOne([slope, alpha, kappa]) } : { slope, alpha, kappa };
      return {
        rows,
        inputs: { ...others, ...coefficients, ...vectors },
        attrs: { ...attrs, ...fold },
        expected: [...plain, ...expected],
      };
    }),
  );

const inOne = (tensors: readonly TestTensor[]): TestTensor => {
  const all = tensors.flatMap(({ data }) => [...data]);
  return fixed([all.length], all);
};

/** The same with the coefficients of the result in one tensor. */
const together = (cases: readonly MergedCase[]): MergedCase[] =>
  cases.map(({ attrs, expected, ...one }) => {
    const outputs = [...expected.slice(0, -5), inOne(expected.slice(-5, -2)), ...expected.slice(-2)];
    return { ...one, attrs: { ...attrs, together: true }, expected: outputs };
  });

const applied = (): MergedCase[] =>
  STATISTICS.map(([rows, shape]) => {
    const [dy, x, derivative] = [4, 1, 5].map((seed) => samples(rows, shape, uniform(seed)));
    const [scale, alpha, kappa] = [6, 7, 8].map((seed) => vector(shape.at(-1) as number, seed));
    const attrs = { biasGrad: true };
    const expected = runReference('bnGradApply', { dy, x, scale, alpha, kappa, derivative }, attrs);
    return { rows, inputs: { dy, x, coefficients: inOne([scale, alpha, kappa]), derivative }, attrs, expected };
  });

const MERGED: readonly (readonly [name: string, op: DeviceOpName, cases: () => MergedCase[]])[] = [
  ['bnStats with its fold, from input', 'bnStatsFold', () => statistics('input')],
  ['bnStats with its fold, from partials', 'bnStatsFold', () => statistics('partials')],
  ['bnGradStats with its fold', 'bnGradStatsFold', gradientStatistics],
  ['convGradInput with statistics', 'convGradInputStats', convGradients],
  ['depthwiseGrad with statistics', 'depthwiseGradMerged', depthwiseGradients],
  ['bnGradStats with its fold, coefficients together', 'bnGradStatsFold', () => together(gradientStatistics())],
  ['convGradInput with statistics, coefficients together', 'convGradInputStats', () => together(convGradients())],
  ['depthwiseGrad with statistics, coefficients together', 'depthwiseGradMerged', () => together(depthwiseGradients(true))],
  ['bnGradApply, coefficients together', 'bnGradApplyTogether', applied],
];

describe.runIf(hasSwiftShader)('merged nodes on SwiftShader', () => {
  let runner: DispatchRunner;
  beforeAll(async () => {
    runner = await DispatchRunner.open();
  });
  afterAll(() => runner?.close());

  const few = (): RunOptions['change'] => ({ limits: { ...runner.context(1).limits, storageBuffers: 8 } });

  it.each(MERGED)('%s', async (_name, op, cases) => {
    for (const { rows, inputs, attrs, expected } of cases()) {
      // At capacity and below it; and on a device that binds eight buffers at a time, to the same bits.
      const full = await runner.run(op, { name: '', rows, inputs, attrs });
      for (const [i, { data }] of expected.entries()) expectClose(full.outputs[i], data, { absolute: 2e-5, relative: 2e-5 }, `output ${i}`);
      for (const options of [{ capacity: rows + 3 }, { change: few() }]) {
        const other = await runner.run(op, { name: '', rows, inputs, attrs }, options);
        expect(other.outputs).toEqual(full.outputs);
      }
    }
  });

  it.each([
    [0, undefined],
    [1, undefined],
    [1, 0.3],
  ])('all moving averages at once, ok %d, momentum %s', async (ok, momentum) => {
    const attrs = { momentum };
    const layers = [5, 33, 8, 4, 70, 1, 12];
    const inputs = [fixed([1], [ok], 'i32'), ...layers.flatMap((n, i) => [vector(n, 40 + i), vector(n, 50 + i, 0, 2)])];
    const updates = layers.flatMap((n, i) => [vector(n, 60 + i), vector(n, 70 + i, 0, 2)]);
    const step = { bnMomentum: 0.9 };
    const expected = updates.map(copy);
    for (const i of layers.keys()) {
      const own = { updates: expected.slice(2 * i, 2 * i + 2), step };
      runReference('movingAverage', [inputs[0], ...inputs.slice(1 + 2 * i, 3 + 2 * i)], attrs, own);
    }
    const actual = await runner.run('movingAverages', { name: '', rows: 1, inputs, attrs, updates, step });
    expect(actual.kernels.length).toBeLessThan(layers.length);
    for (const [i, { data }] of expected.entries()) expectClose(actual.updates[i], data, { absolute: 1e-7, relative: 1e-6 }, `update ${i}`);
  });
});

describe('a training step', () => {
  const trainingStep = (arch: string): Graph =>
    compileGraph(trainingGraph(buildForward(buildModel(arch, { input: [32, 32, 3], classes: 10 }), 'train', { loss: true })));

  function dispatches(graph: Graph): number {
    let scratch = 0;
    return graph.nodes
      .filter(({ op }) => op !== 'reshape')
      .flatMap((node) =>
        ((lowerings as Readonly<Record<string, unknown>>)[node.op] as Lowering)(node as never, {
          capacity: 128,
          precision: 'f32',
          limits: { workgroupStorage: 32768, invocations: 256, storageBuffers: 16 },
          features: { f16: false, subgroups: false, subgroupMatrix: false, barriers: true },
          spec: (id) => graph.values[id].spec,
          storage: (id) => plainStorage(graph.values[id]),
          scratch: () => ({ scratch: scratch++ }),
        }),
      ).length;
  }

  it.each([
    ['convmixer-256-8', 129],
    ['conv-pooling', 85],
    ['convmixer-2stage-flatten', 144],
    ['convmixer-2stage', 139],
    ['convmixer-256-8-block-residual', 161],
  ])('of %s takes %d dispatches on a GPU', (arch, expected) => {
    const graph = trainingStep(arch);
    expect(dispatches(mergeNodes(graph))).toBe(expected);
    expect(dispatches(graph)).toBeGreaterThan(expected);
  });

  it('moves the statistics of layers together where they have one momentum', () => {
    const images = input([8, 8, 3]);
    const norm = (x: LayerTensor, momentum?: number) =>
      layers.batchNormalization(layers.conv2d(x, { filters: 4, kernelSize: 3 }), { momentum });
    const x = norm(norm(norm(images, 0.5)), 0.5);
    const model = functionalModel({ name: 'momenta', input: images, output: layers.dense(layers.globalAveragePooling2d(x), { units: 2 }) });
    const graph = mergeNodes(compileGraph(trainingGraph(buildForward(model, 'train', { loss: true }))));
    const moves = graph.nodes.filter(({ op }) => op.startsWith('movingAverage'));
    expect(moves.map(({ op, attrs, updates }) => [op, attrs.momentum, updates.length])).toEqual([
      ['movingAverage', undefined, 2],
      ['movingAverages', 0.5, 4],
    ]);
  });

  it('leaves nothing unmade: every value that a node reads is state, an input, or made before', () => {
    const graph = mergeNodes(trainingStep('convmixer-256-8-block-residual'));
    const made = new Set(graph.values.filter(({ role }) => role !== 'temporary').map(({ id }) => id));
    for (const { inputs, outputs, op } of graph.nodes) {
      for (const id of inputs) expect(made.has(id), `${op} reads ${graph.values[id].name}`).toBe(true);
      for (const id of outputs) made.add(id);
    }
    for (const id of [...Object.values(graph.outputs), ...graph.gradients.map(({ gradient }) => gradient)]) expect(made.has(id)).toBe(true);
  });
});
