// The micro-kernel of asm/lib/gemm.ts and what its size decides: 6×8, the tile for engines that work on 128 bits at a time. The
// other size is tile.wide.ts; both have the same names, and the build puts one or the other into a module.

import { madd, WINOGRAD_ROW_BYTES as ROW_BYTES, ZERO_LINE } from './abi';

/** Columns of a tile. */
export const NR: i32 = 8;

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
  // Sums start from C or from zeros.
  let from = accumulate ? c : ZERO_LINE;
  const step = accumulate ? stride : 0;
  let c00 = v128.load(from);
  let c01 = v128.load(from, 16);
  from += step;
  let c10 = v128.load(from);
  let c11 = v128.load(from, 16);
  from += step;
  let c20 = v128.load(from);
  let c21 = v128.load(from, 16);
  from += step;
  let c30 = v128.load(from);
  let c31 = v128.load(from, 16);
  from += step;
  let c40 = v128.load(from);
  let c41 = v128.load(from, 16);
  from += step;
  let c50 = v128.load(from);
  let c51 = v128.load(from, 16);
  for (let k = depth; k > 0; k--) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let x = v128.load32_splat(a);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    x = byRows ? v128.load32_splat(a, 1 * ROW_BYTES) : v128.load32_splat(a, 4);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    x = byRows ? v128.load32_splat(a, 2 * ROW_BYTES) : v128.load32_splat(a, 8);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    x = byRows ? v128.load32_splat(a, 3 * ROW_BYTES) : v128.load32_splat(a, 12);
    c30 = madd(x, b0, c30);
    c31 = madd(x, b1, c31);
    x = byRows ? v128.load32_splat(a, 4 * ROW_BYTES) : v128.load32_splat(a, 16);
    c40 = madd(x, b0, c40);
    c41 = madd(x, b1, c41);
    x = byRows ? v128.load32_splat(a, 5 * ROW_BYTES) : v128.load32_splat(a, 20);
    c50 = madd(x, b0, c50);
    c51 = madd(x, b1, c51);
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

/** NR consecutive floats: a row of a panel of B. */
// @ts-ignore: decorator
@inline
export function copyToB(to: usize, from: usize): void {
  v128.store(to, v128.load(from));
  v128.store(to, v128.load(from, 16), 16);
}
