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
 * y = activation(source + bias) for a block of `rows` rows and `columns` columns whose first element is `offset` bytes
 * into row 0. `source` may be y itself. Adds the columns' sums to `sums` and `squares` unless `sums` is 0.
 * `bias`, `sums` and `squares` are addresses of the block's first column, `y` and `derivative` of its first element.
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
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column += 4) {
      const at = (<usize>column) << 2;
      const lanes = min(4, columns - column);
      let v = loadLanes(source + at, lanes);
      if (bias) v = f32x4.add(v, loadLanes(bias + at, lanes));
      if (activation == GELU) {
        const u = v;
        const e = expHalfSquare(u);
        const cdf = normalCdf(u, e);
        v = gelu(u, cdf);
        if (derivative) storeLanes(derivative + at, geluDerivative(u, e, cdf), lanes);
      } else if (activation == RELU) {
        v = f32x4.pmax(v, f32x4.splat(0)); // this order keeps NaN
      }
      storeLanes(y + at, v, lanes);
      if (sums) {
        // Padded to whole vectors by the caller.
        v128.store(sums + at, f32x4.add(v128.load(sums + at), v));
        v128.store(squares + at, madd(v, v, v128.load(squares + at)));
      }
    }
    source += sourceStride;
    y += stride;
    if (derivative) derivative += stride;
  }
}
