// The micro-kernel for V8's revectorizer, which joins pairs of 128-bit operations on adjacent data into operations on 256
// bits: 6×16, where every load, multiply-add and store of B and C has a neighbour to be joined with. Without the
// revectorizer it runs out of registers; tile.ts is the size for that. The same names, the same bits.

import { madd, WINOGRAD_ROW_BYTES as ROW_BYTES, ZERO_LINE } from './abi';

/** Columns of a tile. */
export const NR: i32 = 16;

/**
 * C += A·B for one tile (C = A·B without `accumulate`). `stride`: bytes between rows of C; `stepA`, `stepB`: bytes from a step of
 * the depth to the next. The elements of a step are side by side in B, and in A too, or, `byRows`, ROW_BYTES apart, as in
 * Winograd's tiles (asm/kernels/winograd.ts): a constant, because that takes no register in the loop.
 */
// @ts-ignore: decorator
@inline
export function accumulateTile(
  a: usize,
  b: usize,
  depth: i32,
  c: usize,
  stride: usize,
  accumulate: bool,
  stepA: usize,
  stepB: usize,
  byRows: bool,
): void {
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
  from += step;
  let c40 = v128.load(from);
  let c41 = v128.load(from, 16);
  let c42 = v128.load(from, 32);
  let c43 = v128.load(from, 48);
  from += step;
  let c50 = v128.load(from);
  let c51 = v128.load(from, 16);
  let c52 = v128.load(from, 32);
  let c53 = v128.load(from, 48);
  for (let k = depth; k > 0; k--) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const b2 = v128.load(b, 32);
    const b3 = v128.load(b, 48);
    let x = v128.load32_splat(a);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    c02 = madd(x, b2, c02);
    c03 = madd(x, b3, c03);
    x = byRows ? v128.load32_splat(a, 1 * ROW_BYTES) : v128.load32_splat(a, 4);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    c12 = madd(x, b2, c12);
    c13 = madd(x, b3, c13);
    x = byRows ? v128.load32_splat(a, 2 * ROW_BYTES) : v128.load32_splat(a, 8);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    c22 = madd(x, b2, c22);
    c23 = madd(x, b3, c23);
    x = byRows ? v128.load32_splat(a, 3 * ROW_BYTES) : v128.load32_splat(a, 12);
    c30 = madd(x, b0, c30);
    c31 = madd(x, b1, c31);
    c32 = madd(x, b2, c32);
    c33 = madd(x, b3, c33);
    x = byRows ? v128.load32_splat(a, 4 * ROW_BYTES) : v128.load32_splat(a, 16);
    c40 = madd(x, b0, c40);
    c41 = madd(x, b1, c41);
    c42 = madd(x, b2, c42);
    c43 = madd(x, b3, c43);
    x = byRows ? v128.load32_splat(a, 5 * ROW_BYTES) : v128.load32_splat(a, 20);
    c50 = madd(x, b0, c50);
    c51 = madd(x, b1, c51);
    c52 = madd(x, b2, c52);
    c53 = madd(x, b3, c53);
    a += stepA;
    b += stepB;
  }
  const c1 = c + stride;
  const c2 = c1 + stride;
  const c3 = c2 + stride;
  const c4 = c3 + stride;
  const c5 = c4 + stride;
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
  v128.store(c4, c40);
  v128.store(c4, c41, 16);
  v128.store(c4, c42, 32);
  v128.store(c4, c43, 48);
  v128.store(c5, c50);
  v128.store(c5, c51, 16);
  v128.store(c5, c52, 32);
  v128.store(c5, c53, 48);
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
