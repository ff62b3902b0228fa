// depthwiseWindows, depthwiseWindowsGradInput, depthwiseWindowsGradWeight.

import { describe, expect, test } from 'vitest';
import { costOf } from '../../runtime/ir/define-op.ts';
import { depthwiseWindow } from '../../runtime/ops/depthwise-windows.ts';
import { ops } from '../../runtime/ops/index.ts';
import { expectClose } from '../support/close.ts';
import { checkGradient } from '../support/gradient-check.ts';
import { attrsOf, EPILOGUES } from '../support/op-case.ts';
import { referenceData, runReference } from '../support/reference.ts';
import { expectRefused } from '../support/refuse.ts';
import { fixed, samples, uniform } from '../support/tensors.ts';
import { testNode } from '../support/test-node.ts';
import { unfusedEpilogue } from '../support/unfused.ts';
import { DEPTHWISE_WINDOWS } from './depthwise-windows.cases.ts';

describe('by hand', () => {
  test('stride 2, same: of 4 columns the window of 3 pads one at the end, of 3 columns one at each', () => {
    const pads = (n: number) => depthwiseWindow([n, n, 1], [3, 3, 1, 1], { stride: 2, padding: 'same', dilation: undefined }).pads;
    expect(pads(4)).toEqual({ top: 0, bottom: 1, left: 0, right: 1 });
    expect(pads(3)).toEqual({ top: 1, bottom: 1, left: 1, right: 1 });
    const x = samples(1, [1, 4, 1], [1, 2, 3, 4]);
    const w = fixed([1, 3, 1, 1], [1, 10, 100]);
    expect([...referenceData('depthwiseWindows', [x, w], { stride: [1, 2], padding: 'same' })]).toEqual([321, 43]);
  });

  test('a multiplier: channel c gives channels 2c and 2c + 1 of weights [kh, kw, C, 2], where x has each twice', () => {
    const x = samples(1, [1, 1, 4], [2, 2, 3, 3]);
    const w = fixed([1, 1, 2, 2], [1, 10, 100, 1000]);
    expect([...referenceData('depthwiseWindows', [x, w])]).toEqual([2, 20, 300, 3000]);
  });

  test('dilation: taps lie two pixels apart', () => {
    const x = samples(1, [1, 5, 1], [1, 2, 3, 4, 5]);
    const w = fixed([1, 2, 1, 1], [1, 10]);
    expect([...referenceData('depthwiseWindows', [x, w], { dilation: 2 })]).toEqual([31, 42, 53]);
  });
});

test.each([1, 2, 3, 4, 5])('k = %d, stride 1, same: equals depthwise', (k) => {
  const x = samples(2, [5, 4, 3], uniform(1));
  const w = fixed([k, k, 3, 1], uniform(2));
  expectClose(
    referenceData('depthwiseWindows', [x, w], { padding: 'same' }),
    referenceData('depthwise', [x, w]),
    { absolute: 1e-14 },
    `k ${k}`,
  );
});

const small = DEPTHWISE_WINDOWS.filter(([rows, shape]) => rows * shape.reduce((size, n) => size * n, 1) < 700);
test.each(small)('gradients of %d × [%s] by [%s] %o', (rows, shape, wShape, attrs) => {
  const inputs = [samples(rows, shape, uniform(1)), fixed(wShape, uniform(2))];
  expect(checkGradient('depthwiseWindows', inputs, attrs)).toEqual(['depthwiseWindowsGradInput', 'depthwiseWindowsGradWeight']);
});

test.each(EPILOGUES)('epilogue %o equals the unfused ops', (epilogue) => {
  const x = samples(7, [5, 6, 6], uniform(1));
  const w = fixed([3, 3, 6, 1], uniform(2));
  const b = fixed([6], uniform(3));
  const attrs = { stride: 2, padding: 'same' };
  const fused = runReference('depthwiseWindows', epilogue.bias ? [x, w, b] : [x, w], { ...attrs, epilogue: attrsOf(epilogue) });
  const unfused = unfusedEpilogue(runReference('depthwiseWindows', [x, w], attrs)[0], b, epilogue);
  expect(fused.length).toBe(unfused.length);
  fused.forEach((output, i) => {
    expect(output.spec).toEqual(unfused[i].spec);
    expectClose(output.data, unfused[i].data, { absolute: 1e-12 }, `output ${i}`);
  });
});

test('a fused one cannot be differentiated', () => {
  const inputs = [samples(1, [3, 3, 2], uniform(1)), fixed([3, 3, 2, 1], uniform(2))];
  expect(() => checkGradient('depthwiseWindows', inputs, { epilogue: { activation: 'relu' } })).toThrow(/a fused depthwiseWindows/);
});

test('FLOPs: two for each tap of each result', () => {
  const { node, specs } = testNode('depthwiseWindows', [samples(1, [16, 16, 64], uniform(1)), fixed([3, 3, 64, 1], uniform(1))], {
    stride: 2,
    padding: 'same',
  });
  expect(costOf(ops.depthwiseWindows, node, (id) => specs[id], 7).flops).toBe(7 * 2 * 8 * 8 * 9 * 64);
});

describe('refuses', () => {
  const x = samples(2, [4, 4, 3], uniform(1));
  test('channels that differ', () => expectRefused('depthwiseWindows', [x, fixed([3, 3, 4, 1], uniform(2))], {}, '[4,4,3]', '[3,3,4,1]'));
  test('a window that does not fit', () => expectRefused('depthwiseWindows', [x, fixed([5, 3, 3, 1], uniform(2))], {}, 'no room', '5×3'));
  test('gradients of another shape', () => {
    const attrs = { stride: 2, padding: 'same' };
    const w = fixed([3, 3, 3, 1], uniform(2));
    expectRefused('depthwiseWindowsGradInput', [x, w], { ...attrs, inputShape: [4, 4, 3] }, 'dy of the shape of the result');
    expectRefused('depthwiseWindowsGradWeight', [x, x], { ...attrs, weightShape: w.shape }, 'dy of the shape of the result');
  });
});
