// matmul, softmax, softmaxGrad.

import { expect, test } from 'vitest';
import { checkGradient } from '../support/gradient-check.ts';
import { referenceData } from '../support/reference.ts';
import { expectRefused } from '../support/refuse.ts';
import { samples, uniform } from '../support/tensors.ts';
import { PRODUCTS } from './attention.cases.ts';

test('a product of matrices, of each sample for itself', () => {
  const a = samples(2, [2, 2], [1, 2, 3, 4, 1, 0, 0, 1]);
  const b = samples(2, [2, 2], [5, 6, 7, 8, 5, 6, 7, 8]);
  expect([...referenceData('matmul', [a, b])]).toEqual([19, 22, 43, 50, 5, 6, 7, 8]);
  expect([...referenceData('matmul', [a, b], { transposed: 'b' })]).toEqual([17, 23, 39, 53, 5, 7, 6, 8]);
  expect([...referenceData('matmul', [a, b], { transposed: 'a' })]).toEqual([26, 30, 38, 44, 5, 6, 7, 8]);
});

test.each(PRODUCTS.map((one) => [one.join(' '), one] as const))('gradients of %s', (_name, [rows, a, b, transposed]) => {
  const inputs = [samples(rows, a, uniform(1)), samples(rows, b, uniform(2))];
  expect(checkGradient('matmul', inputs, transposed ? { transposed } : {})).toEqual(['matmul', 'matmul']);
});

test('softmax makes probabilities of each row, however large its numbers are', () => {
  const y = referenceData('softmax', [samples(1, [2, 2], [0, Math.log(3), 1000, 1000])]);
  for (const [i, value] of [0.25, 0.75, 0.5, 0.5].entries()) expect(y[i]).toBeCloseTo(value, 7);
});

test.each([[[3]], [[2, 5]], [[2, 3, 4]]])('gradient of softmax of [%s]', (shape) => {
  expect(checkGradient('softmax', [samples(3, shape, uniform(1))])).toEqual(['softmaxGrad']);
});

test('refuses matrices that do not go together', () => {
  const a = samples(1, [2, 3], uniform(1));
  expectRefused('matmul', [a, samples(1, [2, 3], uniform(1))], {}, 'inner sizes are equal');
  expectRefused('matmul', [samples(1, [2, 2, 3], uniform(1)), samples(1, [3, 3, 2], uniform(1))], {}, 'inner sizes are equal');
  expectRefused('softmaxGrad', [a, samples(1, [2, 4], uniform(1))], {}, 'of one shape');
});
