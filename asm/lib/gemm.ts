// Matrix multiplication C = A·B in registers and caches, after Goto: both operands are repacked into panels that the
// micro-kernel reads from front to back.
//
// A comes in panels of MR rows, k-major (MR consecutive floats for each k), B in panels of NR columns (NR consecutive
// floats for each k). Rows and columns that do not fill a panel are zeros. Depth is cut into blocks of at most DEPTH, so
// that a panel of B stays in the first-level cache and a block of A in the second; the next depth block continues the
// sums that the former left in C. Every element of C is therefore one chain of multiply-adds over k in order: neither
// the size of tiles and blocks nor the number of threads changes a bit.
//
// What the matrices mean, and how their rows are found in tensors, is the business of the kernels.

import { madd } from './abi';
import { copyFloats, zeroFloats } from './simd';

/** Rows of a tile: 6×8 needs 12 accumulators, two vectors of B and one of A, which is what 16 registers hold. */
export const MR: i32 = 6;
/** Columns of a tile. */
export const NR: i32 = 8;
/** Longest depth block. */
export const DEPTH: i32 = 256;

/** Bytes of `EDGE` room that `multiply` needs: one tile. */
export const TILE_BYTES: usize = 256;

// @ts-ignore: decorator
@inline
export function ceilDiv(a: i32, b: i32): i32 {
  return (a + b - 1) / b;
}

/** C += A·B for one tile (C = A·B without `accumulate`). `stride`: bytes between rows of C. */
function tile(a: usize, b: usize, depth: i32, c: usize, stride: usize, accumulate: bool): void {
  let c00 = f32x4.splat(0);
  let c01 = c00;
  let c10 = c00;
  let c11 = c00;
  let c20 = c00;
  let c21 = c00;
  let c30 = c00;
  let c31 = c00;
  let c40 = c00;
  let c41 = c00;
  let c50 = c00;
  let c51 = c00;
  const c1 = c + stride;
  const c2 = c1 + stride;
  const c3 = c2 + stride;
  const c4 = c3 + stride;
  const c5 = c4 + stride;
  if (accumulate) {
    c00 = v128.load(c);
    c01 = v128.load(c, 16);
    c10 = v128.load(c1);
    c11 = v128.load(c1, 16);
    c20 = v128.load(c2);
    c21 = v128.load(c2, 16);
    c30 = v128.load(c3);
    c31 = v128.load(c3, 16);
    c40 = v128.load(c4);
    c41 = v128.load(c4, 16);
    c50 = v128.load(c5);
    c51 = v128.load(c5, 16);
  }
  const end = a + ((<usize>(depth * MR)) << 2);
  while (a < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let x = v128.load32_splat(a);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    x = v128.load32_splat(a, 4);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    x = v128.load32_splat(a, 8);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    x = v128.load32_splat(a, 12);
    c30 = madd(x, b0, c30);
    c31 = madd(x, b1, c31);
    x = v128.load32_splat(a, 16);
    c40 = madd(x, b0, c40);
    c41 = madd(x, b1, c41);
    x = v128.load32_splat(a, 20);
    c50 = madd(x, b0, c50);
    c51 = madd(x, b1, c51);
    a += 4 * MR;
    b += 4 * NR;
  }
  v128.store(c, c00);
  v128.store(c, c01, 16);
  v128.store(c1, c10);
  v128.store(c1, c11, 16);
  v128.store(c2, c20);
  v128.store(c2, c21, 16);
  v128.store(c3, c30);
  v128.store(c3, c31, 16);
  v128.store(c4, c40);
  v128.store(c4, c41, 16);
  v128.store(c5, c50);
  v128.store(c5, c51, 16);
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
  tile(a, b, depth, edge, NR * 4, accumulate);
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
      if (rows - i >= MR && columns - j >= NR) tile(panel, b, depth, target, stride, accumulate);
      else edgeTile(panel, b, depth, target, stride, accumulate, min(MR, rows - i), min(NR, columns - j), edge);
      panel += panelA;
      target += <usize>MR * stride;
    }
    b += panelB;
  }
}

// @ts-ignore: decorator
@inline
function lowPairs(a: v128, b: v128): v128 {
  return v128.shuffle<f32>(a, b, 0, 4, 1, 5);
}
// @ts-ignore: decorator
@inline
function highPairs(a: v128, b: v128): v128 {
  return v128.shuffle<f32>(a, b, 2, 6, 3, 7);
}
// @ts-ignore: decorator
@inline
function lowHalves(a: v128, b: v128): v128 {
  return v128.shuffle<f32>(a, b, 0, 1, 4, 5);
}
// @ts-ignore: decorator
@inline
function highHalves(a: v128, b: v128): v128 {
  return v128.shuffle<f32>(a, b, 2, 3, 6, 7);
}

/** A panel of A from MR rows of `n` floats each, anywhere in memory: the transpose of them. */
export function packRows(to: usize, r0: usize, r1: usize, r2: usize, r3: usize, r4: usize, r5: usize, n: i32): void {
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

/** Rows that are dealt out together: each panel gets whole cache lines at a time (panels lie a power of two apart, and so in few sets). */
export const DEAL: i32 = 8;

/**
 * Rows k, k + 1, … of panels of B: `rows` (up to DEAL) rows of `n` consecutive floats, whose addresses are at `pointers`, are
 * dealt out to panels that lie `panelBytes` apart. `to` is row k of the first panel.
 */
export function dealToB(to: usize, panelBytes: usize, pointers: usize, rows: i32, n: i32): void {
  const end = pointers + ((<usize>rows) << 2);
  for (let at: usize = 0; n > 0; at += 4 * NR, n -= NR, to += panelBytes) {
    let row = to;
    for (let p = pointers; p < end; p += 4, row += 4 * NR) {
      const from = load<usize>(p) + at;
      if (n >= NR) {
        v128.store(row, v128.load(from));
        v128.store(row, v128.load(from, 16), 16);
      } else {
        zeroFloats(row, NR);
        copyFloats(row, from, n);
      }
    }
  }
}

/** The same for panels of A, whose columns k, k + 1, … the rows are: A is transposed. */
export function dealToA(to: usize, panelBytes: usize, pointers: usize, rows: i32, n: i32): void {
  const end = pointers + ((<usize>rows) << 2);
  for (let at: usize = 0; n > 0; at += 4 * MR, n -= MR, to += panelBytes) {
    let row = to;
    for (let p = pointers; p < end; p += 4, row += 4 * MR) {
      const from = load<usize>(p) + at;
      if (n >= MR) {
        v128.store(row, v128.load(from));
        store<u64>(row, load<u64>(from, 16), 16);
      } else {
        zeroFloats(row, MR);
        copyFloats(row, from, n);
      }
    }
  }
}

/** A panel of a transposed B: `columns` (up to NR) of its columns are rows of `n` floats, `stride` bytes apart. */
export function packColumns(to: usize, from: usize, stride: usize, columns: i32, n: i32): void {
  let k = 0;
  if (columns == NR) {
    for (; k + 4 <= n; k += 4) {
      transpose4(to, from, stride);
      transpose4(to + 16, from + 4 * stride, stride);
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
