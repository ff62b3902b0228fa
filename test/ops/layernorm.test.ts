// layernorm, layernormGrad.

import { expect, test } from 'vitest';
import { checkGradient } from '../support/gradient-check.ts';
import { referenceData } from '../support/reference.ts';
import { expectRefused } from '../support/refuse.ts';
import { fixed, samples, uniform } from '../support/tensors.ts';

test('every pixel is normalised for itself', () => {
  const x = samples(1, [2, 1, 2], [1, 3, 10, 30]);
  const y = referenceData('layernorm', [x, fixed([2], [1, 2]), fixed([2], [0, 5])], { epsilon: 1e-12 });
  for (const [i, value] of [-1, 7, -1, 7].entries()) expect(y[i]).toBeCloseTo(value, 9);
});

test.each([[[3]], [[2, 5]], [[2, 3, 4]]])('gradients of [%s]', (shape) => {
  const c = shape[shape.length - 1];
  const inputs = [samples(3, shape, uniform(1)), fixed([c], uniform(2, 0.5, 1.5)), fixed([c], uniform(3))];
  expect(checkGradient('layernorm', inputs, { epsilon: 0.01 })).toEqual(['layernormGrad']);
});

test('refuses vectors of another length', () =>
  expectRefused('layernorm', [samples(1, [2, 3], uniform(1)), fixed([2], [1, 1]), fixed([3], [1, 1, 1])], { epsilon: 0.1 }, 'vectors [3]'));
