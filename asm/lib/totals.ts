// Long sums over pixels, in two steps: some pixels in f32, in the first cache, and those sums to totals in doubles. A chain in f32
// loses a digit for each ten or hundred times of its length (a bias gradient of an image of 512×512 was off by 2e-3). How many pixels
// come before a step is fixed, so that shapes alone decide the bits.

/** Pixels that are summed in f32. */
export const SUM_PIXELS: i32 = 128;

/**
 * Pixels of a tile of statistics that are summed by themselves before the others, about: its first value may lie far from the mean, their mean
 * hardly can.
 */
export const FIRST_PIXELS: i32 = 8;

/** Most channels that kernels sum side by side: with more, they walk over the pixels once for each so many. */
export const SUM_CHANNELS: i32 = 4096;

/** Floats of a row of sums or, in doubles, of totals: whole vectors. */
// @ts-ignore: decorator
@inline
function wholeVectors(n: i32): usize {
  return <usize>((n + 3) & ~3);
}

/**
 * Mean and variance of a tile: Chan's formula joins those of some pixels after the other. `centre`, the first value of the tile and then the
 * mean so far, is subtracted before summing, so that a mean far from zero costs no digits of the variance.
 */
// @ts-ignore: decorator
@unmanaged
export class TileSums {
  centre: usize;
  /** Σ(y − centre) and Σ(y − centre)² of a part, in f32. */
  sums: usize;
  squares: usize;
  /** Mean and Σ(y − mean)² of all parts before, in doubles. */
  means: usize;
  deviations: usize;
}

/** Bytes of a `TileSums` for `n` channels, with what it points to. */
// @ts-ignore: decorator
@inline
export function tileSumsBytes(n: i32): usize {
  return 32 + 28 * wholeVectors(n);
}

/** Lays a `TileSums` out at `at`, for `n` channels. */
export function placeTileSums(at: usize, n: i32): TileSums {
  const t = changetype<TileSums>(at);
  const row = wholeVectors(n) << 2;
  t.centre = at + 32;
  t.sums = t.centre + row;
  t.squares = t.sums + row;
  t.means = t.squares + row;
  t.deviations = t.means + 2 * row;
  return t;
}

/** A tile begins, for `n` channels from the byte `at` on. */
export function beginTile(t: TileSums, at: usize, n: i32): void {
  const row = wholeVectors(n) << 2;
  memory.fill(t.sums + at, 0, row);
  memory.fill(t.squares + at, 0, row);
  memory.fill(t.means + 2 * at, 0, 2 * row);
  memory.fill(t.deviations + 2 * at, 0, 2 * row);
}

/** Joins a part of `count` pixels with the `before` pixels before it. */
export function joinTile(t: TileSums, at: usize, n: i32, before: i32, count: i32): void {
  const inverse = f64x2.splat(1 / <f64>count);
  const share = f64x2.splat(<f64>count / <f64>(before + count));
  const weight = f64x2.splat((<f64>before * <f64>count) / <f64>(before + count));
  const end = at + (wholeVectors(n) << 2);
  for (; at < end; at += 16) {
    const centre = v128.load(t.centre + at);
    const sum = v128.load(t.sums + at);
    const square = v128.load(t.squares + at);
    const mean = t.means + 2 * at;
    const deviation = t.deviations + 2 * at;
    joinPair(mean, deviation, centre, sum, square, inverse, share, weight);
    const high = v128.shuffle<i64>(centre, centre, 1, 1);
    joinPair(mean + 16, deviation + 16, high, v128.shuffle<i64>(sum, sum, 1, 1), v128.shuffle<i64>(square, square, 1, 1), inverse, share, weight);
    v128.store(t.sums + at, f32x4.splat(0));
    v128.store(t.squares + at, f32x4.splat(0));
    const low = f32x4.demote_f64x2_zero(v128.load(mean));
    v128.store(t.centre + at, v128.shuffle<i64>(low, f32x4.demote_f64x2_zero(v128.load(mean, 16)), 0, 2));
  }
}

/** The lower two channels of `centre`, `sum` and `square`. */
// @ts-ignore: decorator
@inline
function joinPair(mean: usize, deviation: usize, centre: v128, sum: v128, square: v128, inverse: v128, share: v128, weight: v128): void {
  const s = f64x2.promote_low_f32x4(sum);
  const m = f64x2.mul(s, inverse);
  const own = f64x2.sub(f64x2.promote_low_f32x4(square), f64x2.mul(s, m));
  const before = v128.load(mean);
  const delta = f64x2.sub(f64x2.add(f64x2.promote_low_f32x4(centre), m), before);
  v128.store(mean, f64x2.add(before, f64x2.mul(delta, share)));
  v128.store(deviation, f64x2.add(v128.load(deviation), f64x2.add(own, f64x2.mul(f64x2.mul(delta, delta), weight))));
}

/** Mean and Σ(y − mean)² of a tile whose parts have been joined. */
export function storeTile(t: TileSums, at: usize, n: i32, mean: usize, squares: usize): void {
  const end = at + ((<usize>n) << 2);
  for (; at < end; at += 4, mean += 4, squares += 4) {
    store<f32>(mean, <f32>load<f64>(t.means + 2 * at));
    // What rounding left of nothing may be less than nothing.
    store<f32>(squares, <f32>max<f64>(load<f64>(t.deviations + 2 * at), 0));
  }
}

/** totals += sums of `n` channels, and sums = 0. */
export function drain(totals: usize, sums: usize, n: i32): void {
  const end = sums + (wholeVectors(n) << 2);
  for (; sums < end; sums += 16, totals += 32) {
    const v = v128.load(sums);
    v128.store(totals, f64x2.add(v128.load(totals), f64x2.promote_low_f32x4(v)));
    v128.store(totals, f64x2.add(v128.load(totals, 16), f64x2.promote_low_f32x4(v128.shuffle<i64>(v, v, 1, 1))), 16);
    v128.store(sums, f32x4.splat(0));
  }
}

/** totals += `n` floats. Touches nothing beyond them. */
export function addToTotals(totals: usize, from: usize, n: i32): void {
  const end = from + ((<usize>n) << 2);
  for (; from + 16 <= end; from += 16, totals += 32) {
    const v = v128.load(from);
    v128.store(totals, f64x2.add(v128.load(totals), f64x2.promote_low_f32x4(v)));
    v128.store(totals, f64x2.add(v128.load(totals, 16), f64x2.promote_low_f32x4(v128.shuffle<i64>(v, v, 1, 1))), 16);
  }
  for (; from < end; from += 4, totals += 8) store<f64>(totals, load<f64>(totals) + <f64>load<f32>(from));
}

/** Totals of `n` channels as floats. */
export function storeTotals(to: usize, totals: usize, n: i32): void {
  const end = to + ((<usize>n) << 2);
  for (; to < end; to += 4, totals += 8) store<f32>(to, <f32>load<f64>(totals));
}
