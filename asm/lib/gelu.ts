// GELU in its exact form, x·Φ(x), and its derivative, Φ(x) + x·φ(x), both from one exponential: four lanes at a time.
//
//   const e = expHalfSquare(x);          // exp(−x²/2) = √(2π)·φ(x)
//   const cdf = normalCdf(x, e);         // Φ(x)
//   value = gelu(x, cdf);  derivative = geluDerivative(x, e, cdf);
//
// Both differ from the true ones by less than 1e-6. Any float is fine: ±infinity gives the limits, NaN gives NaN.

import { madd } from './abi';

// Variables, although they never change: V8 puts a constant vector together anew (several instructions) wherever it is used
// in a loop, but reads a variable in one. This makes the kernels more than twice as fast, at any level of optimization.
let one: v128 = f32x4.splat(1);
let half: v128 = f32x4.splat(0.5);
let minusHalf: v128 = f32x4.splat(-0.5);
let signBit: v128 = i32x4.splat(0x80000000);
// Beyond ±13 Φ is 0 or 1 and φ is 0 in f32.
let limit: v128 = f32x4.splat(13);
let minusLimit: v128 = f32x4.splat(-13);
let inverseLn2: v128 = f32x4.splat(1.4426950408889634);
let minusLn2: v128 = f32x4.splat(-0.6931471805599453);
/** 1.5·2²³: adding it rounds to an integer and leaves that in the lowest bits. */
let rounder: v128 = f32x4.splat(12582912);
// exp r = 1 + r + r²/2 + e3·r³ + …
let e3: v128 = f32x4.splat(1.0 / 6);
let e4: v128 = f32x4.splat(1.0 / 24);
let e5: v128 = f32x4.splat(1.0 / 120);
let e6: v128 = f32x4.splat(1.0 / 720);
// Abramowitz and Stegun 7.1.26, with the factor 1/√2 of x and the factor 1/2 of Φ worked in.
let a0: v128 = f32x4.splat(0.3275911 * 0.7071067811865476);
let a1: v128 = f32x4.splat(0.5 * 0.254829592);
let a2: v128 = f32x4.splat(0.5 * -0.284496736);
let a3: v128 = f32x4.splat(0.5 * 1.421413741);
let a4: v128 = f32x4.splat(0.5 * -1.453152027);
let a5: v128 = f32x4.splat(0.5 * 1.061405429);
/** 1/√(2π). */
let density: v128 = f32x4.splat(0.3989422804014327);

/**
 * Clamps to where something happens: exp(−x²/2) stays a normal number and x·φ(x) cannot overflow. The order of pmin's and
 * pmax's operands lets NaN through.
 */
// @ts-ignore: decorator
@inline
function clamp(x: v128): v128 {
  return f32x4.pmin(f32x4.pmax(x, minusLimit), limit);
}

/** exp(−x²/2) = 2^k·exp r, where −x²/2 = k·ln 2 + r with an integer k and |r| ≤ ln 2 / 2; 2^k is added to the exponent. */
// @ts-ignore: decorator
@inline
export function expHalfSquare(x: v128): v128 {
  const c = clamp(x);
  const power = f32x4.mul(f32x4.mul(c, c), minusHalf);
  const shifted = madd(power, inverseLn2, rounder);
  const r = madd(f32x4.sub(shifted, rounder), minusLn2, power);
  let p = madd(e6, r, e5);
  p = madd(p, r, e4);
  p = madd(p, r, e3);
  p = madd(p, r, half);
  p = madd(p, r, one);
  p = madd(p, r, one);
  return i32x4.add(p, i32x4.shl(shifted, 23));
}

/** Φ(x), the distribution function of the normal distribution, given e = exp(−x²/2). */
// @ts-ignore: decorator
@inline
export function normalCdf(x: v128, e: v128): v128 {
  const t = f32x4.div(one, madd(f32x4.abs(x), a0, one));
  let p = madd(a5, t, a4);
  p = madd(p, t, a3);
  p = madd(p, t, a2);
  p = madd(p, t, a1);
  // Φ(|x|) − 1/2, which then takes the sign of x: it is never negative itself.
  const above = f32x4.sub(half, f32x4.mul(f32x4.mul(p, t), e));
  return f32x4.add(half, v128.or(above, v128.and(x, signBit)));
}

/** x·Φ(x); the clamp makes it 0 at −infinity. */
// @ts-ignore: decorator
@inline
export function gelu(x: v128, cdf: v128): v128 {
  return f32x4.mul(f32x4.pmax(x, minusLimit), cdf);
}

/** Φ(x) + x·φ(x). */
// @ts-ignore: decorator
@inline
export function geluDerivative(x: v128, e: v128, cdf: v128): v128 {
  return madd(f32x4.mul(clamp(x), density), e, cdf);
}
