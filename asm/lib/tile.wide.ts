// The micro-kernel for V8's revectorizer, which joins pairs of 128-bit operations on adjacent data into operations on 256
// bits: 4×16, where every load, multiply-add and store of B and C has a neighbour to be joined with. Without the
// revectorizer it runs out of registers; tile.ts is the size for that. The same names, the same bits.

import { madd, ZERO_LINE } from './abi';
import { highHalves, highPairs, lowHalves, lowPairs } from './transpose';

/** Rows of a tile: joined, 4×16 needs 8 accumulators, two vectors of B and one of A. */
export const MR: i32 = 4;
/** Columns of a tile. */
export const NR: i32 = 16;

/** C += A·B for one tile (C = A·B without `accumulate`). `stride`: bytes between rows of C. */
export function tile(a: usize, b: usize, depth: i32, c: usize, stride: usize, accumulate: bool): void {
  // Sums start from C or from zeros, always by loads: the revectorizer joins these, but not a choice of load or constant.
  let from = accumulate ? c : ZERO_LINE;
  const step = accumulate ? stride : 0;
  let c00 = v128.load(from);
  let c01 = v128.load(from, 16);
  let c02 = v128.load(from, 32);
  let c03 = v128.load(from, 48);
  from += step;
  let c10 = v128.load(from);
  let c11 = v128.load(from, 16);
  let c12 = v128.load(from, 32);
  let c13 = v128.load(from, 48);
  from += step;
  let c20 = v128.load(from);
  let c21 = v128.load(from, 16);
  let c22 = v128.load(from, 32);
  let c23 = v128.load(from, 48);
  from += step;
  let c30 = v128.load(from);
  let c31 = v128.load(from, 16);
  let c32 = v128.load(from, 32);
  let c33 = v128.load(from, 48);
  const end = a + ((<usize>(depth * MR)) << 2);
  while (a < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const b2 = v128.load(b, 32);
    const b3 = v128.load(b, 48);
    let x = v128.load32_splat(a);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    c02 = madd(x, b2, c02);
    c03 = madd(x, b3, c03);
    x = v128.load32_splat(a, 4);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    c12 = madd(x, b2, c12);
    c13 = madd(x, b3, c13);
    x = v128.load32_splat(a, 8);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    c22 = madd(x, b2, c22);
    c23 = madd(x, b3, c23);
    x = v128.load32_splat(a, 12);
    c30 = madd(x, b0, c30);
    c31 = madd(x, b1, c31);
    c32 = madd(x, b2, c32);
    c33 = madd(x, b3, c33);
    a += 4 * MR;
    b += 4 * NR;
  }
  const c1 = c + stride;
  const c2 = c1 + stride;
  const c3 = c2 + stride;
  v128.store(c, c00);
  v128.store(c, c01, 16);
  v128.store(c, c02, 32);
  v128.store(c, c03, 48);
  v128.store(c1, c10);
  v128.store(c1, c11, 16);
  v128.store(c1, c12, 32);
  v128.store(c1, c13, 48);
  v128.store(c2, c20);
  v128.store(c2, c21, 16);
  v128.store(c2, c22, 32);
  v128.store(c2, c23, 48);
  v128.store(c3, c30);
  v128.store(c3, c31, 16);
  v128.store(c3, c32, 32);
  v128.store(c3, c33, 48);
}

/** NR consecutive floats: a row of a panel of B. */
// @ts-ignore: decorator
@inline
export function copyToB(to: usize, from: usize): void {
  const b0 = v128.load(from);
  const b1 = v128.load(from, 16);
  const b2 = v128.load(from, 32);
  const b3 = v128.load(from, 48);
  v128.store(to, b0);
  v128.store(to, b1, 16);
  v128.store(to, b2, 32);
  v128.store(to, b3, 48);
}

/** MR consecutive floats: a column of a panel of A. */
// @ts-ignore: decorator
@inline
export function copyToA(to: usize, from: usize): void {
  v128.store(to, v128.load(from));
}

/** A panel of A from MR rows of `n` floats each, whose addresses are at `rows`: the transpose of them. */
export function packRows(to: usize, rows: usize, n: i32): void {
  let r0 = load<usize>(rows);
  let r1 = load<usize>(rows, 4);
  let r2 = load<usize>(rows, 8);
  let r3 = load<usize>(rows, 12);
  let k = 0;
  for (; k + 4 <= n; k += 4) {
    const x0 = v128.load(r0);
    const x1 = v128.load(r1);
    const x2 = v128.load(r2);
    const x3 = v128.load(r3);
    const low01 = lowPairs(x0, x1);
    const low23 = lowPairs(x2, x3);
    const high01 = highPairs(x0, x1);
    const high23 = highPairs(x2, x3);
    v128.store(to, lowHalves(low01, low23));
    v128.store(to, highHalves(low01, low23), 16);
    v128.store(to, lowHalves(high01, high23), 32);
    v128.store(to, highHalves(high01, high23), 48);
    to += 4 * 4 * MR;
    r0 += 16;
    r1 += 16;
    r2 += 16;
    r3 += 16;
  }
  for (; k < n; k++) {
    store<f32>(to, load<f32>(r0));
    store<f32>(to, load<f32>(r1), 4);
    store<f32>(to, load<f32>(r2), 8);
    store<f32>(to, load<f32>(r3), 12);
    to += 4 * MR;
    r0 += 4;
    r1 += 4;
    r2 += 4;
    r3 += 4;
  }
}
