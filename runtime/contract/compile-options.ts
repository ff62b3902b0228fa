// What a device compiles, and how.

import type { Trace } from '../base/trace.ts';
import type { Graph } from '../ir/graph.ts';

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
 *
 * @category Devices
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
