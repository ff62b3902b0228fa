// What a checkpoint is, and the interface of the place where checkpoints go. The folder on disk is in run-folder.ts.

/** A snapshot of a run: enough to go on, and to use the weights elsewhere. */
export interface Checkpoint {
  /** Parameters and moving statistics by name, in Keras' layouts. */
  readonly weights: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
  /** `optimizer/vars/…` by name. */
  readonly optimizer: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
  /** Plain JSON: epoch, step, seed, callback state, metrics, configuration that must not change. */
  readonly progress: Readonly<Record<string, unknown>>;
  /** The serialised forward graph and its SHA-256: models of equal shapes can differ in their graph. */
  readonly graph: { readonly text: string; readonly digest: string };
}

export interface CheckpointStore {
  /** For messages: the run folder. */
  readonly location: string;
  /** Writes whole or not at all: a failed save leaves the previous checkpoint of that kind as it was, and throws. */
  save(kind: 'best' | 'last', checkpoint: Checkpoint): Promise<string>;
  load(kind: 'best' | 'last'): Promise<Checkpoint | null>;
}
