// Philox4x32-10, the counter-based generator behind every random number of the package (Salmon et al., "Parallel random
// numbers: as easy as 1, 2, 3", 2011). A draw is a pure function of seed and counter: there is no generator state, so the
// number of threads, the order of work, a retry or a resume cannot change it. The word layouts, which belong to those who
// draw, are in ARCHITECTURE.md; asm/kernels holds the same function for the wasm device.

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;

/** Third word of the counter: what a draw is for. Never give a number a second meaning. */
export const PURPOSE = {
  shuffle: 1,
  augment: 2,
  synthetic: 3,
  erase: 4,
  folder: 5,
  warp: 6,
  colour: 7,
  policy: 8,
  mix: 9,
  split: 10,
  balance: 12,
  dropout: 16,
  initializer: 256,
} as const;

/** The two key words of a 64-bit seed: low word, high word. */
export const philoxKey = (seed: bigint): [number, number] => [Number(BigInt.asUintN(32, seed)), Number(BigInt.asUintN(32, seed >> 32n))];

/** High 32 bits of the 64-bit product of two 32-bit words, by 16-bit halves: no partial sum leaves the integers below 2³². */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  return aHigh * bHigh + (middle >>> 16) + ((aLow * bHigh + (middle & 0xffff)) >>> 16);
}

/**
 * Writes the four random words of one block to `out[0..3]`.
 *
 * Allocates nothing: callers in loops pass the same arrays again. `key` has two words (`philoxKey`), `counter` four:
 * (sample, epoch, purpose, block). Words are taken modulo 2³².
 */
export function philox4x32(key: ArrayLike<number>, counter: ArrayLike<number>, out: Uint32Array): void {
  let c0 = counter[0];
  let c1 = counter[1];
  let c2 = counter[2];
  let c3 = counter[3];
  let k0 = key[0];
  let k1 = key[1];
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const low0 = Math.imul(MULTIPLIER_0, c0);
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low1 = Math.imul(MULTIPLIER_1, c2);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = (k0 + WEYL_0) | 0;
    k1 = (k1 + WEYL_1) | 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}
