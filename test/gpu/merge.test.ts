// Nodes that the webgpu device merges: against the reference of their parts, and how many dispatches are left of a training step.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lowerings } from '../../gpu/lowering/index.ts';
import type { Lowering } from '../../gpu/lowering/lowering.ts';
import { mergeNodes } from '../../gpu/lowering/merge.ts';
import { plainStorage } from '../../gpu/lowering/storage.ts';
import { compileGraph, trainingGraph } from '../../runtime/compile/compile.ts';
import type { Graph } from '../../runtime/ir/graph.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { buildForward } from '../../runtime/model/build-graph.ts';
import type { KernelOpName } from '../../runtime/ops/index.ts';
import { DEPTHWISE_GRADIENTS, DEPTHWISES, depthwiseGradOperands, type OpCase, partialsOf, STATISTICS } from '../support/cases.ts';
import { expectClose } from '../support/close.ts';
import { DispatchRunner, type RunOptions } from '../support/dispatch-runner.ts';
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

/** Mean, variance and gamma for the gradient of a normalised x, and the outputs of its fold. */
function gradientFold(dx: TestTensor, x: TestTensor, rows: number) {
  const channels = x.shape[x.shape.length - 1];
  const [mean, variance, gamma] = [vector(channels, 21), vector(channels, 22, 0.5, 2), vector(channels, 23)];
  const fold = { epsilon, pixels: pixelsOf(x.spec.shape) };
  const sums = runReference('bnGradStats', [dx, x, mean]);
  return {
    inputs: [mean, variance, gamma],
    attrs: fold,
    expected: runReference('bnGradFold', [...sums, mean, variance, gamma], fold, { rows }),
  };
}

const statistics = (from: 'input' | 'partials'): MergedCase[] =>
  STATISTICS.map(([rows, shape]) => {
    const x = samples(rows, shape, uniform(1, -2, 2));
    const [gamma, beta] = [vector(shape.at(-1) as number, 2), vector(shape.at(-1) as number, 3)];
    const [mean, variance] = runReference('bnStats', [x], { from: 'input', pixels: pixelsOf(shape) });
    const folded = runReference('bnFold', [mean, variance, gamma, beta], { epsilon });
    const attrs = { from, pixels: pixelsOf(shape), fold: { epsilon } };
    return { rows, inputs: [from === 'input' ? x : partialsOf(x), gamma, beta], attrs, expected: [mean, variance, ...folded] };
  });

const gradientStatistics = (): MergedCase[] =>
  STATISTICS.map(([rows, shape]) => {
    const [dy, x] = [samples(rows, shape, uniform(4)), samples(rows, shape, uniform(1, -2, 2))];
    const { inputs, attrs, expected } = gradientFold(dy, x, rows);
    return { rows, inputs: [dy, x, ...inputs], attrs: { fold: attrs }, expected };
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
    const [dx] = runReference('convGradInput', [dy, w], attrs);
    const fold = gradientFold(dx, x, rows);
    return { rows, inputs: [dy, w, x, ...fold.inputs], attrs: { ...attrs, gradientFold: fold.attrs }, expected: [dx, ...fold.expected] };
  });

const depthwiseGradients = (): MergedCase[] =>
  [DEPTHWISES[1], DEPTHWISES[3]].flatMap((size) =>
    [DEPTHWISE_GRADIENTS[0], DEPTHWISE_GRADIENTS[5]].map((attrs) => {
      const { rows } = size;
      const operands = depthwiseGradOperands(size, attrs);
      const plain = runReference('depthwiseGrad', operands, { ...attrs });
      const fold = gradientFold(plain[0], operands[1], rows);
      return {
        rows,
        inputs: [...operands, ...fold.inputs],
        attrs: { ...attrs, gradientFold: fold.attrs },
        expected: [...plain, ...fold.expected],
      };
    }),
  );

/** The same with its coefficients in one tensor. */
const together = (cases: readonly MergedCase[]): MergedCase[] =>
  cases.map(({ attrs, expected, ...one }) => {
    const coefficients = expected.slice(-5, -2).flatMap(({ data }) => [...data]);
    const outputs = [...expected.slice(0, -5), fixed([coefficients.length], coefficients), ...expected.slice(-2)];
    return { ...one, attrs: { ...attrs, together: true }, expected: outputs };
  });

const MERGED: readonly (readonly [name: string, op: KernelOpName, cases: () => MergedCase[]])[] = [
  ['bnStats with its fold, from input', 'bnStats', () => statistics('input')],
  ['bnStats with its fold, from partials', 'bnStats', () => statistics('partials')],
  ['bnGradStats with its fold', 'bnGradStats', gradientStatistics],
  ['convGradInput with statistics', 'convGradInput', convGradients],
  ['depthwiseGrad with statistics', 'depthwiseGrad', depthwiseGradients],
  ['bnGradStats with its fold, coefficients together', 'bnGradStats', () => together(gradientStatistics())],
  ['depthwiseGrad with statistics, coefficients together', 'depthwiseGrad', () => together(depthwiseGradients())],
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
      const results = expected.map(({ spec }) => spec);
      // At capacity and below it; and on a device that binds eight buffers at a time, to the same bits.
      const full = await runner.run(op, { name: '', rows, inputs, attrs }, { results });
      for (const [i, { data }] of expected.entries()) expectClose(full.outputs[i], data, { absolute: 2e-5, relative: 2e-5 }, `output ${i}`);
      for (const options of [{ capacity: rows + 3 }, { change: few() }]) {
        const other = await runner.run(op, { name: '', rows, inputs, attrs }, { results, ...options });
        expect(other.outputs).toEqual(full.outputs);
      }
    }
  });

  it.each([0, 1])('all moving averages at once, ok %d', async (ok) => {
    const layers = [5, 33, 8, 4, 70, 1, 12];
    const inputs = [fixed([1], [ok], 'i32'), ...layers.flatMap((n, i) => [vector(n, 40 + i), vector(n, 50 + i, 0, 2)])];
    const updates = layers.flatMap((n, i) => [vector(n, 60 + i), vector(n, 70 + i, 0, 2)]);
    const step = { bnMomentum: 0.9 };
    const expected = updates.map(copy);
    for (const i of layers.keys()) {
      const own = { updates: expected.slice(2 * i, 2 * i + 2), step };
      runReference('movingAverage', [inputs[0], ...inputs.slice(1 + 2 * i, 3 + 2 * i)], {}, own);
    }
    const actual = await runner.run('movingAverage', { name: '', rows: 1, inputs, attrs: {}, updates, step }, { results: [] });
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
        (lowerings[node.op as KernelOpName] as Lowering)(node, {
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
