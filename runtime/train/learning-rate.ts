// The one owner of the learning rate: what the schedule makes of it from step to step, plateaus from epoch to epoch, and rolling back for good.

import { Monitor, readCallback } from './monitors.ts';
import type { CallbackState, Resumable, RunProgress } from './progress.ts';
import { learningRateAt } from './schedule.ts';
import type { TrainSettings } from './settings.ts';

/** The rate of a step. */
export interface Rate {
  /** By schedule and plateaus. */
  readonly base: number;
  /** What the step is made with: also by what rolling back has made of it. */
  readonly rate: number;
}

export class LearningRate {
  readonly #settings: Pick<TrainSettings, 'learningRate' | 'schedule'>;
  readonly #totalSteps: number;
  readonly #frozenSteps: number;
  readonly #plateau: ReduceLROnPlateau | null;
  /** Of the last completed step. Where the schedule is constant it is that of the next one as well, and plateaus lower it. */
  #base: number;
  /** What rolling back has made of the rate. */
  #factor = 1;

  /** `frozenSteps`: those at the beginning that train the head alone, all at the highest rate; a schedule begins behind them. */
  constructor(
    { learningRate, schedule, plateau }: Pick<TrainSettings, 'learningRate' | 'schedule' | 'plateau'>,
    totalSteps: number,
    frozenSteps = 0,
  ) {
    this.#settings = { learningRate, schedule };
    this.#totalSteps = totalSteps - frozenSteps;
    this.#frozenSteps = frozenSteps;
    this.#base = learningRate;
    // A schedule decides the rate alone: reduction on a plateau would be overwritten at the next step.
    this.#plateau = plateau && schedule.name === 'constant' ? new ReduceLROnPlateau(plateau) : null;
  }

  /** Of a step of the run, from 0. */
  at(step: number): Rate {
    const { schedule } = this.#settings;
    const base = schedule.name === 'constant' ? this.#base : this.#scheduled(step - this.#frozenSteps);
    return { base, rate: base * this.#factor };
  }

  #scheduled(step: number): number {
    const { learningRate, schedule } = this.#settings;
    return step < 0 ? learningRate : learningRateAt(schedule, { base: learningRate, step, totalSteps: this.#totalSteps });
  }

  /** A step was completed with it. */
  used({ base }: Rate): void {
    this.#base = base;
  }

  /** Of the last completed step. */
  get last(): Rate {
    return { base: this.#base, rate: this.#base * this.#factor };
  }

  get factor(): number {
    return this.#factor;
  }

  /** After going back, for the rest of the run: `factor` is what it was before, and going back has brought back what it was then. */
  lower(factor: number, by: number): void {
    this.#factor = factor * by;
  }

  /** Reduces it where that is due; returns the message. */
  onEpochEnd(epoch: number, loss: number): string | null {
    const reduced = this.#plateau?.onEpochEnd(epoch, loss, this.#base);
    if (reduced) this.#base = reduced.learningRate;
    return reduced?.message ?? null;
  }

  get resumables(): readonly Resumable[] {
    const base: Resumable = {
      key: 'learningRate',
      state: () => this.#base,
      // A rate that was changed on purpose counts; else what the plateau has made of it does.
      restore: (state, { settings }) => {
        const { learningRate } = this.#settings;
        this.#base = settings && settings.lr !== `${learningRate}` ? learningRate : (state as RunProgress['learningRate']);
      },
    };
    const factor: Resumable = {
      key: 'rateFactor',
      state: () => this.#factor,
      restore: (state) => {
        this.#factor = (state as RunProgress['rateFactor'] | undefined) ?? 1;
      },
    };
    return [base, factor, ...(this.#plateau ? [this.#plateau] : [])];
  }
}

/**
 * Multiplies the learning rate by `factor` after `patience` epochs without an improvement by more than 1e-4, down to
 * `minLearningRate`. At the floor nothing happens and the count of epochs goes on growing, as in Keras.
 */
export class ReduceLROnPlateau implements Resumable {
  readonly key = 'callbacks.plateau';
  readonly #monitor = new Monitor(1e-4);
  readonly #patience: number;
  readonly #factor: number;
  readonly #minLearningRate: number;
  #wait = 0;

  constructor(options: { readonly patience: number; readonly factor: number; readonly minLearningRate: number }) {
    this.#patience = options.patience;
    this.#factor = options.factor;
    this.#minLearningRate = options.minLearningRate;
  }

  /** Takes the rate of this epoch and returns that of the next. Rates are float32, as the variable of the optimizer is. */
  onEpochEnd(epoch: number, loss: number, learningRate: number): { readonly learningRate: number; readonly message: string | null } {
    const rate = Math.fround(learningRate);
    if (this.#monitor.improves(loss)) {
      this.#wait = 0;
      return { learningRate: rate, message: null };
    }
    this.#wait++;
    if (this.#wait < this.#patience || rate <= Math.fround(this.#minLearningRate)) return { learningRate: rate, message: null };
    this.#wait = 0;
    const reduced = Math.fround(Math.max(rate * this.#factor, this.#minLearningRate));
    return { learningRate: reduced, message: `Epoch ${epoch}: ReduceLROnPlateau reducing learning rate to ${formatRate(reduced)}.` };
  }

  state(): CallbackState {
    return { best: this.#monitor.best, wait: this.#wait };
  }

  restore(state: unknown): void {
    if (!state) return; // it was off before
    const { best, wait } = readCallback('ReduceLROnPlateau', state, ['best', 'wait']);
    this.#monitor.best = best;
    this.#wait = wait ?? 0;
  }
}

/** A float32 rate without the digits that float32 does not have: 0.001, not 0.0010000000474974513. */
const formatRate = (rate: number): string => `${Number(rate.toPrecision(7))}`;
