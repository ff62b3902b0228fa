// Matrix multiplication C = A·B in registers and caches, after Goto: operands are repacked into panels that the micro-kernel reads from
// front to back, or made as rows that it reads as they are (`multiplyRows`, `multiplyTransposed`).
//
// A comes in panels of MR rows, k-major (MR consecutive floats for each k), B in panels of NR columns (NR consecutive
// floats for each k). Rows and columns that do not fill a panel are zeros. Depth is cut into blocks of at most DEPTH, so
// that a panel of B stays in the first-level cache and a block of A in the second; the next depth block continues the
// sums that the former left in C. Every element of C is therefore one chain of multiply-adds over k in order: neither
// the size of tiles and blocks nor the number of threads changes a bit.
//
// The size of a tile is that of the micro-kernel, tile.ts, which the build can replace by tile.wide.ts.
//
// What the matrices mean, and how their rows are found in tensors, is the business of the kernels.

import { DEPTH, WINOGRAD_ROW_BYTES as ROW_BYTES } from './abi';
import { copyFloats, zeroFloats } from './simd';
import { accumulateTile, copyToB, NR } from './tile';
import { highHalves, highPairs, lowHalves, lowPairs } from './transpose';

export { DEPTH, NR };

/** Rows of a tile: with 8 columns, or 16 in pairs of vectors, it needs 12 accumulators, two vectors of B and one of A: 16 registers hold that. */
export const MR: i32 = 6;

/** Bytes of `EDGE` room that `multiply` needs: one tile. */
export const TILE_BYTES: usize = <usize>(4 * MR * NR);

// @ts-ignore: decorator
@inline
export function ceilDiv(a: i32, b: i32): i32 {
  return (a + b - 1) / b;
}

/** A tile of which a step of the depth is MR consecutive floats of A and NR of B, and the next is `stepA` and `stepB` bytes further. */
function tile(a: usize, b: usize, depth: i32, c: usize, stride: usize, accumulate: bool, stepA: usize, stepB: usize): void {
  accumulateTile(a, b, depth, c, stride, accumulate, stepA, stepB, false);
}

/** A tile of MR rows of A, ROW_BYTES apart, and a packed panel of B. */
function tileOfRows(a: usize, b: usize, depth: i32, c: usize, stride: usize, accumulate: bool): void {
  accumulateTile(a, b, depth, c, stride, accumulate, 4, 4 * NR, true);
}

/** A tile of which only `rows`×`columns` exist: computed in `edge`, so that nothing beyond them is touched. */
function edgeTile(
  a: usize,
  b: usize,
  depth: i32,
  c: usize,
  stride: usize,
  accumulate: bool,
  rows: i32,
  columns: i32,
  edge: usize,
): void {
  if (accumulate) {
    for (let i = 0; i < rows; i++) copyFloats(edge + <usize>(i * NR * 4), c + <usize>i * stride, columns);
  }
  tile(a, b, depth, edge, NR * 4, accumulate, 4 * MR, 4 * NR);
  for (let i = 0; i < rows; i++) copyFloats(c + <usize>i * stride, edge + <usize>(i * NR * 4), columns);
}

/**
 * Multiplies one depth block of A by one of B: `rows`×`columns` of C. The panels of A and of B lie one after the other.
 * A panel of B is used by all rows before the next one, which keeps it in the first-level cache.
 */
export function multiply(
  a: usize,
  b: usize,
  depth: i32,
  c: usize,
  stride: usize,
  accumulate: bool,
  rows: i32,
  columns: i32,
  edge: usize,
): void {
  const panelA = (<usize>(depth * MR)) << 2;
  const panelB = (<usize>(depth * NR)) << 2;
  for (let j = 0; j < columns; j += NR) {
    let panel = a;
    let target = c + ((<usize>j) << 2);
    for (let i = 0; i < rows; i += MR) {
      if (rows - i >= MR && columns - j >= NR) tile(panel, b, depth, target, stride, accumulate, 4 * MR, 4 * NR);
      else edgeTile(panel, b, depth, target, stride, accumulate, min(MR, rows - i), min(NR, columns - j), edge);
      panel += panelA;
      target += <usize>MR * stride;
    }
    b += panelB;
  }
}

/** The same for whole tiles and an A that is not packed: rows ROW_BYTES apart. */
export function multiplyRows(a: usize, b: usize, depth: i32, c: usize, stride: usize, accumulate: bool, rows: i32, columns: i32): void {
  for (let j = 0; j < columns; j += NR) {
    let panel = a;
    let target = c + ((<usize>j) << 2);
    for (let i = 0; i < rows; i += MR) {
      tileOfRows(panel, b, depth, target, stride, accumulate);
      panel += MR * ROW_BYTES;
      target += <usize>MR * stride;
    }
    b += (<usize>(depth * NR)) << 2;
  }
}

/** The same for whole tiles of an A and a B of which neither is packed: a step of the depth is a row of both, `stepA` and `stepB` bytes from the next. */
export function multiplyTransposed(
  a: usize,
  stepA: usize,
  b: usize,
  stepB: usize,
  depth: i32,
  c: usize,
  stride: usize,
  accumulate: bool,
  rows: i32,
  columns: i32,
): void {
  for (let j = 0; j < columns; j += NR) {
    let panel = a;
    let target = c + ((<usize>j) << 2);
    for (let i = 0; i < rows; i += MR) {
      tile(panel, b, depth, target, stride, accumulate, stepA, stepB);
      panel += 4 * MR;
      target += <usize>MR * stride;
    }
    b += 4 * NR;
  }
}

/** Rows that are dealt out together: a panel gets whole cache lines at a time (panels lie a power of two apart, and so in few sets). */
export const DEAL: i32 = 4;

/**
 * Rows k, k + 1, … of panels of B: `rows` (up to DEAL) rows of `n` consecutive floats, whose addresses are at `pointers`, are
 * dealt out to panels that lie `panelBytes` apart. `to` is row k of the first panel.
 */
export function dealToB(to: usize, panelBytes: usize, pointers: usize, rows: i32, n: i32): void {
  let at: usize = 0;
  if (rows == DEAL) {
    const r0 = load<usize>(pointers);
    const r1 = load<usize>(pointers, 4);
    const r2 = load<usize>(pointers, 8);
    const r3 = load<usize>(pointers, 12);
    for (; n >= NR; n -= NR) {
      copyToB(to, r0 + at);
      copyToB(to + 4 * NR, r1 + at);
      copyToB(to + 8 * NR, r2 + at);
      copyToB(to + 12 * NR, r3 + at);
      at += 4 * NR;
      to += panelBytes;
    }
  }
  for (; n > 0; n -= NR) {
    for (let i = 0; i < rows; i++) {
      const row = to + <usize>(i * 4 * NR);
      const from = load<usize>(pointers + ((<usize>i) << 2)) + at;
      if (n >= NR) {
        copyToB(row, from);
      } else {
        zeroFloats(row, NR);
        copyFloats(row, from, n);
      }
    }
    at += 4 * NR;
    to += panelBytes;
  }
}

/** The same for panels of A, whose columns k, k + 1, … the rows are: A is transposed. */
export function dealToA(to: usize, panelBytes: usize, pointers: usize, rows: i32, n: i32): void {
  let at: usize = 0;
  if (rows == DEAL) {
    const r0 = load<usize>(pointers);
    const r1 = load<usize>(pointers, 4);
    const r2 = load<usize>(pointers, 8);
    const r3 = load<usize>(pointers, 12);
    for (; n >= MR; n -= MR) {
      copyToA(to, r0 + at);
      copyToA(to + 4 * MR, r1 + at);
      copyToA(to + 8 * MR, r2 + at);
      copyToA(to + 12 * MR, r3 + at);
      at += 4 * MR;
      to += panelBytes;
    }
  }
  for (; n > 0; n -= MR) {
    for (let i = 0; i < rows; i++) {
      const row = to + <usize>(i * 4 * MR);
      const from = load<usize>(pointers + ((<usize>i) << 2)) + at;
      if (n >= MR) {
        copyToA(row, from);
      } else {
        zeroFloats(row, MR);
        copyFloats(row, from, n);
      }
    }
    at += 4 * MR;
    to += panelBytes;
  }
}

/** MR consecutive floats: a column of a panel of A. */
// @ts-ignore: decorator
@inline
export function copyToA(to: usize, from: usize): void {
  v128.store(to, v128.load(from));
  store<u64>(to, load<u64>(from, 16), 16);
}

/** A panel of A from MR rows of `n` floats each, whose addresses are at `rows`: the transpose of them. */
export function packRows(to: usize, rows: usize, n: i32): void {
  let r0 = load<usize>(rows);
  let r1 = load<usize>(rows, 4);
  let r2 = load<usize>(rows, 8);
  let r3 = load<usize>(rows, 12);
  let r4 = load<usize>(rows, 16);
  let r5 = load<usize>(rows, 20);
  let k = 0;
  for (; k + 4 <= n; k += 4) {
    const x0 = v128.load(r0);
    const x1 = v128.load(r1);
    const x2 = v128.load(r2);
    const x3 = v128.load(r3);
    const x4 = v128.load(r4);
    const x5 = v128.load(r5);
    const low01 = lowPairs(x0, x1);
    const low23 = lowPairs(x2, x3);
    const low45 = lowPairs(x4, x5);
    const high01 = highPairs(x0, x1);
    const high23 = highPairs(x2, x3);
    const high45 = highPairs(x4, x5);
    v128.store(to, lowHalves(low01, low23));
    v128.store(to, lowHalves(low45, highHalves(low01, low01)), 16);
    v128.store(to, highHalves(low23, low45), 32);
    v128.store(to, lowHalves(high01, high23), 48);
    v128.store(to, lowHalves(high45, highHalves(high01, high01)), 64);
    v128.store(to, highHalves(high23, high45), 80);
    to += 4 * 4 * MR;
    r0 += 16;
    r1 += 16;
    r2 += 16;
    r3 += 16;
    r4 += 16;
    r5 += 16;
  }
  for (; k < n; k++) {
    store<f32>(to, load<f32>(r0));
    store<f32>(to, load<f32>(r1), 4);
    store<f32>(to, load<f32>(r2), 8);
    store<f32>(to, load<f32>(r3), 12);
    store<f32>(to, load<f32>(r4), 16);
    store<f32>(to, load<f32>(r5), 20);
    to += 4 * MR;
    r0 += 4;
    r1 += 4;
    r2 += 4;
    r3 += 4;
    r4 += 4;
    r5 += 4;
  }
}

/** A panel of a transposed B: `columns` (up to NR) of its columns are rows of `n` floats, `stride` bytes apart. */
export function packColumns(to: usize, from: usize, stride: usize, columns: i32, n: i32): void {
  let k = 0;
  if (columns == NR) {
    for (; k + 4 <= n; k += 4) {
      for (let j = 0; j < NR; j += 4) transpose4(to + ((<usize>j) << 2), from + <usize>j * stride, stride);
      from += 16;
      to += 4 * 4 * NR;
    }
  }
  for (; k < n; k++) {
    for (let j = 0; j < NR; j++) store<f32>(to + ((<usize>j) << 2), j < columns ? load<f32>(from + <usize>j * stride) : 0);
    from += 4;
    to += 4 * NR;
  }
}

/** Four rows of four floats, `stride` bytes apart, become four rows of a panel of B. */
// @ts-ignore: decorator
@inline
function transpose4(to: usize, from: usize, stride: usize): void {
  const x0 = v128.load(from);
  const x1 = v128.load(from + stride);
  const x2 = v128.load(from + 2 * stride);
  const x3 = v128.load(from + 3 * stride);
  const low01 = lowPairs(x0, x1);
  const low23 = lowPairs(x2, x3);
  const high01 = highPairs(x0, x1);
  const high23 = highPairs(x2, x3);
  v128.store(to, lowHalves(low01, low23));
  v128.store(to, highHalves(low01, low23), 4 * NR);
  v128.store(to, lowHalves(high01, high23), 8 * NR);
  v128.store(to, highHalves(high01, high23), 12 * NR);
}
