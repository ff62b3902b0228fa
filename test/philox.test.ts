// Philox against the known answers of its authors, and the layout of its key.

import { expect, test } from 'vitest';
import { philox4x32, philoxKey } from '../runtime/base/philox.ts';

const draw = (key: number[], counter: number[]): string => {
  const out = new Uint32Array(4);
  philox4x32(key, counter, out);
  return [...out].map((word) => word.toString(16).padStart(8, '0')).join(' ');
};

test('known answers of Random123', () => {
  expect(draw([0, 0], [0, 0, 0, 0])).toBe('6627e8d5 e169c58d bc57ac4c 9b00dbd8');
  expect(draw([0xffffffff, 0xffffffff], [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff])).toBe('408f276d 41c83b0e a20bc7c6 6d5451fd');
  expect(draw([0xa4093822, 0x299f31d0], [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344])).toBe('d16cfe09 94fdcceb 5001e420 24126ea1');
});

test('signed and unsigned words are the same words', () => {
  expect(draw([-1, -1], [-1, -1, -1, -1])).toBe('408f276d 41c83b0e a20bc7c6 6d5451fd');
});

test('the key is the low and the high word of the seed', () => {
  expect(philoxKey(0x299f31d0a4093822n)).toEqual([0xa4093822, 0x299f31d0]);
  expect(philoxKey(42n)).toEqual([42, 0]);
  expect(philoxKey(2n ** 64n - 1n)).toEqual([0xffffffff, 0xffffffff]);
});

test('words are uniform and the blocks of a sample differ', () => {
  const out = new Uint32Array(4);
  const blocks = 20_000;
  const sums = [0, 0, 0, 0];
  const seen = new Set<number>();
  for (let block = 0; block < blocks; block++) {
    philox4x32([7, 0], [3, 1, 16, block], out);
    for (let i = 0; i < 4; i++) sums[i] += out[i] / 2 ** 32;
    seen.add(out[0]);
  }
  // The mean of n uniform numbers has a standard deviation of 1/√(12n) = 0.002.
  for (const sum of sums) expect(Math.abs(sum / blocks - 0.5)).toBeLessThan(0.01);
  expect(seen.size).toBeGreaterThan(blocks - 10);
});
