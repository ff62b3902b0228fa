// What Keras' three callbacks of the script decide at the end of an epoch, as state machines without side effects: the
// loop (loop.ts) saves, stops and sets the rate. It calls them in the script's order: BestKeeper, EarlyStopping,
// ReduceLROnPlateau (learning-rate.ts), all three also in the epoch that stops. Epochs count from 1.
//
// They differ in one number that shows: ReduceLROnPlateau wants an improvement of at least 1e-4, the other two of any
// size. Its best can therefore lag behind theirs.

import { HybridError } from '../base/errors.ts';
import type { CallbackState, Resumable } from './progress.ts';

/**
 * The test "is this loss better than the best so far", in float32 as in Keras. A loss that is not finite is no
 * improvement, not even in the first epoch. (Keras lets a first NaN become the best, after which nothing ever improves.)
 */
export class Monitor {
  best: number | null = null;
  readonly #minDelta: number;

  constructor(minDelta: number) {
    this.#minDelta = minDelta;
  }

  /** Takes the loss of an epoch; true if it is the best by more than the least difference. */
  improves(loss: number): boolean {
    if (!Number.isFinite(loss)) return false;
    if (this.best !== null && !(Math.fround(loss + this.#minDelta) < Math.fround(this.best))) return false;
    this.best = loss;
    return true;
  }
}

/** Which epoch has the best weights: Keras' ModelCheckpoint with `save_best_only`. */
export class BestKeeper implements Resumable {
  readonly key = 'callbacks.best';
  /** Of the best epoch, from its end on; null also where they are only in a checkpoint. */
  weights: ReadonlyMap<string, Float32Array> | null = null;
  /** Epoch of the best loss, 0 before there is one. */
  epoch = 0;
  readonly #monitor = new Monitor(0);
  readonly #name: string;

  /** `monitor` is the name of the loss in messages: `val_loss`, or `loss` where nothing is validated. */
  constructor(monitor: string) {
    this.#name = monitor;
  }

  /** Lowest loss so far. */
  get best(): number | null {
    return this.#monitor.best;
  }

  /** `path` is where the loop saves the weights if they are the best; null where it keeps them in memory. */
  onEpochEnd(epoch: number, loss: number, path: string | null): { readonly improved: boolean; readonly message: string } {
    const before = formatLoss(this.best);
    const improved = this.#monitor.improves(loss);
    if (!improved) {
      const reason = Number.isFinite(loss) ? '' : ` (it is ${loss})`;
      return { improved, message: `Epoch ${epoch}: ${this.#name} did not improve from ${before}${reason}` };
    }
    this.epoch = epoch;
    const saving = path === null ? '' : `, saving model to ${path}`;
    return { improved, message: `Epoch ${epoch}: ${this.#name} improved from ${before} to ${formatLoss(loss)}${saving}` };
  }

  state(): CallbackState {
    return { best: this.best, epoch: this.epoch };
  }

  restore(state: unknown): void {
    const { best, epoch } = readCallback('BestKeeper', state, ['best', 'epoch']);
    this.#monitor.best = best;
    this.epoch = epoch ?? 0;
  }
}

/**
 * Stops after `patience` epochs in a row without improvement, but never after the first epoch. The best weights are not
 * restored: BestKeeper knows them.
 */
export class EarlyStopping implements Resumable {
  readonly key = 'callbacks.earlyStopping';
  readonly #monitor = new Monitor(0);
  readonly #patience: number;
  #wait = 0;

  constructor({ patience }: { readonly patience: number }) {
    this.#patience = patience;
  }

  onEpochEnd(epoch: number, loss: number): { readonly stop: boolean; readonly message: string | null } {
    this.#wait = this.#monitor.improves(loss) ? 0 : this.#wait + 1;
    const stop = this.stopsAfter(epoch);
    return { stop, message: stop ? `Epoch ${epoch}: early stopping` : null };
  }

  /** Whether training stops after `epoch`, the last one that it was told of. */
  stopsAfter(epoch: number): boolean {
    // An improvement never stops, not even with patience 0.
    return this.#wait > 0 && this.#wait >= this.#patience && epoch > 1;
  }

  /** Why a run that goes on after `epoch` epochs has only the test left, and what would have it train longer. */
  reason(epoch: number): string {
    const waited = `${this.#wait} ${this.#wait === 1 ? 'epoch' : 'epochs'} without improvement`;
    return `Training stopped early, after epoch ${epoch}: ${waited}, and the patience is ${this.#patience}. Only the test is left. Raise \`earlyStopping\`, and name it in \`allowChanged\`, to train longer.`;
  }

  state(): CallbackState {
    return { best: this.#monitor.best, wait: this.#wait };
  }

  restore(state: unknown): void {
    if (!state) return; // it was off before
    const { best, wait } = readCallback('EarlyStopping', state, ['best', 'wait']);
    this.#monitor.best = best;
    this.#wait = wait ?? 0;
  }
}

const formatLoss = (loss: number | null): string => loss?.toFixed(5) ?? 'None';

/** Checks what a checkpoint says about a callback. */
export function readCallback<Key extends string>(callback: string, state: unknown, keys: readonly Key[]): Record<Key, number | null> {
  const record = (state ?? {}) as Record<Key, unknown>;
  for (const key of keys) {
    const value = record[key];
    if (value === null || (typeof value === 'number' && Number.isFinite(value))) continue;
    throw new HybridError(
      'E_CHECKPOINT',
      `the state of ${callback} in the checkpoint has ${key} = ${JSON.stringify(value)} instead of a number`,
      'The checkpoint is damaged or of another version: resume from another one.',
    );
  }
  return record as Record<Key, number | null>;
}
