// Every kernel of the webgpu device against the reference loops, at sizes that hurt, on a software adapter.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KernelOpName } from '../../runtime/ops/index.ts';
import { DEPTHWISE_GRADIENTS, depthwiseGradOperands, type OpCase, opCases } from '../support/cases.ts';
import { expectClose, type Tolerance } from '../support/close.ts';
import { DispatchRunner, type RunOptions } from '../support/dispatch-runner.ts';
import { runReference } from '../support/reference.ts';
import { hasSwiftShader } from '../support/swiftshader.ts';
import { copy, fixed, samples, uniform } from '../support/tensors.ts';

/** One rounding, or none: nothing else happens to an element. */
const EXACT: Tolerance = { relative: 1.2e-7 };
const TOLERANCES: Partial<Record<KernelOpName, Tolerance>> = {
  rescale: EXACT,
  add: EXACT,
  bias: EXACT,
  relu: EXACT,
  reluGrad: EXACT,
  dropout: EXACT,
  maxPool: EXACT,
  maxPoolGrad: EXACT,
  globalAvgPoolGrad: EXACT,
  finiteCheck: EXACT,
  countStep: EXACT,
  softmaxCrossEntropyGrad: { absolute: 1e-9, relative: 3e-6 },
};
/** What rounding does to sums of up to some hundred products of numbers of about 1, in f32 throughout. */
const ROUNDING: Tolerance = { absolute: 1e-5, relative: 5e-6 };

describe.runIf(hasSwiftShader)('kernels on SwiftShader', () => {
  let runner: DispatchRunner;
  beforeAll(async () => {
    runner = await DispatchRunner.open();
  });
  afterAll(() => runner?.close());

  async function check(op: KernelOpName, one: OpCase, options: Parameters<DispatchRunner['run']>[2] = {}): Promise<void> {
    const updates = one.updates?.map(copy);
    const expected = runReference(op, one.inputs, one.attrs, { rows: one.rows, step: one.step, updates });
    const actual = await runner.run(op, one, options);
    for (const [i, { data, spec }] of expected.entries()) {
      // Entries of partials beyond the tiles are nobody's.
      const partials = i > 0 && spec.perSample && spec.shape.length === 2 && spec.shape[0] === 2;
      const found = partials ? actual.outputs[i].map((value, at) => (data[at] === 0 ? 0 : value)) : actual.outputs[i];
      expectClose(found, data, TOLERANCES[op] ?? ROUNDING, `output ${i}`);
    }
    for (const [i, { data }] of (updates ?? []).entries()) {
      expectClose(actual.updates[i], data, { absolute: 1e-7, relative: 1e-6 }, `update ${i}`);
    }
  }

  for (const op of Object.keys(opCases) as KernelOpName[]) {
    it(`${op}: all cases`, async () => {
      for (const one of opCases[op]()) {
        // At capacity and below it.
        for (const capacity of [one.rows, one.rows + 3]) {
          await check(op, one, { capacity }).catch((error: Error) => {
            error.message = `${one.name}, capacity ${capacity}: ${error.message}`;
            throw error;
          });
        }
      }
    });
  }

  /** As on hardware: products go through workgroup memory. */
  const barriers: RunOptions['change'] = { features: { f16: false, subgroups: false, subgroupMatrix: false, barriers: true } };
  const EVERYTHING = { bias: true, activation: 'gelu', derivative: true, stats: true };

  /** Sizes that reach every path of the convolutions' kernels. */
  const PRODUCTS: readonly (readonly [op: 'conv' | 'convGradInput' | 'convGradWeight', one: OpCase])[] = [
    ['conv', convCase('statistics of tiles of several blocks', 2, [15, 10, 12], [1, 1, 12, 20], EVERYTHING)],
    ['conv', convCase('columns that come in no fours', 3, [5, 4, 6], [3, 3, 6, 7], EVERYTHING)],
    ['conv', convCase('a dense layer with many inputs', 5, [4100], [4100, 12], { bias: true, activation: 'relu' })],
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

  it.each(['bnStats', 'bnGradStats', 'softmaxCrossEntropy'] as const)('%s with barriers', async (op) => {
    for (const one of opCases[op]().slice(0, 3)) await check(op, one, { change: barriers });
  });

  it.each([
    { rows: 3, shape: [3, 40, 5], k: 5 }, // three strips
    { rows: 2, shape: [4, 23, 3], k: 7 }, // strips that end beyond the image
    { rows: 2, shape: [6, 14, 3], k: 13 }, // too large for registers
  ])('depthwise ops, $shape by $k', async (size) => {
    const [dy, x, w, ...rest] = depthwiseGradOperands(size, DEPTHWISE_GRADIENTS[5]);
    const [scale, shift] = rest.slice(-2);
    const bias = fixed(size.shape.slice(-1), uniform(4));
    const named = { name: '', rows: size.rows };
    const normalized = { prologue: { normalize: true } };
    await check('depthwise', { ...named, inputs: [x, w, bias, scale, shift], attrs: { ...normalized, epilogue: EVERYTHING } });
    await check('depthwiseGradInput', { ...named, inputs: [dy, w], attrs: {} });
    await check('depthwiseGrad', { ...named, inputs: [dy, x, w, ...rest], attrs: { ...DEPTHWISE_GRADIENTS[5] } });
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
    const activated = await runner.run('relu', { name: '', rows: 1, inputs: [x], attrs: {} });
    expect(activated.outputs[0][6]).toBeNaN();
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const logits = samples(2, [3], [1, 2, 3, 4, bad, 6]);
      const inputs = [logits, samples(2, [], [0, 0], 'i32')];
      expect((await runner.run('softmaxCrossEntropy', { name: '', rows: 2, inputs, attrs: {} })).outputs[0][0]).toBeNaN();
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
