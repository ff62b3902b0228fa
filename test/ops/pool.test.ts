// What pooling means beyond its reference: globalAvgPool, maxPool, avgPool and their gradients, by hand and what is refused.

import { describe, expect, test } from 'vitest';
import { checkGradient } from '../support/gradient-check.ts';
import { referenceData, runReference } from '../support/reference.ts';
import { expectRefused } from '../support/refuse.ts';
import { fixed, samples, uniform } from '../support/tensors.ts';

describe('globalAvgPool', () => {
  test('by hand', () => {
    const x = samples(2, [1, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8]);
    expect([...referenceData('globalAvgPool', [x])]).toEqual([2, 3, 6, 7]);
    const dy = samples(1, [2], [6, 12]);
    expect([...referenceData('globalAvgPoolGrad', [dy], { inputShape: [1, 3, 2] })]).toEqual([2, 4, 2, 4, 2, 4]);
  });

  test.each([{ shape: [1, 1, 1] }, { shape: [3, 2, 5] }, { shape: [1, 7, 3] }])('gradient at %o', ({ shape }) => {
    expect(checkGradient('globalAvgPool', [samples(3, shape, uniform(1))])).toEqual(['globalAvgPoolGrad']);
  });

  test('refuses', () => {
    expectRefused('globalAvgPool', [samples(2, [3], uniform(1))], {}, 'globalAvgPool got x f32 [n, 3]', 'x f32 [n, h, w, C]');
    expectRefused('globalAvgPoolGrad', [samples(2, [3], uniform(1))], { inputShape: [2, 2, 4] }, '[2,2,4]');
  });
});

describe('maxPool', () => {
  test('by hand: an odd last row and column belong to no window', () => {
    const x = samples(1, [3, 5, 1], [1, 2, 3, 4, 90, 5, 6, 8, 7, 91, 92, 93, 94, 95, 96]);
    expect([...referenceData('maxPool', [x])]).toEqual([6, 8]);
    expect([...referenceData('maxPoolGrad', [samples(1, [1, 2, 1], [10, 20]), x])]).toEqual([
      0, 0, 0, 0, 0, 0, 10, 20, 0, 0, 0, 0, 0, 0, 0,
    ]);
  });

  test('negative values', () => {
    expect([...referenceData('maxPool', [samples(1, [2, 2, 1], [-4, -3, -1, -2])])]).toEqual([-1]);
  });

  test('of a tie the first in row-major order gets the gradient', () => {
    const grad = (values: number[]): number[] => [
      ...referenceData('maxPoolGrad', [samples(1, [1, 1, 1], [1]), samples(1, [2, 2, 1], values)]),
    ];
    expect(grad([5, 5, 5, 5])).toEqual([1, 0, 0, 0]);
    expect(grad([1, 5, 5, 5])).toEqual([0, 1, 0, 0]);
    expect(grad([1, 2, 5, 5])).toEqual([0, 0, 1, 0]);
    expect(grad([1, 5, 2, 5])).toEqual([0, 1, 0, 0]);
    expect(grad([0, -0, 0, 0])).toEqual([1, 0, 0, 0]);
  });

  test.each([{ shape: [2, 2, 1] }, { shape: [4, 4, 3] }, { shape: [5, 3, 7] }])('gradient at %o', ({ shape }) => {
    expect(checkGradient('maxPool', [samples(3, shape, uniform(1))])).toEqual(['maxPoolGrad']);
  });

  test('refuses', () => {
    expectRefused('maxPool', [samples(2, [1, 4, 3], uniform(1))], {}, 'no room for a window of 2×2');
    const [y] = runReference('maxPool', [samples(2, [4, 4, 3], uniform(1))]);
    expectRefused('maxPoolGrad', [y, samples(2, [6, 4, 3], uniform(1))], {}, 'maxPoolGrad got');
    expectRefused('maxPoolGrad', [y, fixed([4, 4, 3], uniform(1))], {}, 'maxPoolGrad got');
  });
});
