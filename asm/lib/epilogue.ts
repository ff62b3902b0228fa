// What conv and depthwise do to a block of results before it leaves the cache: bias, activation and its derivative, and
// the sums from which batch normalisation gets its statistics.

import { madd } from './abi';
import { expHalfSquare, gelu, geluDerivative, normalCdf } from './gelu';
import { loadLanes, storeLanes } from './simd';

/** Values of `Epilogue.activation`. */
export const NONE: i32 = 0;
export const GELU: i32 = 1;
export const RELU: i32 = 2;

/** Argument words. An address of zero: absent. */
// @ts-ignore: decorator
@unmanaged
export class Epilogue {
  bias: usize;
  activation: i32;
  /** Like the result: gelu'(u). */
  derivative: usize;
  /** Per statistics tile: Σy of each channel, then Σy². */
  partials: usize;
  /** Samples of a tile times pixels. */
  rowsPerTile: i32;
}

/**
 * y = activation(source + bias) for a block of `rows` rows and `columns` columns; strides are bytes from row to row, and
 * `source` may be y itself. Adds the columns' sums to `sums` and `squares` (rounded up to whole vectors) unless `sums` is 0.
 * All addresses are those of the block's first column.
 */
export function finish(
  source: usize,
  sourceStride: usize,
  y: usize,
  derivative: usize,
  stride: usize,
  rows: i32,
  columns: i32,
  bias: usize,
  activation: i32,
  sums: usize,
  squares: usize,
): void {
  const bytes = (<usize>columns) << 2;
  const whole = bytes & ~15;
  for (let row = 0; row < rows; row++) {
    for (let at: usize = 0; at < whole; at += 16) {
      let v = v128.load(source + at);
      if (bias) v = f32x4.add(v, v128.load(bias + at));
      if (activation == GELU) {
        const e = expHalfSquare(v);
        const cdf = normalCdf(v, e);
        if (derivative) v128.store(derivative + at, geluDerivative(v, e, cdf));
        v = gelu(v, cdf);
      } else if (activation == RELU) {
        v = relu(v);
      }
      v128.store(y + at, v);
      if (sums) addTo(sums + at, squares + at, v);
    }
    if (whole < bytes) {
      const lanes = columns & 3;
      let v = loadLanes(source + whole, lanes);
      if (bias) v = f32x4.add(v, loadLanes(bias + whole, lanes));
      if (activation == GELU) {
        const e = expHalfSquare(v);
        const cdf = normalCdf(v, e);
        if (derivative) storeLanes(derivative + whole, geluDerivative(v, e, cdf), lanes);
        v = gelu(v, cdf);
      } else if (activation == RELU) {
        v = relu(v);
      }
      storeLanes(y + whole, v, lanes);
      if (sums) addTo(sums + whole, squares + whole, v);
    }
    source += sourceStride;
    y += stride;
    if (derivative) derivative += stride;
  }
}

/** max(v, 0), with the operands in the order that keeps NaN. */
// @ts-ignore: decorator
@inline
function relu(v: v128): v128 {
  return f32x4.pmax(v, f32x4.splat(0));
}

// @ts-ignore: decorator
@inline
function addTo(sum: usize, square: usize, v: v128): void {
  v128.store(sum, f32x4.add(v128.load(sum), v));
  v128.store(square, madd(v, v, v128.load(square)));
}
