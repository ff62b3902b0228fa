// The error function in doubles, for the exact GELU of the reference. Devices have polynomials of their own.

const TWO_OVER_SQRT_PI = 2 / Math.sqrt(Math.PI);

/** erf(x), at most 2.3e-16 (two units in the last place of 1) off. */
export function erf(x: number): number {
  const z = Math.abs(x);
  if (z < 2) return series(x);
  // erfc(6) is 2e-17: below the last bit of 1.
  const value = z > 6 ? 1 : 1 - complementaryFraction(z);
  return Number.isNaN(x) ? x : Math.sign(x) * value;
}

/** erf(x) = 2/√π · e^(−x²) · Σ 2ᵏ x^(2k+1) / (1·3·…·(2k+1)): all terms have one sign, so nothing cancels. */
function series(x: number): number {
  const square = x * x;
  let term = x;
  let sum = x;
  for (let k = 1; Math.abs(term) > 1e-17 * Math.abs(sum); k++) {
    term *= (2 * square) / (2 * k + 1);
    sum += term;
  }
  return TWO_OVER_SQRT_PI * Math.exp(-square) * sum;
}

/** erfc(z) = e^(−z²)/√π · 1/(z + (1/2)/(z + (2/2)/(z + (3/2)/(z + …)))), evaluated from the inside; for z ≥ 2. */
function complementaryFraction(z: number): number {
  let fraction = z;
  for (let k = 60; k >= 1; k--) fraction = z + k / 2 / fraction;
  return Math.exp(-z * z) / Math.sqrt(Math.PI) / fraction;
}
