// resize, resizeGrad.

import { expect, test } from 'vitest';
import { checkGradient } from '../support/gradient-check.ts';
import { referenceData } from '../support/reference.ts';
import { samples, uniform } from '../support/tensors.ts';
import { SIZES } from './resize.cases.ts';

test('between the pixels around, and no further than the edge', () => {
  const x = samples(1, [1, 2, 1], [0, 4]);
  expect([...referenceData('resize', [x], { size: [1, 4], interpolation: 'bilinear' })]).toEqual([0, 1, 3, 4]);
  expect([...referenceData('resize', [x], { size: [1, 1], interpolation: 'bilinear' })]).toEqual([2]);
});

test('the nearest pixel', () => {
  const x = samples(1, [1, 3, 1], [1, 2, 3]);
  expect([...referenceData('resize', [x], { size: [1, 6], interpolation: 'nearest' })]).toEqual([1, 1, 2, 2, 3, 3]);
  expect([...referenceData('resize', [x], { size: [1, 2], interpolation: 'nearest' })]).toEqual([1, 3]);
});

test.each(SIZES)('gradients of %d × [%s] to [%s]', (rows, shape, size) => {
  for (const interpolation of ['nearest', 'bilinear'])
    expect(checkGradient('resize', [samples(rows, shape, uniform(1))], { size, interpolation })).toEqual(['resizeGrad']);
});
