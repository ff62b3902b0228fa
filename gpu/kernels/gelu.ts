// GELU in its exact form, x·Φ(x), and its derivative, Φ(x) + x·φ(x), from one exponential: Φ by Abramowitz and Stegun 7.1.26.
// Both differ from the true ones by less than 1e-6. Beyond ±13 Φ is 0 or 1 in f32 and φ is 0; infinities give the limits.

import { floats, type Lanes } from './wgsl.ts';

/** `gelu(x)` gives the value and the derivative. */
export const geluFunctions = (lanes: Lanes): string => {
  const T = floats(lanes);
  return `struct Gelu { value: ${T}, derivative: ${T} }
fn gelu(x: ${T}) -> Gelu {
  let c = clamp(x, ${T}(-13.0), ${T}(13.0));
  let z = abs(c) * 0.7071067811865476;
  let e = exp(-z * z);
  let t = 1.0 / (1.0 + 0.3275911 * z);
  let p = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  let tail = 0.5 * p * e;
  let cdf = select(tail, 1.0 - tail, c >= ${T}());
  return Gelu(x * cdf, cdf + 0.3989422804014327 * e * c);
}
`;
};
