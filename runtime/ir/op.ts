// What an op is: the interface that every file of runtime/ops implements.

import type { Attrs, GraphBuilder, Node, ShapeRule, TensorSpec, ValueId } from './graph.ts';
import type { StepScalars } from './step.ts';

/** Tensor of the reference loops. `shape` includes the rows of the run where the spec is per sample. */
export interface ReferenceTensor {
  readonly shape: readonly number[];
  /** Float64Array for f32, so that the reference computes in doubles. */
  readonly data: Float64Array | Uint8Array | Int32Array;
}

/** Operands of the reference loops of an op. */
export interface ReferenceIO {
  readonly step: StepScalars;
  /** In the order of the node. Outputs start out as zeros. */
  readonly inputs: readonly ReferenceTensor[];
  readonly outputs: readonly ReferenceTensor[];
  readonly updates: readonly ReferenceTensor[];
}

/** Floating-point operations (two a multiply-add) and bytes that must move at least (each operand once, in f32). */
export interface Cost {
  readonly flops: number;
  readonly bytes: number;
}

/** All that is known of an op but its kernels. */
export interface OpDefinition extends ShapeRule {
  /**
   * Gradient rule: adds nodes to `g` that compute the gradient of each input from the gradients of the outputs (null:
   * none flows) and returns them in the order of the inputs (null: none). `wanted[i]` is false where nobody asks for
   * the gradient of input i, which saves its nodes. Absent: the op cannot be differentiated.
   */
  gradient?(g: GraphBuilder, node: Node, dOutputs: readonly (ValueId | null)[], wanted: readonly boolean[]): (ValueId | null)[];
  /** Plain loops in doubles: slow, obvious, the oracle for every device. */
  reference(io: ReferenceIO, attrs: Attrs): void;
  /** Of one run with that many rows. */
  cost(inputs: readonly TensorSpec[], outputs: readonly TensorSpec[], attrs: Attrs, rows: number): Cost;
  /** Output 0 is input 0 under another shape: no kernel runs. */
  readonly isView?: true;
  /** Input that output 0 may overwrite, element by element, if nobody reads it later. */
  readonly inPlace?: number;
}
