// Sums over the pixels of a tile, channel by channel.

import { SCRATCH } from './abi';
import { drain, storeTotals, SUM_CHANNELS, SUM_PIXELS } from './totals';

const SUMS = SCRATCH;
const TOTALS = SUMS + 4 * SUM_CHANNELS;

/** sums[c] = Σ x[p][c] over `pixels` pixels of `width` bytes. In the thread's scratch. */
export function sumColumns(sums: usize, x: usize, pixels: i32, width: usize): void {
  for (let column: usize = 0; column < width; column += 4 * SUM_CHANNELS) {
    const bytes = min<usize>(4 * SUM_CHANNELS, width - column);
    const n = <i32>(bytes >> 2);
    memory.fill(SUMS, 0, bytes + 12);
    memory.fill(TOTALS, 0, 2 * (bytes + 12));
    for (let pixel = 0; pixel < pixels; pixel += SUM_PIXELS) {
      addColumns(SUMS, x + <usize>pixel * width + column, min(SUM_PIXELS, pixels - pixel), width, bytes);
      drain(TOTALS, SUMS, n);
    }
    storeTotals(sums + column, TOTALS, n);
  }
}

/**
 * sum[c] += Σ x[p][c] of `bytes` bytes of `pixels` pixels, `width` bytes apart. Reads x strictly in its order, with the sums in memory, where
 * they stay in the first cache: taking several pixels at a time spares loads of the sums but was three times slower, because the
 * processor prefetches only what is read in order; walking down columns was slower still.
 */
// @ts-ignore: decorator
@inline
function addColumns(sum: usize, x: usize, pixels: i32, width: usize, bytes: usize): void {
  const vectors = bytes & ~15;
  const end = x + <usize>pixels * width;
  for (let at = x; at < end; at += width) {
    let c: usize = 0;
    for (; c < vectors; c += 16) v128.store(sum + c, f32x4.add(v128.load(sum + c), v128.load(at + c)));
    for (; c < bytes; c += 4) store<f32>(sum + c, load<f32>(sum + c) + load<f32>(at + c));
  }
}
