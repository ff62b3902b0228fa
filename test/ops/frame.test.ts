// frame.

import { describe, expect, test } from 'vitest';
import { checkGradient } from '../support/gradient-check.ts';
import { referenceData } from '../support/reference.ts';
import { expectRefused } from '../support/refuse.ts';
import { samples, uniform } from '../support/tensors.ts';

describe('frame', () => {
  const x = samples(1, [2, 2, 1], [1, 2, 3, 4]);
  test('by hand: around, a part, and both', () => {
    expect([...referenceData('frame', [x], { offset: [1, 0, 0], shape: [3, 3, 1] })]).toEqual([0, 0, 0, 1, 2, 0, 3, 4, 0]);
    expect([...referenceData('frame', [x], { offset: [-1, 0, 0], shape: [1, 2, 1] })]).toEqual([3, 4]);
    expect([...referenceData('frame', [x], { offset: [-1, 1, 1], shape: [1, 2, 2] })]).toEqual([0, 0, 0, 3]);
  });

  test.each([
    [
      [1, 2, 0],
      [5, 6, 3],
    ],
    [
      [-1, 0, -1],
      [1, 2, 2],
    ],
    [
      [0, 0, 2],
      [2, 3, 5],
    ],
  ])('gradient at offset %j of %j', (offset, shape) => {
    expect(checkGradient('frame', [samples(2, [2, 3, 3], uniform(1))], { offset, shape })).toEqual(['frame']);
  });

  test('refuses what is not in the frame', () => {
    expectRefused('frame', [x], { offset: [2, 0, 0], shape: [2, 2, 1] }, 'frame got x f32 [n, 2, 2, 1]', 'a part is in [2,2,1]');
    expectRefused('frame', [x], { offset: [0, 0], shape: [2, 2, 1] }, 'offset', 'three whole numbers');
  });
});
