// GELU in its exact form, x·Φ(x), and its derivative, Φ(x) + x·φ(x), both from one exponential: four lanes at a time.
//
//   const e = expHalfSquare(x);          // exp(−x²/2) = √(2π)·φ(x)
//   const cdf = normalCdf(x, e);         // Φ(x)
//   value = gelu(x, cdf);  derivative = geluDerivative(x, e, cdf);
//
// Both differ from the true ones by less than 1e-6. Any float is fine: ±infinity gives the limits, NaN gives NaN.

import { madd } from './abi';
import { all, Constant } from './table';

/**
 * Clamps to where something happens: exp(−x²/2) stays a normal number and x·φ(x) cannot overflow. The order of pmin's and
 * pmax's operands lets NaN through.
 */
// @ts-ignore: decorator
@inline
function clamp(x: v128): v128 {
  return f32x4.pmin(f32x4.pmax(x, all(Constant.minusLimit)), all(Constant.limit));
}

/** exp(−x²/2) = 2^k·exp r, where −x²/2 = k·ln 2 + r with an integer k and |r| ≤ ln 2 / 2; 2^k is added to the exponent. */
// @ts-ignore: decorator
@inline
export function expHalfSquare(x: v128): v128 {
  const c = clamp(x);
  const power = f32x4.mul(f32x4.mul(c, c), all(Constant.minusHalf));
  const shifted = madd(power, all(Constant.inverseLn2), all(Constant.rounder));
  const r = madd(f32x4.sub(shifted, all(Constant.rounder)), all(Constant.minusLn2), power);
  let p = madd(all(Constant.e6), r, all(Constant.e5));
  p = madd(p, r, all(Constant.e4));
  p = madd(p, r, all(Constant.e3));
  p = madd(p, r, all(Constant.half));
  p = madd(p, r, all(Constant.one));
  p = madd(p, r, all(Constant.one));
  return i32x4.add(p, i32x4.shl(shifted, 23));
}

/** Φ(x), the distribution function of the normal distribution, given e = exp(−x²/2). */
// @ts-ignore: decorator
@inline
export function normalCdf(x: v128, e: v128): v128 {
  const t = f32x4.div(all(Constant.one), madd(f32x4.abs(x), all(Constant.erf0), all(Constant.one)));
  let p = madd(all(Constant.erf5), t, all(Constant.erf4));
  p = madd(p, t, all(Constant.erf3));
  p = madd(p, t, all(Constant.erf2));
  p = madd(p, t, all(Constant.erf1));
  // Φ(|x|) − 1/2, which then takes the sign of x: it is never negative itself.
  const above = f32x4.sub(all(Constant.half), f32x4.mul(f32x4.mul(p, t), e));
  return f32x4.add(all(Constant.half), v128.or(above, v128.and(x, all(Constant.signBit))));
}

/** x·Φ(x); the clamp makes it 0 at −infinity. */
// @ts-ignore: decorator
@inline
export function gelu(x: v128, cdf: v128): v128 {
  return f32x4.mul(f32x4.pmax(x, all(Constant.minusLimit)), cdf);
}

/** Φ(x) + x·φ(x). */
// @ts-ignore: decorator
@inline
export function geluDerivative(x: v128, e: v128, cdf: v128): v128 {
  return madd(f32x4.mul(clamp(x), all(Constant.density)), e, cdf);
}

/** The value alone. */
// @ts-ignore: decorator
@inline
export function geluOf(x: v128): v128 {
  return gelu(x, normalCdf(x, expHalfSquare(x)));
}

/** The derivative alone. */
// @ts-ignore: decorator
@inline
export function geluSlopeOf(x: v128): v128 {
  const e = expHalfSquare(x);
  return geluDerivative(x, e, normalCdf(x, e));
}
