// What an executable runs: a batch goes in, a loss, logits or a changed state come out.

import type { Node, TensorSpec } from '../ir/graph.ts';
import type { Cost } from '../ir/op.ts';
import type { Scalars } from '../ir/step.ts';

/**
 * A batch of images and what belongs to it. Arrays may be longer than `rows` needs, and lie in shared memory; they are copied during
 * the call.
 */
export interface Batch {
  /** Number of images, from 1 to the capacity of the executable. */
  readonly rows: number;
  /** rows × height × width × channels, NHWC. Empty where `picks` says which images they are. */
  readonly images: Uint8Array;
  /** What a graph with the input `features` reads in place of images: rows × its elements. */
  readonly features?: Float32Array;
  /** Index of each row's image in the resident set: for `gradient` and `calibrate` of an executable that was compiled with one. */
  readonly picks?: Int32Array;
  /** Class of each row; needed by all runs but `predict`. */
  readonly labels?: Int32Array;
  /** Index in the dataset of each row: with seed and epoch it decides the dropout mask. Needed where the graph has dropout. */
  readonly samples?: Int32Array;
  /** Number of the epoch, for the same purpose; 0 by default. */
  readonly epoch?: number;
}

/** Scalars of one update. */
export type Hyperparameters = Scalars;

/** Options for one run on a device. */
export interface RunOptions {
  /** Ends the run after at most one kernel; it then rejects with an AbortError. */
  readonly signal?: AbortSignal;
}

/** Result of a run with labels: the mean loss over the rows and the number of rows whose largest logit is that of their label. */
export interface BatchMetrics {
  readonly loss: number;
  readonly correct: number;
}

/** Result of an update. */
export interface Update {
  /** False: something is not finite, and nothing was changed. */
  readonly applied: boolean;
  /** Where that comes from, where it is known. */
  readonly cause?: string;
  /**
   * Of an update that was not applied: the loss scale at which gradients went beyond the range of f16. Half of it is used from now
   * on: no divergence, but a step that is left out.
   */
  readonly overflow?: number;
}

/** Time of a kernel call, from the end of the call before to its own, barrier included. */
export interface KernelTime {
  readonly kernel: string;
  readonly node: Node;
  /** Types of the operands and results of the node. */
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  /** Cost of the whole node, which may be several calls. */
  readonly cost: Cost;
  readonly ms: number;
}

/**
 * The calls that compute. They throw E_USAGE where they do not fit the graphs: too many rows, an input that is missing, a program that was
 * not compiled.
 */
export interface Runs {
  /** Largest number of rows of a run. */
  readonly capacity: number;
  /** Steps of `gradient` and `update` that are worth queueing before the first has ended. Absent: each gradient is waited for. */
  readonly stepsAhead?: number;

  /** Forward and backward pass; gradients wait on the device for `update`. */
  gradient(batch: Batch, options?: RunOptions): Promise<BatchMetrics>;
  /**
   * The optimizer's step and moving statistics, with the gradients of the last `gradient`; where that was aborted or failed, it rejects and
   * changes nothing. Throws E_USAGE for numbers that are not finite or negative, before anything is changed.
   */
  update(hyper: Hyperparameters): Promise<Update>;
  /** Moves the moving statistics towards those of the batch: new = old·momentum + batch·(1 − momentum). */
  calibrate(batch: Batch, bnMomentum: number, options?: RunOptions): Promise<void>;
  /** Inference mode; logits are rows × classes. */
  evaluate(batch: Batch, options?: RunOptions): Promise<BatchMetrics & { readonly logits: Float32Array }>;
  /** Inference mode; the output `logits`: rows × its elements. */
  predict(batch: Batch, options?: RunOptions): Promise<Float32Array>;

  /**
   * One gradient and one update with the time of each kernel call, in the order of the program. Absent on devices that
   * cannot tell.
   */
  profile?(batch: Batch, hyper: Hyperparameters): Promise<readonly KernelTime[]>;
}
