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

import type { CompileOptions, ModelGraphs, Precision } from './contract/compile-options.ts';
import type { Runs } from './contract/runs.ts';
import type { Store } from './contract/store.ts';

export * from './contract/compile-options.ts';
export * from './contract/runs.ts';
export * from './contract/store.ts';

/** Compiled graphs with their state. Disposing of it is `close`. */
export interface Executable extends Runs, Store, AsyncDisposable {
  /** Bytes of the device's memory that the executable holds. */
  readonly memoryBytes: number;
  /** Ends its threads or frees its buffers. Runs under way reject with an AbortError. A second call does nothing. */
  close(): Promise<void>;
}

/** What the machine can do at most: multiply-adds (two operations each) out of registers; bytes read and written by a copy. */
export interface Bounds {
  /** Kind of arithmetic that the kernels use. */
  readonly flopsPerSecond: number;
  /** What they are, such as `256-bit`; absent: the device does not say. */
  readonly width?: string;
  /** The same with the next narrower operations, where the kernels use wider ones. */
  readonly narrower?: { readonly flopsPerSecond: number; readonly width: string };
  readonly bytesPerSecond: number;
}

/**
 * What computes. Opened by `openDevice`; several may be open, and each may have several executables. Disposing of it is `close`.
 *
 * @category Devices
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
