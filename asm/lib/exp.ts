// Exponentials, four lanes at a time, to the last digits: x = k·ln 2 + r with an integer k and |r| ≤ ln 2 / 2, and e^r − 1 by its series.

import { madd } from './abi';

/** ln 2 as the sum of two numbers, of which multiples of the first by k are exact. */
const LN2_HIGH: f32 = 0.693359375;
const LN2_LOW: f32 = -2.1219444e-4;

/** e^r − 1, for |r| up to ln 2 / 2. */
// @ts-ignore: decorator
@inline
function series(r: v128): v128 {
  let p = madd(f32x4.splat(1.0 / 5040), r, f32x4.splat(1.0 / 720));
  p = madd(p, r, f32x4.splat(1.0 / 120));
  p = madd(p, r, f32x4.splat(1.0 / 24));
  p = madd(p, r, f32x4.splat(1.0 / 6));
  p = madd(p, r, f32x4.splat(0.5));
  return madd(f32x4.mul(r, r), p, r);
}

/** r of x and its k, a whole number as a float. */
// @ts-ignore: decorator
@inline
function rest(x: v128, k: v128): v128 {
  return madd(k, f32x4.splat(-LN2_LOW), madd(k, f32x4.splat(-LN2_HIGH), x));
}

/** 2^k, for k from −126 to 127. */
// @ts-ignore: decorator
@inline
function power(k: v128): v128 {
  return i32x4.shl(i32x4.add(k, i32x4.splat(127)), 23);
}

/** e^x: 0 and infinity where floats end. NaN stays one: the order of pmin's and pmax's operands lets it through. */
// @ts-ignore: decorator
@inline
export function exp(x: v128): v128 {
  const c = f32x4.pmin(f32x4.pmax(x, f32x4.splat(-104)), f32x4.splat(89));
  const nearest = f32x4.nearest(f32x4.mul(c, f32x4.splat(1.4426950408889634)));
  const k = i32x4.trunc_sat_f32x4_s(nearest);
  // In two steps: 2^k alone may be no float where the result is one.
  const half = i32x4.shr_s(k, 1);
  const value = f32x4.add(f32x4.splat(1), series(rest(c, nearest)));
  return f32x4.mul(f32x4.mul(value, power(half)), power(i32x4.sub(k, half)));
}

/** e^x − 1 for x up to 0, with its digits near 0. NaN stays one. */
// @ts-ignore: decorator
@inline
export function expm1(x: v128): v128 {
  const c = f32x4.pmax(x, f32x4.splat(-40));
  const nearest = f32x4.nearest(f32x4.mul(c, f32x4.splat(1.4426950408889634)));
  const scale = power(i32x4.trunc_sat_f32x4_s(nearest));
  return madd(series(rest(c, nearest)), scale, f32x4.sub(scale, f32x4.splat(1)));
}
