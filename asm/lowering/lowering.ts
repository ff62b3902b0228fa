// From a node of the graph to kernel calls of the wasm device: the types that the files of this folder share.

import type { Node, TensorSpec, ValueId } from '../../runtime/ir/graph.ts';

/** A word of an argument block: an integer or address, or an f32. */
export type Word = number | { readonly f32: number };
export const f32 = (value: number): Word => ({ f32: value });

/** One kernel call of the program. `label` is for people. */
export interface Call {
  readonly kernel: string;
  readonly args: readonly Word[];
}

export interface LoweringContext {
  /** Largest number of rows of a run. */
  readonly capacity: number;
  spec(id: ValueId): TensorSpec;
  /** Address in the device's memory, fixed for the life of the executable. */
  address(id: ValueId): number;
  /** Address of `bytes` bytes (64-byte aligned) shared by all threads that live during this node only. Each call gives a new range. */
  scratch(bytes: number): number;
}

export type Lowering = (node: Node, context: LoweringContext) => Call[];
