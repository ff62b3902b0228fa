// depthwise, depthwiseGradInput, depthwiseGradWeight.

import { describe, expect, test } from 'vitest';
import { costOf } from '../../runtime/ir/define-op.ts';
import { depthwiseGeometry } from '../../runtime/ops/depthwise.ts';
import { ops } from '../../runtime/ops/index.ts';
import { expectClose } from '../support/close.ts';
import { checkGradient } from '../support/gradient-check.ts';
import { attrsOf, EPILOGUES } from '../support/op-case.ts';
import { referenceData, runReference } from '../support/reference.ts';
import { expectRefused } from '../support/refuse.ts';
import { fixed, samples, type TestTensor, uniform } from '../support/tensors.ts';
import { testNode } from '../support/test-node.ts';
import { unfusedEpilogue } from '../support/unfused.ts';
import { DEPTHWISE_GRADIENTS, DEPTHWISES, depthwiseGradCase } from './depthwise.cases.ts';

describe('by hand', () => {
  test('3×3: a cross-correlation with zeros around', () => {
    const x = samples(1, [2, 2, 1], [1, 2, 3, 4]);
    const w = fixed([3, 3, 1, 1], [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    // Top left: 5·1 + 6·2 + 8·3 + 9·4.
    expect([...referenceData('depthwise', [x, w])]).toEqual([77, 67, 47, 37]);
  });

  test('an even kernel pads one more row below and one more column to the right', () => {
    expect(depthwiseGeometry([4, 4, 1], [4, 4, 1, 1]).pad).toBe(1);
    const x = samples(1, [2, 2, 1], [1, 2, 3, 4]);
    const w = fixed([2, 2, 1, 1], [1, 10, 100, 1000]);
    expect([...referenceData('depthwise', [x, w])]).toEqual([4321, 402, 43, 4]);
  });

  test('channels do not mix', () => {
    const x = samples(1, [1, 1, 3], [2, 3, 5]);
    const w = fixed([1, 1, 3, 1], [10, 100, 1000]);
    expect([...referenceData('depthwise', [x, w])]).toEqual([20, 300, 5000]);
  });
});

test.each([1, 2, 3, 4, 5])('k = %d equals convolutions of the single channels', (k) => {
  const x = samples(2, [5, 4, 3], uniform(1));
  const w = fixed([k, k, 3, 1], uniform(2));
  const y = referenceData('depthwise', [x, w]);
  for (let c = 0; c < 3; c++) {
    const xOne = samples(2, [5, 4, 1], (i) => x.data[i * 3 + c]);
    const wOne = fixed([k, k, 1, 1], (i) => w.data[i * 3 + c]);
    const one = referenceData('conv', [xOne, wOne], { stride: 1, padding: 'same' });
    expectClose(
      one.map((_, i) => y[i * 3 + c]),
      one,
      { absolute: 1e-14 },
      `channel ${c}`,
    );
  }
});

test.each(DEPTHWISES.filter(({ shape }) => shape[0] * shape[1] * shape[2] < 500))('gradients of %o', ({ rows, shape, k }) => {
  const inputs = [samples(rows, shape, uniform(1)), fixed([k, k, shape[2], 1], uniform(2))];
  expect(checkGradient('depthwise', inputs)).toEqual(['depthwiseGradInput', 'depthwiseGradWeight']);
});

test('a fused depthwise cannot be differentiated', () => {
  const inputs = [samples(1, [3, 3, 2], uniform(1)), fixed([3, 3, 2, 1], uniform(2))];
  expect(() => checkGradient('depthwise', inputs, { epilogue: { activation: 'relu' } })).toThrow(/a fused depthwise/);
  const biased = [...inputs, fixed([2], [1, 2])];
  expect(() => checkGradient('depthwise', biased, {})).toThrow(/a fused depthwise/);
});

test.each(EPILOGUES)('epilogue %o equals the unfused ops', (epilogue) => {
  const x = samples(7, [3, 5, 6], uniform(1));
  const w = fixed([3, 3, 6, 1], uniform(2));
  const b = fixed([6], uniform(3));
  const fused = runReference('depthwise', epilogue.bias ? [x, w, b] : [x, w], { epilogue: attrsOf(epilogue) });
  const unfused = unfusedEpilogue(runReference('depthwise', [x, w])[0], b, epilogue);
  expect(fused.length).toBe(unfused.length);
  fused.forEach((output, i) => {
    expect(output.spec).toEqual(unfused[i].spec);
    expectClose(output.data, unfused[i].data, { absolute: 1e-12 }, `output ${i}`);
  });
});

describe('a normalized input equals normalize, then the op', () => {
  const x = samples(3, [4, 5, 6], uniform(1));
  const affine = { scale: fixed([6], uniform(4, 0.5, 1.5)), shift: fixed([6], uniform(5)) };
  const [y] = runReference('normalize', { x, ...affine });

  test.each([{}, { activation: 'gelu', derivative: true, stats: true }])('depthwise with epilogue %o', (epilogue) => {
    const others = { w: fixed([3, 3, 6, 1], uniform(2)), ...('stats' in epilogue ? { bias: fixed([6], uniform(3)) } : {}) };
    const fused = runReference('depthwise', { x, ...others, ...affine }, { epilogue });
    const unfused = runReference('depthwise', { x: y, ...others }, { epilogue });
    expect(fused.map(({ data }) => data)).toEqual(unfused.map(({ data }) => data));
  });

  test('depthwiseGradWeight', () => {
    const dy = samples(3, [4, 5, 6], uniform(6));
    const weightShape = [3, 3, 6, 1];
    expect(referenceData('depthwiseGradWeight', { x, dy, ...affine }, { weightShape })).toEqual(
      referenceData('depthwiseGradWeight', [y, dy], { weightShape }),
    );
  });
});

test.each(DEPTHWISE_GRADIENTS)('depthwiseGrad %o equals the unfused ops', (parts) => {
  for (const size of [DEPTHWISES[1], DEPTHWISES[3], DEPTHWISES[6]]) {
    const { inputs, attrs } = depthwiseGradCase(size, parts);
    const { dy, x, w, activation, slope, alpha, kappa, derivative, residual, scale, shift } = inputs as Record<string, TestTensor>;
    const seen = scale ? runReference('normalize', { x, scale, shift })[0] : x;
    const du = slope ? runReference('bnGradApply', { dy, x: activation, scale: slope, alpha, kappa, derivative })[0] : dy;
    const [dx] = runReference('depthwiseGradInput', [du, w]);
    const expected = [
      residual ? referenceData('add', [dx, residual]) : dx.data,
      referenceData('depthwiseGradWeight', [seen, du], { weightShape: w.shape }),
      ...(parts.biasGrad ? [referenceData('biasGrad', [du])] : []),
    ];
    expect(runReference('depthwiseGrad', inputs, attrs).map(({ data }) => data)).toEqual(expected);
  }
});

test('FLOPs are those of the tables', () => {
  const { node, specs } = testNode('depthwise', [samples(1, [16, 16, 256], uniform(1)), fixed([5, 5, 256, 1], uniform(1))]);
  for (const rows of [1, 7]) expect(costOf(ops.depthwise, node, (id) => specs[id], rows).flops).toBe(rows * 3_276_800);
});

describe('refuses', () => {
  const x = samples(2, [4, 4, 3], uniform(1));
  test('a dense input', () =>
    expectRefused('depthwise', [samples(2, [3], uniform(1)), fixed([3, 3, 3, 1], uniform(2))], {}, 'x f32 [n, h, w, C]'));
  test('a kernel that is not square', () => expectRefused('depthwise', [x, fixed([3, 5, 3, 1], uniform(2))], {}, '[3,5,3,1]'));
  test('a multiplier above 1', () => expectRefused('depthwise', [x, fixed([3, 3, 3, 2], uniform(2))], {}, '[3,3,3,2]'));
  test('channels that differ', () => expectRefused('depthwise', [x, fixed([3, 3, 4, 1], uniform(2))], {}, '[4,4,3]', '[3,3,4,1]'));
  test('attributes that it does not know', () =>
    expectRefused('depthwise', [x, fixed([3, 3, 3, 1], uniform(2))], { stride: 2 }, 'depthwise has no attribute stride'));
  test('a scale that is missing or of another length', () => {
    const w = fixed([3, 3, 3, 1], uniform(2));
    const scale = fixed([3], uniform(3));
    expectRefused('depthwise', { x, w, scale }, {}, 'all or none of its vectors');
    expectRefused('depthwise', { x, w, scale, shift: fixed([4], uniform(3)) }, {}, 'all or none of its vectors, [3] each');
    expectRefused('depthwiseGradWeight', { x, dy: x, scale }, { weightShape: w.shape }, 'all or none of its vectors');
  });
  test('gradients of another shape', () => {
    expectRefused('depthwiseGradWeight', [x, samples(2, [4, 5, 3], uniform(1))], { weightShape: [3, 3, 3, 1] }, 'of one shape');
    expectRefused('depthwiseGradInput', [x], {}, 'depthwiseGradInput lacks its operand w');
    const w = fixed([3, 3, 3, 1], uniform(2));
    expectRefused('depthwiseGrad', [samples(2, [4, 5, 3], uniform(1)), x, w], {}, 'of one shape');
    expectRefused('depthwiseGrad', { dy: x, x, w, residual: samples(2, [4, 5, 3], uniform(1)) }, {}, 'of one shape');
  });
  test('operands of depthwiseGrad without those that belong to them', () => {
    const w = fixed([3, 3, 3, 1], uniform(2));
    const scale = fixed([3], uniform(3));
    const both = { dy: x, x, w };
    expectRefused('depthwiseGrad', { ...both, activation: x }, {}, 'all of activation, slope, alpha, kappa and derivative');
    expectRefused('depthwiseGrad', { ...both, activation: x, slope: scale, alpha: scale, kappa: scale }, {}, 'all of activation');
    expectRefused('depthwiseGrad', { ...both, scale }, {}, 'all or none of its vectors');
    expectRefused('depthwiseGrad', both, { residual: true }, 'depthwiseGrad has no attribute residual');
  });
});
