// Writes checkpoints in the shadow of training: the loop hands over a snapshot and goes on. A write that fails is kept until
// the loop asks, which it does at every step and at its end: no failure is ever lost.

import type { Checkpoint, CheckpointKind, CheckpointStore } from './checkpoint.ts';

export class CheckpointWriter {
  readonly #store: CheckpointStore;
  readonly #onSaved: (kind: CheckpointKind, path: string, epoch: number) => void;
  #writing: Promise<void> = Promise.resolve();
  #pending = 0;
  #failure: { readonly error: unknown } | null = null;

  constructor(store: CheckpointStore, onSaved: (kind: CheckpointKind, path: string, epoch: number) => void) {
    this.#store = store;
    this.#onSaved = onSaved;
  }

  /** Whether a write is under way. */
  get busy(): boolean {
    return this.#pending > 0;
  }

  /** Queues a write behind those that are under way. Nothing is written any more after one has failed. */
  save(kind: CheckpointKind, epoch: number, snapshot: Promise<Checkpoint>): void {
    this.#pending++;
    const write = async (): Promise<void> => {
      try {
        if (!this.#failure) this.#onSaved(kind, await this.#store.save(kind, await snapshot), epoch);
      } catch (error) {
        this.#failure ??= { error };
      } finally {
        this.#pending--;
      }
    };
    snapshot.catch(() => {}); // `write` reports it at its turn
    this.#writing = this.#writing.then(write);
  }

  /** Throws the failure of a write, once. */
  check(): void {
    const failure = this.#failure;
    this.#failure = null;
    if (failure) throw failure.error;
  }

  /** Waits for all writes, then as `check`. */
  async settle(): Promise<void> {
    await this.#writing;
    this.check();
  }
}
