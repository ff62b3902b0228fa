// Images beside each other by channels, and axes in another order.

import { map } from './elementwise.ts';
import type { KernelText } from './wgsl.ts';

/** A part of y: `c` channels from `first` on of `of`, in accesses. */
export const concatPart = (pixels: number, c: number, first: number, of: number): KernelText =>
  map({ perSample: pixels * c, body: `set_y(at / ${c}u * ${of}u + ${first}u + at % ${c}u, x(at));` });

/** Four axes; strides are those of x along the axes of y. */
export function permute(sizes: readonly number[], strides: readonly number[]): KernelText {
  const elements = sizes.reduce((product, n) => product * n, 1);
  const inner = sizes.map((_, axis) => sizes.slice(axis + 1).reduce((product, n) => product * n, 1));
  const from = sizes.map((n, axis) => `at / ${inner[axis]}u % ${n}u * ${strides[axis]}u`).join(' + ');
  return map({ perSample: elements, body: `set_y(at, x(at / ${elements}u * ${elements}u + ${from}));` });
}
