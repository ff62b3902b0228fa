// What a checkpoint is, and the interface of the place where checkpoints go. The folder on disk is in run-folder.ts, what
// `progress` holds in progress.ts.

import type { ModelCard } from '../interop/trained-model.ts';

/**
 * A snapshot of a run: enough to go on, and to use the weights elsewhere.
 *
 * @category Training
 */
export interface Checkpoint {
  /** Parameters and moving statistics by name, in Keras' layouts. */
  readonly weights: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
  /** `optimizer/vars/…` by name. */
  readonly optimizer: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
  /** Plain JSON: position, seed, callback state, metrics, settings that must not change. */
  readonly progress: Readonly<Record<string, unknown>>;
  /** The serialised forward graph and its SHA-256: models of equal shapes can differ in their graph. */
  readonly graph: { readonly text: string; readonly digest: string };
  /** What somebody who uses the weights must know; absent in a checkpoint of version 0.1.0. */
  readonly card?: ModelCard;
}

/** `last`: the state to go on from. `best`: of the lowest monitored loss. `epoch-…`: kept for good. */
export type CheckpointKind = 'best' | 'last' | `epoch-${string}`;

/**
 * Where checkpoints go. Embedders may implement it: examples/own-checkpoint-store.mjs. What it throws ends the run.
 *
 * @category Training
 */
export interface CheckpointStore {
  /** For messages: the run folder. */
  readonly location: string;
  /**
   * Writes whole or not at all: a failed save leaves the previous checkpoint of that kind as it was, and throws. Returns where it
   * is. The loop does not change the arrays afterwards, and calls again only when this has settled.
   */
  save(kind: CheckpointKind, checkpoint: Checkpoint): Promise<string>;
  /** The newest checkpoint of that kind; null where there is none. */
  load(kind: CheckpointKind): Promise<Checkpoint | null>;
}
