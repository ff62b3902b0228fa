// Every kernel of the webgpu device against the reference loops, at sizes that hurt, on a software adapter.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ACTIVATION_NAMES } from '../../runtime/ops/activations.ts';
import type { KernelOpName } from '../../runtime/ops/index.ts';
import { DEPTHWISE_GRADIENTS, depthwiseGradCase } from '../ops/depthwise.cases.ts';
import { muonCase } from '../ops/muon.cases.ts';
import { opCases } from '../support/cases.ts';
import { checkDispatches } from '../support/check-dispatches.ts';
import { DispatchRunner, type RunOptions } from '../support/dispatch-runner.ts';
import { errorOfStatistics, FAR_MEANS } from '../support/far-means.ts';
import type { OpCase } from '../support/op-case.ts';
import { runReference } from '../support/reference.ts';
import { hasSwiftShader } from '../support/swiftshader.ts';
import { fixed, samples, type TestTensor, uniform } from '../support/tensors.ts';

/** Compiling these takes a quarter of a second a case: the suite takes each third, the soak all (test/soak/gpu-kernels.soak.ts). */
const HEAVY: readonly KernelOpName[] = ['conv', 'depthwise', 'depthwiseGrad'];

describe.runIf(hasSwiftShader)('kernels on SwiftShader', () => {
  let runner: DispatchRunner;
  beforeAll(async () => {
    runner = await DispatchRunner.open();
  });
  afterAll(() => runner?.close());

  const check = (op: KernelOpName, one: OpCase, options: RunOptions = {}): Promise<void> => checkDispatches(runner, op, one, options);

  for (const op of Object.keys(opCases) as KernelOpName[]) {
    it(`${op}: ${HEAVY.includes(op) ? 'each third case' : 'all cases'}`, async () => {
      const cases = opCases[op]().filter((_, i) => !HEAVY.includes(op) || i % 3 === 0);
      // At capacity and below it.
      for (const one of cases) for (const capacity of [one.rows, one.rows + 3]) await check(op, one, { capacity });
    });
  }

  /** As on hardware: products go through workgroup memory. */
  const barriers: RunOptions['change'] = { features: { f16: false, subgroups: false, subgroupMatrix: false, barriers: true } };
  const EVERYTHING = { activation: 'gelu', derivative: true, stats: true };

  /** Sizes that reach every path of the convolutions' kernels. */
  const PRODUCTS: readonly (readonly [op: 'conv' | 'convGradInput' | 'convGradWeight', one: OpCase])[] = [
    ['conv', convCase('statistics of tiles of several blocks', 2, [15, 10, 12], [1, 1, 12, 20], { stats: true })],
    ['conv', convCase('columns that come in no fours', 3, [5, 4, 6], [3, 3, 6, 7], { activation: 'relu', stats: true })],
    ['conv', convCase('a dense layer with many inputs', 5, [4100], [4100, 12], { activation: 'relu' })],
    gradientCase('convGradInput', 'several panels', 2, [6, 5, 20], [3, 3, 20, 12]),
    gradientCase('convGradWeight', 'several chunks', 5, [20, 20, 12], [1, 1, 12, 20]),
    gradientCase('convGradWeight', 'channels that come in no fours', 3, [7, 6, 5], [3, 3, 5, 6]),
  ];

  it.each(
    PRODUCTS.map(([op, one]) => [op, one.name, one] as const),
  )('%s, %s: to the same bits with and without workgroup memory', async (op, _name, one) => {
    await check(op, one);
    await check(op, one, { change: barriers, capacity: one.rows + 70 });
    const [direct, panels] = [await runner.run(op, one), await runner.run(op, one, { change: barriers })];
    expect(panels.outputs[0]).toEqual(direct.outputs[0]);
  });

  it('muon: to the same bits with and without workgroup memory', async () => {
    for (const one of [muonCase('columns', [10, 33]), muonCase('several tiles', [3, 3, 20, 70])]) {
      await check('muon', one, { change: barriers });
      const [direct, panels] = [await runner.run('muon', one), await runner.run('muon', one, { change: barriers })];
      expect(panels.updates).toEqual(direct.updates);
    }
  });

  it.each(['bnStats', 'bnGradStats', 'softmaxCrossEntropy'] as const)('%s with barriers', async (op) => {
    for (const one of opCases[op]().slice(0, 3)) await check(op, one, { change: barriers });
  });

  it.each([
    { rows: 3, shape: [3, 40, 5], k: 5 }, // three strips
    { rows: 2, shape: [4, 23, 3], k: 7 }, // strips that end beyond the image
    { rows: 2, shape: [6, 14, 3], k: 13 }, // too large for registers
  ])('depthwise ops, $shape by $k', async (size) => {
    const both = depthwiseGradCase(size, DEPTHWISE_GRADIENTS[5]);
    const { dy, x, w, scale, shift } = both.inputs as Record<string, TestTensor>;
    const bias = fixed(size.shape.slice(-1), uniform(4));
    const named = { name: '', rows: size.rows };
    await check('depthwise', { ...named, inputs: { x, w, bias, scale, shift }, attrs: { epilogue: EVERYTHING } });
    await check('depthwiseGradInput', { ...named, inputs: [dy, w], attrs: {} });
    await check('depthwiseGrad', { ...named, ...both });
  });

  it.each(FAR_MEANS.map((far) => [`${far.op} ${far.one.name}`, far] as const))('statistics of %s keep their digits', async (_name, far) => {
    const run = (options: RunOptions) =>
      errorOfStatistics(far, async (op, one) => (await runner.run(op, one, options)).outputs as readonly ArrayLike<number>[]);
    expect(await run({})).toBeLessThan(far.tolerance);
    if (far.op === 'conv') expect(await run({ change: barriers })).toBeLessThan(far.tolerance);
  });

  it('gives the same bits from run to run', async () => {
    const one = opCases.depthwiseGrad().at(-1) as OpCase;
    const first = await runner.run('depthwiseGrad', one);
    for (let i = 0; i < 5; i++) expect((await runner.run('depthwiseGrad', one)).outputs).toEqual(first.outputs);
  });

  it('lets NaN through wherever a maximum is taken, so that the loss shows it', async () => {
    const x = samples(1, [2, 2, 5], (i) => (i < 20 && i % 5 === 1 ? Number.NaN : i));
    const pooled = await runner.run('maxPool', { name: '', rows: 1, inputs: [x], attrs: {} });
    expect([...pooled.outputs[0]]).toEqual([15, Number.NaN, 17, 18, 19]);
    for (const op of ACTIVATION_NAMES) {
      const large = samples(1, [5], [Number.NaN, -1e30, 1e30, Number.NEGATIVE_INFINITY, Number.NaN]);
      const { outputs } = await runner.run(op, { name: '', rows: 1, inputs: [large], attrs: {} });
      const [first, low, high, , last] = outputs[0];
      expect([first, last], op).toEqual([Number.NaN, Number.NaN]);
      expect([low, high].some(Number.isNaN), `${op} of ±1e30`).toBe(false);
    }
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const logits = samples(2, [3], [1, 2, 3, 4, bad, 6]);
      const inputs = [logits, samples(2, [], [0, 0], 'i32')];
      const { outputs } = await runner.run('softmaxCrossEntropy', { name: '', rows: 2, inputs, attrs: {} });
      expect(Number.isFinite(outputs[0][0])).toBe(false);
    }
  });

  it('keeps a NaN in ReLU where a compiler assumes that there is none', async () => {
    // As fast math allows: a < b for not (a >= b).
    const rewrite = (code: string) => code.replaceAll(/(\w+) < (f32|vec4f)\(\)/g, '!($1 >= $2())');
    for (const channels of [3, 4]) {
      const x = samples(1, [2, 1, channels], (i) => (i === 1 ? Number.NaN : i % 2 ? -i : i));
      const { outputs } = await runner.run('relu', { name: '', rows: 1, inputs: [x], attrs: {} }, { rewrite });
      expect([...outputs[0]]).toEqual([...x.data].map((value) => (value < 0 ? 0 : value)));
      const [ones, zeros] = [fixed([channels], () => 1), fixed([channels], () => 0)];
      const one = { name: '', rows: 1, inputs: [x, ones, zeros], attrs: { epilogue: { activation: 'relu' } } };
      expect((await runner.run('normalize', one, { rewrite })).outputs[0]).toEqual(outputs[0]);
    }
  });

  it('counts no gradient as bad because of what workgroup memory held before', async () => {
    const rewrite = (code: string) => code.replace(/(fn main\([\s\S]*?\) \{)/, '$1 atomicStore(&bad, 7u); workgroupBarrier();');
    for (const [value, ok] of [
      [1, 1],
      [Number.NaN, 0],
    ]) {
      const inputs = [fixed([1], [2]), fixed([5000], (i) => (i === 4321 ? value : 1))];
      expect((await runner.run('finiteCheck', { name: '', rows: 1, inputs, attrs: {} }, { rewrite })).outputs[0][0]).toBe(ok);
    }
  });
});

function convCase(name: string, rows: number, xShape: readonly number[], wShape: readonly number[], epilogue: object): OpCase {
  const inputs = [samples(rows, xShape, uniform(1)), fixed(wShape, uniform(2)), fixed(wShape.slice(-1), uniform(4))];
  return { name, rows, inputs, attrs: { stride: 1, padding: 'same', epilogue } };
}

function gradientCase(
  op: 'convGradInput' | 'convGradWeight',
  name: string,
  rows: number,
  xShape: readonly number[],
  wShape: readonly number[],
): readonly [typeof op, OpCase] {
  const [x, w] = [samples(rows, xShape, uniform(1)), fixed(wShape, uniform(2))];
  const attrs = { stride: 1, padding: 'same' };
  const [y] = runReference('conv', [x, w], attrs);
  const dy = samples(rows, y.spec.shape, uniform(3));
  return op === 'convGradInput'
    ? [op, { name, rows, inputs: [dy, w], attrs: { ...attrs, inputShape: xShape } }]
    : [op, { name, rows, inputs: [x, dy], attrs: { ...attrs, weightShape: wShape } }];
}
