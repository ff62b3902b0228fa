// What the definitions of ops share when they look at their operands: questions about specs, refusals, and costs.

import { HybridError, invariant } from '../base/errors.ts';
import type { Attrs, GraphBuilder, Node, TensorSpec, ValueId } from '../ir/graph.ts';
import { byteLength, elementCount, formatShape } from '../ir/graph.ts';
import type { Cost, OpDefinition } from '../ir/op.ts';

/** Refuses a node: names the op, what it was given and what it takes. Throws E_USAGE: graphs may be anybody's. */
export function accept(op: string, inputs: readonly TensorSpec[], condition: unknown, expected: string): asserts condition {
  if (!condition) refuse(`${op} got (${inputs.map(formatSpec).join(', ')}) and takes ${expected}`);
}

/** Throws E_USAGE. */
export function refuse(message: string): never {
  throw new HybridError('E_USAGE', message, 'The table of ops in ARCHITECTURE.md says what each takes.');
}

const formatSpec = (spec: TensorSpec): string => `${spec.dtype} ${formatShape(spec)}`;

export const sameShape = (a: readonly number[], b: readonly number[]): boolean => a.length === b.length && a.every((n, i) => n === b[i]);

export const sameSpec = (a: TensorSpec, b: TensorSpec): boolean =>
  a.dtype === b.dtype && a.perSample === b.perSample && sameShape(a.shape, b.shape);

/** A per-sample f32 tensor with at least a channel axis: what flows between layers. */
export const isActivation = (spec: TensorSpec): boolean => spec.dtype === 'f32' && spec.perSample && spec.shape.length >= 1;

/** An f32 tensor without rows: a parameter, its gradient, a moment. */
export const isParameter = (spec: TensorSpec): boolean => spec.dtype === 'f32' && !spec.perSample;

/** An f32 vector with one element a channel. */
export const isVector = (spec: TensorSpec, channels: number): boolean => isParameter(spec) && sameShape(spec.shape, [channels]);

/** One integer a sample: labels, sample indices. */
export const isPerSampleIndex = (spec: TensorSpec): boolean => spec.dtype === 'i32' && spec.perSample && spec.shape.length === 0;

/** One integer: the flag `ok`, the step counter. */
export const isInteger = (spec: TensorSpec): boolean => spec.dtype === 'i32' && !spec.perSample && sameShape(spec.shape, [1]);

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

export const isPositiveInteger = (value: unknown): value is number => Number.isInteger(value) && (value as number) > 0;

/** Bytes of inputs and outputs, each once. */
export const operandBytes = (inputs: readonly TensorSpec[], outputs: readonly TensorSpec[], rows: number): number =>
  [...inputs, ...outputs].reduce((sum, spec) => sum + byteLength(spec, rows), 0);

/** Cost of an op that does a handful of `flops` for each element of its largest operand. */
export const elementwiseCost =
  (flops: number): OpDefinition['cost'] =>
  (inputs: readonly TensorSpec[], outputs: readonly TensorSpec[], _attrs: Attrs, rows: number): Cost => ({
    flops: flops * [...inputs, ...outputs].reduce((most, spec) => Math.max(most, elementCount(spec) * (spec.perSample ? rows : 1)), 0),
    bytes: operandBytes(inputs, outputs, rows),
  });

/** A gradient rule for ops that are differentiated through output 0 alone: where nothing flows into it, nothing flows out. */
export const throughFirstOutput =
  (rule: (g: GraphBuilder, node: Node, dy: ValueId, wanted: readonly boolean[]) => (ValueId | null)[]): OpDefinition['gradient'] =>
  (g, node, dOutputs, wanted) => {
    const [dy, ...others] = dOutputs;
    invariant(
      others.every((id) => id === null),
      `${node.op} (${node.label}) cannot be differentiated through an output other than the first`,
    );
    return dy === null ? node.inputs.map(() => null) : rule(g, node, dy, wanted);
  };
