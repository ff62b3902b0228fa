// Kinds of operands, and what else the definitions of ops share.

import { list, operand, optional } from '../ir/signature.ts';
import { sameShape, type TensorSpec } from '../ir/tensor.ts';

export { refuse } from '../ir/signature.ts';
export { sameShape, sameSpec } from '../ir/tensor.ts';

/** A per-sample f32 tensor with at least a channel axis: what flows between layers. */
export const isActivation = (spec: TensorSpec): boolean => spec.dtype === 'f32' && spec.perSample && spec.shape.length >= 1;

/** An f32 tensor without rows: a parameter, its gradient, a moment. */
export const isParameter = (spec: TensorSpec): boolean => spec.dtype === 'f32' && !spec.perSample;

/** An f32 vector with one element a channel. */
export const isVector = (spec: TensorSpec, channels: number): boolean => isParameter(spec) && sameShape(spec.shape, [channels]);

/** Operands by kind. */
export const kinds = {
  /** What flows between layers. */
  features: operand('f32 [n, …, C]', isActivation),
  image: operand('f32 [n, h, w, C]', (spec) => isActivation(spec) && spec.shape.length === 3),
  /** One vector a sample. */
  row: operand('f32 [n, C]', (spec) => isActivation(spec) && spec.shape.length === 1),
  bytes: operand('u8 [n, …]', (spec) => spec.dtype === 'u8' && spec.perSample),
  parameter: operand('f32 […]', isParameter),
  vector: operand('f32 [C]', (spec) => isParameter(spec) && spec.shape.length === 1),
  /** One integer a sample: labels, sample indices. */
  index: operand('i32 [n]', (spec) => spec.dtype === 'i32' && spec.perSample && spec.shape.length === 0),
  /** One integer: the flag `ok`, the step counter. */
  integer: operand('i32 [1]', (spec) => spec.dtype === 'i32' && !spec.perSample && sameShape(spec.shape, [1])),
  scalar: operand('f32 [1]', (spec) => isParameter(spec) && sameShape(spec.shape, [1])),
  partials: operand('f32 [n, 2, C]', (spec) => isActivation(spec) && spec.shape.length === 2 && spec.shape[0] === 2),
  optional,
  list,
};

export const activation = (shape: readonly number[]): TensorSpec => ({ dtype: 'f32', shape, perSample: true });
export const parameter = (shape: readonly number[]): TensorSpec => ({ dtype: 'f32', shape, perSample: false });
export const integer: TensorSpec = { dtype: 'i32', shape: [1], perSample: false };

/** Length of the last axis. */
export const channelsOf = (shape: readonly number[]): number => shape[shape.length - 1];

/** Positions of a sample that share a channel: the product of all axes but the last. Takes a shape without rows. */
export const pixelsOf = (shape: readonly number[]): number => shape.slice(0, -1).reduce((product, n) => product * n, 1);

/**
 * Consecutive samples whose sums are one partial result: as many as have 64 pixels, at least one. Sums over rows and pixels
 * are those of the tiles, merged in order, so that their bits depend on shapes alone and never on threads.
 */
export const samplesPerTile = (pixels: number): number => Math.max(1, Math.floor(64 / pixels));

/** For each channel, the sum over rows and pixels of `term(i, c)`, i the offset of the element and c its channel. */
export function channelSums(length: number, channels: number, term: (i: number, c: number) => number): Float64Array {
  const sums = new Float64Array(channels);
  for (let i = 0; i < length; i += channels) for (let c = 0; c < channels; c++) sums[c] += term(i + c, c);
  return sums;
}

/** Mean of each channel and Σ(x − mean)², in two passes. */
export function moments(x: ArrayLike<number>, channels: number): { mean: Float64Array; squares: Float64Array } {
  const count = x.length / channels;
  const mean = channelSums(x.length, channels, (i) => x[i]).map((sum) => sum / count);
  return { mean, squares: channelSums(x.length, channels, (i, c) => (x[i] - mean[c]) ** 2) };
}

/** Elements of a tensor with `rows` rows. */
export const elementsOf = ({ shape, perSample }: TensorSpec, rows: number): number =>
  shape.reduce((product, n) => product * n, perSample ? rows : 1);

/** `flops` of an op that does so many operations for each element of its largest operand. */
export const perElement =
  (count: number) =>
  (specs: Readonly<Record<string, TensorSpec | readonly TensorSpec[] | undefined>>, _attrs: unknown, rows: number): number =>
    count *
    (Object.values(specs).flat() as (TensorSpec | undefined)[]).reduce(
      (most, spec) => (spec ? Math.max(most, elementsOf(spec, rows)) : most),
      0,
    );
