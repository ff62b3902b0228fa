// Products of matrices of each sample, an invocation for each element, and softmax over the last axis, one for each pixel.

import type { ProductSizes, Transposed } from '../../runtime/ops/attention.ts';
import { map } from './elementwise.ts';
import type { KernelText } from './wgsl.ts';

export const matmul = ({ matrices, m, k, n }: ProductSizes, transposed: Transposed): KernelText =>
  map({
    perSample: matrices * m * n,
    body: `let matrix = at / ${m * n}u;
let i = at / ${n}u % ${m}u;
let j = at % ${n}u;
let left = matrix * ${m * k}u + ${transposed === 'a' ? 'i' : `i * ${k}u`};
let right = matrix * ${k * n}u + ${transposed === 'b' ? `j * ${k}u` : 'j'};
var sum = 0.0;
for (var l = 0u; l < ${k}u; l++) {
  sum = fma(a(left + l${transposed === 'a' ? ` * ${m}u` : ''}), b(right + l${transposed === 'b' ? '' : ` * ${n}u`}), sum);
}
set_y(at, sum);`,
  });

export const softmax = (pixels: number, channels: number): KernelText =>
  map({
    perSample: pixels,
    body: `let first = at * ${channels}u;
var most = x(first);
for (var c = 1u; c < ${channels}u; c++) { most = max(most, x(first + c)); }
var sum = 0.0;
for (var c = 0u; c < ${channels}u; c++) { sum += exp(x(first + c) - most); }
for (var c = 0u; c < ${channels}u; c++) { set_y(first + c, exp(x(first + c) - most) / sum); }`,
  });

export const softmaxGrad = (pixels: number, channels: number): KernelText =>
  map({
    perSample: pixels,
    body: `let first = at * ${channels}u;
var sum = 0.0;
for (var c = 0u; c < ${channels}u; c++) { sum = fma(dy(first + c), y(first + c), sum); }
for (var c = 0u; c < ${channels}u; c++) { set_dx(first + c, y(first + c) * (dy(first + c) - sum)); }`,
  });
