// Activations as functions of a number, in doubles.

import { erf } from './erf.ts';

/** gelu(x) = x·Φ(x), in the exact form with erf. */
export const gelu = (x: number): number => 0.5 * x * (1 + erf(x * Math.SQRT1_2));

/** gelu'(x) = Φ(x) + x·φ(x). */
export const geluDerivative = (x: number): number =>
  0.5 * (1 + erf(x * Math.SQRT1_2)) + (x * Math.exp(-0.5 * x * x)) / Math.sqrt(2 * Math.PI);

/** Those that epilogues have. */
export const ACTIVATIONS = {
  gelu: { value: gelu, derivative: geluDerivative },
  relu: { value: (x: number): number => Math.max(x, 0), derivative: (x: number): number => (x > 0 ? 1 : 0) },
} as const;
