// What conv and depthwise do to a block of results before it leaves the cache: bias, activation and its derivative, and
// the sums from which batch normalisation gets its statistics.

import { ACTIVATION_GELU, ACTIVATION_NONE, ACTIVATION_RELU, Activation, madd } from './abi';
import { activateRows } from './activations.gen';
import { expHalfSquare, gelu, geluDerivative, normalCdf } from './gelu';
import { copyFloats, loadLanes, storeLanes } from './simd';
import { TileSums } from './totals';

/**
 * `finish` for a block of a tile of statistics, whose first channel is `at` bytes from that of `tile`. With `first` the
 * tile begins here, and its first row is the centre of its sums.
 */
export function finishTile(
  source: usize,
  sourceStride: usize,
  y: usize,
  derivative: usize,
  stride: usize,
  rows: i32,
  columns: i32,
  bias: usize,
  activation: Activation,
  tile: TileSums,
  at: usize,
  first: bool,
): void {
  if (first) {
    finish(source, sourceStride, y, derivative, stride, 1, columns, bias, activation, 0, 0, 0);
    copyFloats(tile.centre + at, y, columns);
    source += sourceStride;
    y += stride;
    if (derivative) derivative += stride;
    rows--;
  }
  finish(source, sourceStride, y, derivative, stride, rows, columns, bias, activation, tile.centre + at, tile.sums + at, tile.squares + at);
}

/**
 * y = activation(source + bias) for a block of `rows` rows and `columns` columns; strides are bytes from row to row, and
 * `source` may be y itself. Adds the columns' Σ(y − centre) and Σ(y − centre)² to `sums` and `squares` (all three rounded up to
 * whole vectors) unless `sums` is 0. All addresses are those of the block's first column.
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
  activation: Activation,
  centre: usize,
  sums: usize,
  squares: usize,
): void {
  const code = activation.code;
  if (code > ACTIVATION_RELU) {
    // The block stays in the cache: what the loop below does at once takes three turns.
    finishPart(source, sourceStride, y, 0, stride, rows, columns, bias, ACTIVATION_NONE, 0, 0, 0);
    activateRows(activation, y, derivative, stride, rows, columns);
    if (sums) finishPart(y, stride, y, 0, stride, rows, columns, 0, ACTIVATION_NONE, centre, sums, squares);
  } else {
    finishPart(source, sourceStride, y, derivative, stride, rows, columns, bias, code, centre, sums, squares);
  }
}

/** `finish` with one of the activations that are written here. */
function finishPart(
  source: usize,
  sourceStride: usize,
  y: usize,
  derivative: usize,
  stride: usize,
  rows: i32,
  columns: i32,
  bias: usize,
  activation: i32,
  centre: usize,
  sums: usize,
  squares: usize,
): void {
  for (let row = 0; row < rows; row++) {
    let from = source;
    let to = y;
    let slope = derivative;
    let shift = bias;
    let origin = centre;
    let sum = sums;
    let square = squares;
    // Two vectors at a time, every step of one beside that of the other: V8's revectorizer joins such pairs, if all
    // addresses are variables.
    let left = columns;
    for (; left >= 8; left -= 8) {
      let v0 = v128.load(from);
      let v1 = v128.load(from, 16);
      if (bias) {
        const b0 = v128.load(shift);
        const b1 = v128.load(shift, 16);
        v0 = f32x4.add(v0, b0);
        v1 = f32x4.add(v1, b1);
      }
      if (activation == ACTIVATION_GELU) {
        const e0 = expHalfSquare(v0);
        const e1 = expHalfSquare(v1);
        const cdf0 = normalCdf(v0, e0);
        const cdf1 = normalCdf(v1, e1);
        if (derivative) {
          const d0 = geluDerivative(v0, e0, cdf0);
          const d1 = geluDerivative(v1, e1, cdf1);
          v128.store(slope, d0);
          v128.store(slope, d1, 16);
        }
        v0 = gelu(v0, cdf0);
        v1 = gelu(v1, cdf1);
      } else if (activation == ACTIVATION_RELU) {
        v0 = relu(v0);
        v1 = relu(v1);
      }
      v128.store(to, v0);
      v128.store(to, v1, 16);
      if (sums) {
        const o0 = v128.load(origin);
        const o1 = v128.load(origin, 16);
        v0 = f32x4.sub(v0, o0);
        v1 = f32x4.sub(v1, o1);
        const s0 = v128.load(sum);
        const s1 = v128.load(sum, 16);
        const q0 = v128.load(square);
        const q1 = v128.load(square, 16);
        v128.store(sum, f32x4.add(s0, v0));
        v128.store(sum, f32x4.add(s1, v1), 16);
        v128.store(square, madd(v0, v0, q0));
        v128.store(square, madd(v1, v1, q1), 16);
      }
      from += 32;
      to += 32;
      slope += 32;
      shift += 32;
      origin += 32;
      sum += 32;
      square += 32;
    }
    for (; left > 0; left -= 4) {
      const lanes = min(left, 4);
      let v = loadLanes(from, lanes);
      if (bias) v = f32x4.add(v, loadLanes(shift, lanes));
      if (activation == ACTIVATION_GELU) {
        const e = expHalfSquare(v);
        const cdf = normalCdf(v, e);
        if (derivative) storeLanes(slope, geluDerivative(v, e, cdf), lanes);
        v = gelu(v, cdf);
      } else if (activation == ACTIVATION_RELU) {
        v = relu(v);
      }
      storeLanes(to, v, lanes);
      if (sums) {
        v = f32x4.sub(v, v128.load(origin));
        v128.store(sum, f32x4.add(v128.load(sum), v));
        v128.store(square, madd(v, v, v128.load(square)));
      }
      from += 16;
      to += 16;
      slope += 16;
      shift += 16;
      origin += 16;
      sum += 16;
      square += 16;
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
