// What the definitions of ops speak of besides their operands: tensors of the reference loops, and costs.

/** Tensor of the reference loops. `shape` includes the rows of the run where the spec is per sample. */
export interface ReferenceTensor {
  readonly shape: readonly number[];
  /** Float64Array for f32, so that the reference computes in doubles. */
  readonly data: Float64Array | Uint8Array | Int32Array;
}

/** Floating-point operations (two a multiply-add) and bytes that must move at least (each operand once, in f32). */
export interface Cost {
  readonly flops: number;
  readonly bytes: number;
}
