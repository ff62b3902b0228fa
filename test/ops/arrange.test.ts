// concat, permute, affine, fill, extreme, extremeGrad.

import { describe, expect, test } from 'vitest';
import { checkGradient } from '../support/gradient-check.ts';
import { referenceData, runReference } from '../support/reference.ts';
import { expectRefused } from '../support/refuse.ts';
import { samples, uniform } from '../support/tensors.ts';
import { PERMUTATIONS } from './arrange.cases.ts';

test('concat puts channels beside each other, and its gradient takes them apart', () => {
  const [a, b] = [samples(1, [1, 2, 1], [1, 2]), samples(1, [1, 2, 2], [3, 4, 5, 6])];
  expect([...referenceData('concat', { parts: [a, b] })]).toEqual([1, 3, 4, 2, 5, 6]);
  const inputs = [samples(2, [3, 2, 2], uniform(1)), samples(2, [3, 2, 3], uniform(2)), samples(2, [3, 2, 1], uniform(3))];
  expect(checkGradient('concat', inputs)).toEqual(['frame', 'frame', 'frame']);
});

test('permute: the axes of the result are those of x in that order', () => {
  const x = samples(1, [2, 3], [1, 2, 3, 4, 5, 6]);
  expect([...referenceData('permute', [x], { axes: [1, 0] })]).toEqual([1, 4, 2, 5, 3, 6]);
  expect(runReference('permute', [samples(1, [2, 3, 4], uniform(1))], { axes: [2, 0, 1] })[0].spec.shape).toEqual([4, 2, 3]);
});

test.each(PERMUTATIONS)('gradient of permute %d × [%s] to [%s]', (rows, shape, axes) => {
  expect(checkGradient('permute', [samples(rows, shape, uniform(1))], { axes })).toEqual(['permute']);
});

describe('affine', () => {
  test('with one number, and with one a channel', () => {
    const x = samples(1, [2, 2], [1, 2, 3, 4]);
    expect([...referenceData('affine', [x], { scale: 2, offset: 1 })]).toEqual([3, 5, 7, 9]);
    expect([...referenceData('affine', [x], { scale: [1, 10], offset: [0.5, 0] })]).toEqual([1.5, 20, 3.5, 40]);
  });
  test.each([{ scale: 0.25, offset: 3 }, { scale: [2, 3, 4] }, { offset: -1 }])('gradient of %o', (attrs) => {
    expect(checkGradient('affine', [samples(2, [2, 2, 3], uniform(1))], attrs)).toEqual(['affine']);
  });
});

test.each(['maximum', 'minimum'])('%s: the gradient goes where the value came from', (of) => {
  const inputs = [samples(3, [2, 3], uniform(1)), samples(3, [2, 3], uniform(2))];
  expect(checkGradient('extreme', inputs, { of })).toEqual(['extremeGrad', 'extremeGrad']);
});

test('of two equal values the first has the gradient, as in TensorFlow', () => {
  const [one, dy] = [samples(1, [1], [2]), samples(1, [1], [5])];
  for (const of of ['maximum', 'minimum']) {
    expect([...referenceData('extremeGrad', [dy, one, one], { of, wanted: 'a' })]).toEqual([5]);
    expect([...referenceData('extremeGrad', [dy, one, one], { of, wanted: 'b' })]).toEqual([0]);
  }
});

test('refuses what does not go together', () => {
  const x = samples(1, [3, 4, 2], uniform(1));
  expectRefused('concat', { parts: [x, samples(1, [3, 5, 2], uniform(1))] }, {}, 'images of one height and width');
  expectRefused('permute', [x], { axes: [0, 1, 1] }, 'axes that are those of x [3,4,2]');
  expectRefused('affine', [x], { scale: [1, 2, 3] }, 'a scale of one number or of 2');
  expectRefused('extreme', [x, samples(1, [3], uniform(1))], { of: 'maximum' }, 'tensors of one shape');
});
