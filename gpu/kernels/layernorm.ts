// Layer normalisation over the channels of each pixel, and its gradients: an invocation takes a pixel.

import { map } from './elementwise.ts';
import { f32, type KernelText } from './wgsl.ts';

/** Statements that find mean and 1/√(variance + ε) of the pixel whose channels begin at element `first`. */
const moments = (channels: number, epsilon: number): string => `var mean = 0.0;
for (var c = 0u; c < ${channels}u; c++) { mean += x(first + c); }
mean /= ${channels}.0;
var variance = 0.0;
for (var c = 0u; c < ${channels}u; c++) { let d = x(first + c) - mean; variance = fma(d, d, variance); }
let inverse = 1.0 / sqrt(variance / ${channels}.0 + ${f32(epsilon)});`;

export const layernorm = (pixels: number, channels: number, epsilon: number): KernelText =>
  map({
    perSample: pixels,
    body: `let first = at * ${channels}u;
${moments(channels, epsilon)}
for (var c = 0u; c < ${channels}u; c++) { set_y(first + c, fma((x(first + c) - mean) * inverse, gamma(c), beta(c))); }`,
  });

/** dx, and dy·normal, which is summed for gamma. */
export const layernormGrad = (pixels: number, channels: number, epsilon: number): KernelText =>
  map({
    perSample: pixels,
    body: `let first = at * ${channels}u;
${moments(channels, epsilon)}
var sum = 0.0;
var product = 0.0;
for (var c = 0u; c < ${channels}u; c++) {
  let d = dy(first + c);
  let normal = (x(first + c) - mean) * inverse;
  set_products(first + c, d * normal);
  let slope = d * gamma(c);
  sum += slope;
  product = fma(slope, normal, product);
}
sum /= ${channels}.0;
product /= ${channels}.0;
for (var c = 0u; c < ${channels}u; c++) {
  let normal = (x(first + c) - mean) * inverse;
  set_dx(first + c, inverse * (dy(first + c) * gamma(c) - sum - normal * product));
}`,
  });
