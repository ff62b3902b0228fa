// Constants of GELU (gelu.ts) and of Winograd's method (winograd.ts). They lie in memory and are loaded into all lanes where they
// are used: V8 would put a constant vector together anew (several instructions) at every use in a loop, and its revectorizer does
// not join operations on variables. All modules share one memory, so this table, at the same address in each of them, is the only
// static data that kernels may have.
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
    0.3275911 * 0.7071067811865476, // erf0
    0.5 * 0.254829592, // erf1
    0.5 * -0.284496736, // erf2
    0.5 * 1.421413741, // erf3
    0.5 * -1.453152027, // erf4
    0.5 * 1.061405429, // erf5
    // 1/√(2π).
    0.3989422804014327, // density
    // Winograd's points a and b.
    5.0 / 8, // a
    -5.0 / 8, // minusA
    25.0 / 64, // a2
    -25.0 / 64, // minusA2
    125.0 / 512, // a3
    3.0 / 2, // b
    -3.0 / 2, // minusB
    9.0 / 4, // b2
    -9.0 / 4, // minusB2
    27.0 / 8, // b3
    225.0 / 256, // q
    -169.0 / 64, // minusS
    256.0 / 225, // inverseQ
    -2048.0 / 2975, // m
    -256.0 / 595, // ma
    128.0 / 1071, // n
    64.0 / 357, // nb
  ],
  16,
);

/** Places in the table. */
export const enum Constant {
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
  erf0,
  erf1,
  erf2,
  erf3,
  erf4,
  erf5,
  density,
  a,
  minusA,
  a2,
  minusA2,
  a3,
  b,
  minusB,
  b2,
  minusB2,
  b3,
  q,
  minusS,
  inverseQ,
  m,
  ma,
  n,
  nb,
}

// @ts-ignore: decorator
@inline
export function all(constant: Constant): v128 {
  return v128.load32_splat(table + ((<usize>constant) << 2));
}

