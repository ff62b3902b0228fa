// GELU in its exact form, x·Φ(x), and its derivative, Φ(x) + x·φ(x), both from one exponential: four lanes at a time.
//
//   const e = expHalfSquare(x);          // exp(−x²/2) = √(2π)·φ(x)
//   const cdf = normalCdf(x, e);         // Φ(x)
//   value = gelu(x, cdf);  derivative = geluDerivative(x, e, cdf);
//
// Both differ from the true ones by less than 1e-6. Any float is fine: ±infinity gives the limits, NaN gives NaN.

import { madd } from './abi';

// The constants lie in memory and are loaded into all lanes where they are used: V8 would put a constant vector together anew
// (several instructions) at every use in a loop, and its revectorizer does not join operations on variables. All modules
// share one memory, so this table, at the same address in each of them, is the only static data that kernels may have.
const table = memory.data<f32>(
  [
    1, // one
    0.5, // half
    -0.5, // minusHalf
    -0.0, // signBit
    // Beyond ±13 Φ is 0 or 1 and φ is 0 in f32.
    13, // limit
    -13, // minusLimit
    1.4426950408889634, // inverseLn2
    -0.6931471805599453, // minusLn2
    // 1.5·2²³: adding it rounds to an integer and leaves that in the lowest bits.
    12582912, // rounder
    // exp r = 1 + r + r²/2 + e3·r³ + …
    1.0 / 6, // e3
    1.0 / 24, // e4
    1.0 / 120, // e5
    1.0 / 720, // e6
    // Abramowitz and Stegun 7.1.26, with the factor 1/√2 of x and the factor 1/2 of Φ worked in.
    0.3275911 * 0.7071067811865476, // a0
    0.5 * 0.254829592, // a1
    0.5 * -0.284496736, // a2
    0.5 * 1.421413741, // a3
    0.5 * -1.453152027, // a4
    0.5 * 1.061405429, // a5
    // 1/√(2π).
    0.3989422804014327, // density
  ],
  16,
);

/** Places in the table. */
const enum Constant {
  one,
  half,
  minusHalf,
  signBit,
  limit,
  minusLimit,
  inverseLn2,
  minusLn2,
  rounder,
  e3,
  e4,
  e5,
  e6,
  a0,
  a1,
  a2,
  a3,
  a4,
  a5,
  density,
}

// @ts-ignore: decorator
@inline
function all(constant: Constant): v128 {
  return v128.load32_splat(table + ((<usize>constant) << 2));
}

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
  const t = f32x4.div(all(Constant.one), madd(f32x4.abs(x), all(Constant.a0), all(Constant.one)));
  let p = madd(all(Constant.a5), t, all(Constant.a4));
  p = madd(p, t, all(Constant.a3));
  p = madd(p, t, all(Constant.a2));
  p = madd(p, t, all(Constant.a1));
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
