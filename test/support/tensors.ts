// Tensors for tests: a spec with the data of some rows, filled from a list, a function, or seeded random numbers.

import { philox4x32 } from '../../runtime/base/philox.ts';
import { type DType, elementCount, type TensorSpec } from '../../runtime/ir/graph.ts';
import type { ReferenceTensor } from '../../runtime/ir/op.ts';

/** `shape` includes the rows, `spec.shape` does not. */
export interface TestTensor extends ReferenceTensor {
  readonly spec: TensorSpec;
}

const ARRAYS = { f32: Float64Array, u8: Uint8Array, i32: Int32Array } as const;

/** Zeros of a spec, with `rows` rows where it is per sample. */
export function zeros(spec: TensorSpec, rows: number): TestTensor {
  const shape = spec.perSample ? [rows, ...spec.shape] : spec.shape;
  return { spec, shape, data: new ARRAYS[spec.dtype](elementCount(spec) * (spec.perSample ? rows : 1)) };
}

/** Values of a tensor: a list with all of them, or a function of the index. */
export type Fill = ArrayLike<number> | ((index: number) => number);

/** A tensor with a leading axis of rows. f32 values are rounded to f32, so that a device can be given the very same numbers. */
export const samples = (rows: number, shape: readonly number[], fill: Fill, dtype: DType = 'f32'): TestTensor =>
  filled(zeros({ dtype, shape, perSample: true }, rows), fill);

/** A tensor without rows: parameter, statistic, counter. */
export const fixed = (shape: readonly number[], fill: Fill, dtype: DType = 'f32'): TestTensor =>
  filled(zeros({ dtype, shape, perSample: false }, 1), fill);

function filled(tensor: TestTensor, fill: Fill): TestTensor {
  if (typeof fill !== 'function' && fill.length !== tensor.data.length) {
    throw new Error(`${fill.length} values for a tensor of shape [${tensor.shape}]`);
  }
  const value = typeof fill === 'function' ? fill : (i: number): number => fill[i];
  for (let i = 0; i < tensor.data.length; i++) tensor.data[i] = tensor.spec.dtype === 'f32' ? Math.fround(value(i)) : value(i);
  return tensor;
}

/** Uniform numbers in [low, high): the same for the same seed and index. */
export function uniform(seed: number, low = -1, high = 1): (index: number) => number {
  const words = new Uint32Array(4);
  return (index) => {
    philox4x32([seed, 0], [index, 0, 0, 0], words);
    return low + ((high - low) * words[0]) / 2 ** 32;
  };
}

/** Whole numbers from 0 to below `limit`. */
export function integers(seed: number, limit: number): (index: number) => number {
  const draw = uniform(seed, 0, limit);
  return (index) => Math.floor(draw(index));
}

/** A copy whose data can be changed. */
export const copy = (tensor: TestTensor): TestTensor => ({ ...tensor, data: tensor.data.slice() });
