// The order of an epoch (runtime/data/sampler.ts says which, and does the same in plain loops). Not a kernel over images: it has an
// instance of the module to itself, whose memory holds nothing but the order.

import { SHUFFLE_PURPOSE } from "./args.gen";

const MULTIPLIER_0: u32 = 0xd2511f53;
const MULTIPLIER_1: u32 = 0xcd9e8d57;
const WEYL_0: u32 = 0x9e3779b9;
const WEYL_1: u32 = 0xbb67ae85;

/** Writes to `order` the numbers 0 to size − 1, i32, in the order of the epoch. */
export function shuffle(order: usize, size: i32, key0: u32, key1: u32, epoch: u32): void {
  for (let i = 0; i < size; i++) store<i32>(order + ((<usize>i) << 2), i);
  // The changes of places depend on each other, the draws do not: four of them at a time, for entries i to i − 3.
  for (let i = size - 1; i > 0; i -= 4) {
    const words = firstWords(i, key0, key1, epoch);
    exchange(order, i, i32x4.extract_lane(words, 0));
    if (i > 1) exchange(order, i - 1, i32x4.extract_lane(words, 1));
    if (i > 2) exchange(order, i - 2, i32x4.extract_lane(words, 2));
    if (i > 3) exchange(order, i - 3, i32x4.extract_lane(words, 3));
  }
}

// @ts-ignore: decorator
@inline
function exchange(order: usize, i: i32, word: u32): void {
  // In doubles, as the plain loops have it.
  const j = <u32>((<f64>word * <f64>(i + 1)) / 4294967296.0);
  const a = order + ((<usize>i) << 2);
  const b = order + ((<usize>j) << 2);
  const other = load<i32>(b);
  store<i32>(b, load<i32>(a));
  store<i32>(a, other);
}

/** The first words of four blocks of Philox4x32-10 (asm/lib/philox.ts), at the counters (i, epoch, SHUFFLE_PURPOSE, 0) to (i − 3, …). */
// @ts-ignore: decorator
@inline
function firstWords(i: i32, key0: u32, key1: u32, epoch: u32): v128 {
  let c0 = i32x4.sub(i32x4.splat(i), i32x4(0, 1, 2, 3));
  let c1 = i32x4.splat(epoch);
  let c2 = i32x4.splat(SHUFFLE_PURPOSE);
  let c3 = i32x4.splat(0);
  const multiplier0 = i32x4.splat(MULTIPLIER_0);
  const multiplier1 = i32x4.splat(MULTIPLIER_1);
  for (let round = 0; round < 10; round++) {
    const low0 = i64x2.extmul_low_i32x4_u(c0, multiplier0);
    const high0 = i64x2.extmul_high_i32x4_u(c0, multiplier0);
    const low1 = i64x2.extmul_low_i32x4_u(c2, multiplier1);
    const high1 = i64x2.extmul_high_i32x4_u(c2, multiplier1);
    c0 = v128.xor(v128.xor(v128.shuffle<i32>(low1, high1, 1, 3, 5, 7), c1), i32x4.splat(key0));
    c1 = v128.shuffle<i32>(low1, high1, 0, 2, 4, 6);
    c2 = v128.xor(v128.xor(v128.shuffle<i32>(low0, high0, 1, 3, 5, 7), c3), i32x4.splat(key1));
    c3 = v128.shuffle<i32>(low0, high0, 0, 2, 4, 6);
    key0 += WEYL_0;
    key1 += WEYL_1;
  }
  return c0;
}
