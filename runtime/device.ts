// The device contract: all that training, evaluation and prediction ask of a device. Three devices keep it: `reference`
// (plain loops in doubles), `wasm` (every CPU core) and `webgpu` (any GPU).
//
// Guarantees
// - Runs are executed in call order; a call returns a promise at once and several may be in flight. `read` and `write`
//   take their place in that order.
// - The number of rows is an argument of a run, from 1 to the capacity: the last batch of an epoch is smaller, and
//   kernels, batch-norm divisors and the loss use the real count.
// - `gradient` changes no state. State (parameters, moments, moving statistics, step count) changes only in `update` and
//   `calibrate`, and there only when loss and gradients are finite: a dropped, skipped or aborted step leaves no trace.
// - An aborted run rejects with an AbortError; the executable stays usable.
// - The same calls give the same bits, for any number of threads.

import type { Trace } from './base/trace.ts';
import type { Graph, Node, StateKind, TensorSpec } from './ir/graph.ts';
import type { Cost } from './ir/op.ts';
import type { Scalars } from './ir/step.ts';

/**
 * A batch of images and what belongs to it. Arrays may be longer than `rows` needs, and lie in shared memory; they are copied during
 * the call.
 */
export interface Batch {
  /** Number of images, from 1 to the capacity of the executable. */
  readonly rows: number;
  /** rows × height × width × channels, NHWC. Empty where `picks` says which images they are. */
  readonly images: Uint8Array;
  /** Index of each row's image in the resident set: for `gradient` and `calibrate` of an executable that was compiled with one. */
  readonly picks?: Int32Array;
  /** Class of each row; needed by all runs but `predict`. */
  readonly labels?: Int32Array;
  /** Index in the dataset of each row: with seed and epoch it decides the dropout mask. Needed where the graph has dropout. */
  readonly samples?: Int32Array;
  /** Number of the epoch, for the same purpose; 0 by default. */
  readonly epoch?: number;
}

/** Of one update. */
export type Hyperparameters = Scalars;

/** Of one run on a device. */
export interface RunOptions {
  /** Ends the run after at most one kernel; it then rejects with an AbortError. */
  readonly signal?: AbortSignal;
}

/** Of a run with labels: the mean loss over the rows and the number of rows whose largest logit is that of their label. */
export interface BatchMetrics {
  readonly loss: number;
  readonly correct: number;
}

/** What became of an update. */
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
  /** Of the whole node, which may be several calls. */
  readonly cost: Cost;
  readonly ms: number;
}

/** What the machine can do at most: multiply-adds (two operations each) out of registers; bytes read and written by a copy. */
export interface Bounds {
  /** Of the operations that the kernels use. */
  readonly flopsPerSecond: number;
  /** What they are, such as `256-bit`; absent: the device does not say. */
  readonly width?: string;
  /** The same with the next narrower operations, where the kernels use wider ones. */
  readonly narrower?: { readonly flopsPerSecond: number; readonly width: string };
  readonly bytesPerSecond: number;
}

/** A tensor that lives on the device between runs. */
export interface StateEntry {
  readonly name: string;
  readonly shape: readonly number[];
  readonly kind: StateKind;
}

/**
 * The graphs of one model, over one set of state values (equal names, shapes and kinds). A graph of one's own, which is no model, may
 * be `predict` alone.
 */
export interface ModelGraphs {
  /** Forward, backward and update: what `gradient` and `update` run. */
  readonly train?: Graph;
  /** Training-mode forward pass that only updates moving statistics. Absent for models without batch normalisation. */
  readonly calibrate?: Graph;
  /** Inference mode with the outputs `loss`, `correct` and `logits`. */
  readonly evaluate?: Graph;
  /** Inference mode with the output `logits`: f32, per sample, of any shape. */
  readonly predict?: Graph;
}

/**
 * Combines statistics of batch normalisation with those of other devices, in place, in the middle of a run. `moments`: mean and
 * biased variance of the rows here. `sums`: Σdy and Σdy·(x−μ) over them. Each array has one element a channel.
 */
export type Exchange = (kind: 'moments' | 'sums', first: Float32Array, second: Float32Array) => Promise<void>;

/** Tiers of the numbers that a device computes with, the most exact one first. */
export const PRECISIONS = ['f32', 'f16', 'f16x3'] as const;
/**
 * `f32`: everything. `f16`: activations and their gradients are stored, and multiplied where the GPU has matrix units, as f16. `f16x3`:
 * stored as f32, and multiplied by matrix units in three passes of f16, which are nearly as exact. Sums, statistics, parameters and their
 * gradients, moments and the loss are f32 in every tier.
 */
export type Precision = (typeof PRECISIONS)[number];

/**
 * The images of a whole set, which a device is to hold as bytes, and how those of a batch are made of them: cut, shifted and mirrored as
 * the data pipeline does it, byte for byte. The draws follow from `seed`, and `samples` and `epoch` of the batch.
 */
export interface ResidentImages {
  readonly count: number;
  /** [height, width, channels] */
  readonly shape: readonly [number, number, number];
  /** Image i begins at `offset + i · stride`, channel by channel where `layout` is planar. */
  readonly bytes: Uint8Array;
  readonly offset: number;
  readonly stride: number;
  readonly layout: 'interleaved' | 'planar';
  readonly seed: bigint;
  /** Largest shift, in pixels. */
  readonly crop: number;
  /** Half of the images, or each in every other epoch. */
  readonly flip: boolean | 'alternate';
  /** The colour outside of an image, a byte a channel; null: its mirror image. */
  readonly padding: readonly number[] | null;
}

/** How graphs are compiled. */
export interface CompileOptions {
  /** Largest number of rows of a run. */
  readonly capacity: number;
  /** 64 bits: the key of the random numbers of dropout. */
  readonly seed: bigint;
  /** Names of fusion rules that are switched off, or `all`. */
  readonly withoutRules?: readonly string[];
  /** Which graphs are compiled; all that there are by default. Those left out cannot be run and need no memory. */
  readonly programs?: readonly (keyof ModelGraphs)[];
  /** Called after each statistics op of `gradient` and `calibrate`. Devices that cannot refuse with E_USAGE. */
  readonly exchange?: Exchange;
  /**
   * Called during `gradient` with a part of the gradients that is final while the rest is still computed, and where it begins in
   * `GRADIENTS`: from the end of the range on, part by part. Which parts follows from the graph alone. The array is valid during the
   * call. Devices that cannot tell never call it, and none calls it for what is final last.
   */
  readonly onGradients?: (begin: number, part: Float32Array) => void;
  /** Images that the device takes to itself, so that batches need not have any. Only where `Device.holds` allows it. */
  readonly resident?: ResidentImages;
  /** Takes what the threads of the wasm device, or the GPU, do in the first runs, kernel by kernel. */
  readonly trace?: Trace;
}

/** Names of whole ranges for `read` and `write`. */
export const GRADIENTS = 'gradients';
/** All moving statistics, for `Executable.read` and `write`. */
export const STATISTICS = 'statistics';

/**
 * Compiled graphs with their state, which is all zeros at first (see `write`). Calls throw E_INTERNAL where they do not fit the graphs:
 * too many rows, an input that is missing, a program that was not compiled. Disposing of it is `close`.
 */
export interface Executable extends AsyncDisposable {
  /** Largest number of rows of a run. */
  readonly capacity: number;
  /** Everything that lives on the device between runs, by name. */
  readonly state: readonly StateEntry[];
  /** Bytes of the device's memory that the executable holds. */
  readonly memoryBytes: number;
  /**
   * Steps of `gradient` and `update` that are worth queueing before the first has ended. Of such a device an update whose gradient was
   * aborted or failed rejects, and changes nothing. Absent: each gradient is waited for.
   */
  readonly stepsAhead?: number;

  /** Forward and backward pass; gradients wait on the device for `update`. */
  gradient(batch: Batch, options?: RunOptions): Promise<BatchMetrics>;
  /** AdamW and moving statistics with the gradients of the last `gradient`. */
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

  /**
   * State by name, or `gradients/<parameter>` after a `gradient`. The counter `optimizer/vars/0` has one element. `GRADIENTS` and
   * `STATISTICS` are all gradients and all moving statistics in one array, in an order of the device's own.
   */
  read(name: string): Promise<Float32Array>;
  /** State by name; `GRADIENTS` between `gradient` and `update`, `STATISTICS`. */
  write(name: string, data: ArrayLike<number>): Promise<void>;
  /** Ends its threads or frees its buffers. Runs under way reject with an AbortError. A second call does nothing. */
  close(): Promise<void>;
}

/**
 * What computes. Opened by `openDevice`; several may be open, and each may have several executables. Disposing of it is `close`.
 */
export interface Device extends AsyncDisposable {
  readonly name: 'reference' | 'wasm' | 'webgpu';
  /** One line about what it runs on, for people: threads, kind of arithmetic. */
  readonly description: string;
  /**
   * Kind of arithmetic, such as `fused multiply-add`: devices of equal name and arithmetic give equal bits. A checkpoint
   * keeps it, so that a resumed run is the uninterrupted one or says that it cannot be.
   */
  readonly arithmetic: string;
  readonly threads: number;
  /** The tier, on devices that have several. */
  readonly precision?: Precision;
  /**
   * Makes programs of the graphs and allocates their memory. Throws E_MEMORY with the largest capacity that fits, E_USAGE for options that
   * the device does not have.
   */
  compile(graphs: ModelGraphs, options: CompileOptions): Promise<Executable>;
  /** Bytes that `compile` would need, without allocating: what a dry run and the largest-batch message use. */
  memoryFor(graphs: ModelGraphs, options: CompileOptions): number;
  /** Largest memory that an executable may have, in bytes. */
  readonly memoryLimit: number;
  /**
   * Whether it is worth holding so many bytes of images, made into batches as `ResidentImages` says; else the reason, as the end of a
   * sentence, and whether it is possible at all. Absent on devices that compute in the memory where the images are.
   */
  holds?(bytes: number): { readonly worthwhile: boolean; readonly possible: boolean; readonly reason: string };
  /** Measures the machine's own bounds, on all threads of the device; takes about a second. Absent where there is no such thing. */
  bounds?(): Promise<Bounds>;
  /** The programs as text, one line a kernel call, for `hybrid inspect`. */
  inspect(graphs: ModelGraphs, options: CompileOptions): string;
  /** Closes its executables as well. */
  close(): Promise<void>;
}
