// GELU in its exact form, x·Φ(x), and its derivative, Φ(x) + x·φ(x), both from one exponential: four lanes at a time.
//
//   const e = expHalfSquare(x);          // exp(−x²/2) = √(2π)·φ(x)
//   const cdf = normalCdf(x, e);         // Φ(x)
//   value = gelu(x, cdf);  derivative = geluDerivative(x, e, cdf);
//
// Both differ from the true ones by less than 1e-6. Any float is fine: ±infinity gives the limits, NaN gives NaN.

import { madd } from './abi';

// Beyond ±13 Φ is 0 or 1 and φ is 0 in f32. Clamping there keeps exp(−x²/2) a normal number and x·φ(x) from
// overflowing. The order of pmin's and pmax's operands lets NaN through.
// @ts-ignore: decorator
@inline
function clamp(x: v128): v128 {
  return f32x4.pmin(f32x4.pmax(x, f32x4.splat(-13)), f32x4.splat(13));
}

/**
 * exp(−x²/2): −x²/2 = k·ln 2 + r with an integer k and |r| ≤ ln 2 / 2, and then 2^k by adding k to the exponent of a
 * polynomial for exp r. Adding 1.5·2²³ rounds to an integer and leaves it in the lowest bits.
 */
// @ts-ignore: decorator
@inline
export function expHalfSquare(x: v128): v128 {
  const c = clamp(x);
  const power = f32x4.mul(f32x4.mul(c, c), f32x4.splat(-0.5));
  const shifted = madd(power, f32x4.splat(1.4426950408889634), f32x4.splat(12582912));
  const r = madd(f32x4.sub(shifted, f32x4.splat(12582912)), f32x4.splat(-0.6931471805599453), power);
  let p = madd(f32x4.splat(1.0 / 720), r, f32x4.splat(1.0 / 120));
  p = madd(p, r, f32x4.splat(1.0 / 24));
  p = madd(p, r, f32x4.splat(1.0 / 6));
  p = madd(p, r, f32x4.splat(0.5));
  p = madd(p, r, f32x4.splat(1));
  p = madd(p, r, f32x4.splat(1));
  return i32x4.add(p, i32x4.shl(shifted, 23));
}

/** Φ(x), the distribution function of the normal distribution, given e = exp(−x²/2): Abramowitz and Stegun 7.1.26. */
// @ts-ignore: decorator
@inline
export function normalCdf(x: v128, e: v128): v128 {
  const t = f32x4.div(f32x4.splat(1), madd(f32x4.abs(x), f32x4.splat(0.3275911 * 0.7071067811865476), f32x4.splat(1)));
  let p = madd(f32x4.splat(0.5 * 1.061405429), t, f32x4.splat(0.5 * -1.453152027));
  p = madd(p, t, f32x4.splat(0.5 * 1.421413741));
  p = madd(p, t, f32x4.splat(0.5 * -0.284496736));
  p = madd(p, t, f32x4.splat(0.5 * 0.254829592));
  // Φ(|x|) − 1/2, which then takes the sign of x: it is never negative itself.
  const half = f32x4.sub(f32x4.splat(0.5), f32x4.mul(f32x4.mul(p, t), e));
  return f32x4.add(f32x4.splat(0.5), v128.or(half, v128.and(x, i32x4.splat(0x80000000))));
}

/** x·Φ(x); the clamp makes it 0 at −infinity. */
// @ts-ignore: decorator
@inline
export function gelu(x: v128, cdf: v128): v128 {
  return f32x4.mul(f32x4.pmax(x, f32x4.splat(-13)), cdf);
}

/** Φ(x) + x·φ(x). */
// @ts-ignore: decorator
@inline
export function geluDerivative(x: v128, e: v128, cdf: v128): v128 {
  return madd(f32x4.mul(clamp(x), f32x4.splat(0.3989422804014327)), e, cdf);
}
