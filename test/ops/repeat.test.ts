// repeat, repeatGrad.

import { expect, test } from 'vitest';
import { checkGradient } from '../support/gradient-check.ts';
import { referenceData } from '../support/reference.ts';
import { expectRefused } from '../support/refuse.ts';
import { samples, uniform } from '../support/tensors.ts';
import { REPETITIONS } from './repeat.cases.ts';

test('copies lie beside each other', () => {
  const x = samples(1, [2, 1, 2], [1, 2, 3, 4]);
  expect([...referenceData('repeat', [x], { times: [1, 2, 1] })]).toEqual([1, 2, 1, 2, 3, 4, 3, 4]);
  expect([...referenceData('repeat', [x], { times: [2, 1, 1] })]).toEqual([1, 2, 1, 2, 3, 4, 3, 4]);
  expect([...referenceData('repeat', [x], { times: [1, 1, 2] })]).toEqual([1, 1, 2, 2, 3, 3, 4, 4]);
});

test('its gradient is the sum of the copies', () => {
  const dy = samples(1, [2, 2, 1], [1, 10, 100, 1000]);
  expect([...referenceData('repeatGrad', [dy], { times: [2, 2, 1] })]).toEqual([1111]);
  expect([...referenceData('repeatGrad', [dy], { times: [2, 1, 1] })]).toEqual([101, 1010]);
});

test.each(REPETITIONS)('gradient of %d × [%s] by [%s]', (rows, shape, times) => {
  expect(checkGradient('repeat', [samples(rows, shape, uniform(1))], { times })).toEqual(['repeatGrad']);
});

test('refuses what is no repetition', () => {
  const x = samples(1, [3, 4, 2], uniform(1));
  expectRefused('repeat', [x], { times: [2, 0, 1] }, 'three whole numbers above 0');
  expectRefused('repeatGrad', [x], { times: [2, 1, 1] }, 'multiples of [2,1,1]');
});
