// Comparison of arrays of numbers, with a message that says where they differ most.

import { expect } from 'vitest';

export interface Tolerance {
  readonly absolute?: number;
  readonly relative?: number;
}

/** Fails unless |actual − expected| ≤ absolute + relative·|expected| everywhere. NaN and infinities must be equal. */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { absolute = 0, relative = 0 }: Tolerance,
  label = 'values',
): void {
  const worst = farthest(actual, expected, { absolute, relative });
  if (!worst) return;
  expect.fail(
    `${label}: ${worst.count} of ${expected.length} differ by more than ${absolute} + ${relative}·|expected|; the worst is [${worst.index}]: ` +
      `${actual[worst.index]}, expected ${expected[worst.index]} (difference ${Math.abs(actual[worst.index] - expected[worst.index])})`,
  );
}

/** Number of elements outside the tolerance and the index of the one farthest outside. Null: all are inside. */
export function farthest(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { absolute = 0, relative = 0 }: Tolerance,
): { count: number; index: number } | null {
  expect(actual.length, 'number of values').toBe(expected.length);
  let count = 0;
  let index = 0;
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    if (Object.is(actual[i], expected[i])) continue;
    const difference = Math.abs(actual[i] - expected[i]);
    const limit = absolute + relative * Math.abs(expected[i]);
    // Written so that NaN, on either side, is outside.
    if (difference <= limit && Number.isFinite(expected[i])) continue;
    count++;
    const excess = difference / limit;
    if (!(excess <= worst)) {
      index = i;
      worst = Number.isNaN(excess) ? Number.POSITIVE_INFINITY : excess;
    }
  }
  return count === 0 ? null : { count, index };
}
