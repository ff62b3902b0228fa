// Snapshots of a run: when one is due, what is in it, which one is good to go back to; and the way back.

import { HybridError } from '../base/errors.ts';
import { describeOptimizer, optimizerOf, parseOptimizer } from '../optim/index.ts';
import { unaveraged, type WeightAverage } from './average.ts';
import type { Checkpoint, CheckpointKind } from './checkpoint.ts';
import { CheckpointWriter } from './checkpoint-writer.ts';
import { type DeviceState, notFiniteIn, readState, readWeights, weightsOf, withRate, writeState } from './device-state.ts';
import type { LearningRate } from './learning-rate.ts';
import type { BestKeeper } from './monitors.ts';
import type { LoopOptions } from './options.ts';
import { type Position, type Resumable, readProgress, restoreAll, statesOf } from './progress.ts';
import type { Reporter } from './reporter.ts';
import type { Session } from './session.ts';
import type { Stages } from './stages.ts';

export interface SnapshotsOptions {
  readonly options: LoopOptions;
  readonly session: Session;
  readonly stages: Stages;
  readonly stepsPerEpoch: number;
  readonly position: Position;
  readonly rate: LearningRate;
  readonly average: WeightAverage | null;
  /** What else must survive a restart. */
  readonly resumables: readonly Resumable[];
  /** The same in all checkpoints of the run. */
  readonly identity: Pick<Checkpoint, 'graph' | 'card'>;
  /** By their words in checkpoints. */
  readonly settings: Readonly<Record<string, string>>;
  readonly reporter: Reporter;
}

export class Snapshots {
  readonly #run: SnapshotsOptions;
  readonly #writer: CheckpointWriter | null;
  /** When `last` was asked for. */
  #lastSave = performance.now();
  /** Whether a step was completed that `last` does not have. */
  #isBehind = false;
  #good: Promise<Checkpoint> | null = null;

  constructor(run: SnapshotsOptions) {
    const { options, reporter } = run;
    this.#run = run;
    this.#writer =
      options.store === undefined
        ? null
        : new CheckpointWriter(options.store, (kind, path, epoch) => reporter.checkpoint(kind, path, epoch));
  }

  /** The last state that proved to be finite, from `keepGood` on. */
  get good(): Promise<Checkpoint> | null {
    return this.#good;
  }

  /** From here on there is always a good state to go back to. */
  keepGood(): void {
    this.#good = this.take();
    this.#good.catch(() => {}); // told where it is gone back to
  }

  /** Whether the options want the state after this step, within an epoch, to go to `last`. */
  isDue(epoch: number, step: number): boolean {
    const { options, stepsPerEpoch } = this.#run;
    const { steps = Number.POSITIVE_INFINITY, minutes = Number.POSITIVE_INFINITY } = options.checkpointEvery ?? {};
    if (!this.#writer || this.#writer.busy || step === stepsPerEpoch) return false;
    const isDue = ((epoch - 1) * stepsPerEpoch + step) % steps === 0 || performance.now() - this.#lastSave >= minutes * 60_000;
    if (isDue) this.#lastSave = performance.now(); // asked for: those behind it need not
    return isDue;
  }

  /** A step was completed: `state` is that behind it, where `isDue` wanted it. Throws what a write before has failed with. */
  stepEnded(epoch: number, state: Promise<DeviceState> | undefined): void {
    this.#isBehind = true;
    this.#writer?.check();
    // A write that is under way is not waited for: the next step asks again.
    if (state && !this.#writer?.busy) this.#save('last', epoch, this.take(state));
  }

  /** Saves what an epoch came to. `improved`: it is the best, and the rate is what it was made with. Throws what a write before has failed with. */
  async epochEnded(epoch: number, improved: { readonly best: BestKeeper; readonly rate: number } | null): Promise<void> {
    await this.settle(); // at most one snapshot waits to be written
    const snapshot = this.take();
    if (improved) {
      improved.best.weights = weightsOf(await snapshot);
      // The rate in the best checkpoint is the one before its reduction, as in Keras' file.
      this.#save(
        'best',
        epoch,
        snapshot.then((checkpoint) => withRate(checkpoint, improved.rate)),
      );
    }
    this.#save('last', epoch, snapshot);
    const { keepEvery } = this.#run.options;
    if (keepEvery > 0 && epoch % keepEvery === 0) this.#save(`epoch-${String(epoch).padStart(4, '0')}`, epoch, snapshot);
  }

  /** Queues the writing of a snapshot, if there is a store. */
  #save(kind: CheckpointKind, epoch: number, snapshot: Promise<Checkpoint>): void {
    if (kind === 'last') {
      this.#lastSave = performance.now();
      this.#isBehind = false;
      // Only a state that proves to be finite is one to go back to.
      if (this.#good)
        void snapshot.then(
          () => (this.#good = snapshot),
          () => {},
        );
    }
    snapshot.catch(() => {}); // without a store nobody asks for it
    this.#writer?.save(kind, epoch, snapshot);
  }

  /** Saves `last`, unless it is there. */
  saveLast(epoch: number): void {
    if (this.#isBehind) this.#save('last', epoch, this.take());
  }

  /** Waits for all writes. Throws what one has failed with. */
  async settle(): Promise<void> {
    await this.#writer?.settle();
  }

  /** That of the device now, with the average of the weights where the run has one. */
  async #state(): Promise<DeviceState> {
    const { session, average } = this.#run;
    const state = await readState(session.executable);
    return average?.joined(state) ?? state;
  }

  /**
   * A checkpoint after the last completed step, with the state that the device has now, or had when it was asked for: all is copied or
   * asked for before this returns. Rejects with E_DIVERGED where a value is not finite: such a state must not replace a good one.
   */
  async take(state = this.#state()): Promise<Checkpoint> {
    const { options, stepsPerEpoch, position, rate, resumables, settings, identity } = this.#run;
    const { base } = rate.last;
    const { epoch, step } = position;
    const progress = {
      ...position.state(),
      stepsPerEpoch,
      epochs: options.epochs,
      ...{ seed: `${options.seed}`, batch: options.batch, settings },
      ...statesOf(resumables),
    };
    const tensors = await state;
    const bad = notFiniteIn(tensors);
    if (bad) {
      throw new HybridError(
        'E_DIVERGED',
        `after epoch ${epoch}, step ${step}, ${bad} is not finite (learning rate ${base}).`,
        'The checkpoints are unchanged. Try a smaller `learningRate`.',
        { field: 'learningRate', onAllRanks: true },
      );
    }
    return withRate({ ...tensors, progress, ...identity }, base);
  }

  /** Takes over the state of a checkpoint, whole. Throws E_CHECKPOINT. */
  async restore(checkpoint: Checkpoint): Promise<void> {
    const { session, stages, options, stepsPerEpoch, position, average, resumables } = this.#run;
    const { settings, epoch, history } = readProgress(checkpoint);
    const keeps = (text = 'adamw') => JSON.stringify([text.split(':')[0], optimizerOf(parseOptimizer(text)).slots]);
    const next = history.length + 1;
    await stages.enter(session, next);
    await writeState(session.executable, unaveraged(checkpoint), {
      newOptimizer: keeps(settings?.optimizer) !== keeps(describeOptimizer(options.optimizer)),
      // Another stage, or a run that had other layers frozen: the parameters that are trained are others.
      newParameters: !stages.areOne(epoch, next) || (settings?.freeze ?? 'none') !== `${options.freeze}`,
    });
    average?.begin(weightsOf(checkpoint));
    position.restore(checkpoint, { batch: options.batch, size: options.train.size, stepsPerEpoch });
    restoreAll(resumables, checkpoint);
    this.#isBehind = false;
  }

  /**
   * The best weights of before, from the store. Where it does not have them, the best epoch is forgotten with its weights: what is told as
   * the best, what is tested and what the run returns must be one and the same.
   */
  async recoverBest(best: BestKeeper): Promise<void> {
    const { options, session, position, average, reporter } = this.#run;
    const { store } = options;
    let reason = store ? `${store.location} has no best checkpoint` : 'there is no store that has them';
    const saved = await store?.load('best').catch((error: unknown) => {
      reason = error instanceof Error ? error.message : String(error);
    });
    if (saved) {
      best.weights = weightsOf(saved);
      return;
    }
    const last = position.history.at(-1);
    const hasWeightsOfLast = last !== undefined && position.epoch === last.epoch;
    const adopt = async () => {
      best.weights = average?.weights ?? weightsOf({ weights: await readWeights(session.executable) });
    };
    if (best.epoch === last?.epoch && hasWeightsOfLast) return adopt();
    const lost = best.epoch;
    best.restore({ best: null, epoch: 0 });
    if (hasWeightsOfLast) {
      best.onEpochEnd(last.epoch, (last.validation ?? last.train).loss, null);
      await adopt();
    }
    const from = best.epoch > 0 ? `epoch ${best.epoch}, which this checkpoint is of` : 'the epochs to come';
    reporter.warn(`The best weights so far, of epoch ${lost}, are lost (${reason}): the best are those of ${from}, or better ones.`);
  }
}
