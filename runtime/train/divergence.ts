// What is done where a step is not finite: stop, leave it out, or go back to the last good state with a lower rate. Such a step was never
// applied.

import { HybridError } from '../base/errors.ts';
import type { Batch, BatchMetrics, Update } from '../device.ts';
import type { LearningRate } from './learning-rate.ts';
import type { Position } from './progress.ts';
import type { Reporter } from './reporter.ts';
import type { TrainSettings } from './settings.ts';
import type { Snapshots } from './snapshots.ts';

/** A run that skips or rolls back more often than this in a row is beyond help. */
const MAX_SKIPS = 10;
const MAX_ROLLBACKS = 5;
const RATE_AFTER_ROLLBACK = 0.5;

/** A step that was computed. */
export interface JudgedStep {
  readonly epoch: number;
  readonly step: number;
  readonly batch: Batch;
  /** With which it was made. */
  readonly rate: number;
}

export class Divergence {
  readonly #onNan: TrainSettings['onNan'];
  readonly #reporter: Reporter;
  #skipsInARow = 0;
  /** Since an epoch was completed last. */
  #rollbacks = 0;

  constructor(onNan: TrainSettings['onNan'], reporter: Reporter) {
    this.#onNan = onNan;
    this.#reporter = reporter;
  }

  /** Whether the metrics of the step count; reports a step that was left out. Throws E_DIVERGED where that is not wanted, or happens again and again. */
  judge(step: JudgedStep, { loss }: BatchMetrics, { applied, cause, overflow }: Update): boolean {
    if (overflow !== undefined) this.#reporter.say(overflowed(step, overflow));
    else if (!applied) this.#skip(diverged(step, loss, cause));
    if (applied) this.#skipsInARow = 0;
    return applied || overflow !== undefined;
  }

  #skip(error: HybridError): void {
    if (this.#onNan !== 'skip' || ++this.#skipsInARow > MAX_SKIPS) throw error;
    this.#reporter.warn(`${error.message} Skipped (${this.#skipsInARow} in a row, ${MAX_SKIPS} are allowed).`);
  }

  /** An epoch was completed: what led to it is forgiven. */
  epochEnded(): void {
    this.#rollbacks = 0;
  }

  /** Goes back to the last good state with a lower rate, if that is wanted and may help; false: it is not, or does not. */
  async goBack(
    error: unknown,
    run: { readonly snapshots: Snapshots; readonly rate: LearningRate; readonly position: Position },
  ): Promise<boolean> {
    const { snapshots, rate, position } = run;
    if (!(snapshots.good && error instanceof HybridError && error.code === 'E_DIVERGED')) return false;
    if (++this.#rollbacks > MAX_ROLLBACKS) return false;
    await snapshots.settle();
    const { factor } = rate;
    await snapshots.restore(await snapshots.good);
    rate.lower(factor, RATE_AFTER_ROLLBACK);
    this.#reporter.warn(
      `${error.message} Back to the state after step ${position.step} of epoch ${position.epoch}, with ${rate.factor} times the learning rate.`,
    );
    this.#reporter.resume('rolled back', position);
    return true;
  }
}

/** No divergence: the forward pass is as good as any, and a scale that is halved each time soon suits, or is 1, where it would be one. */
const overflowed = ({ epoch, step }: JudgedStep, scale: number): string =>
  `epoch ${epoch}, step ${step}: the gradients went beyond the range of f16 at a loss scale of ${scale}: the step is skipped, and the scale is ${scale / 2} from here on.`;

function diverged({ epoch, step, batch, rate }: JudgedStep, loss: number, cause?: string): HybridError {
  const samples = Array.from(batch.samples?.subarray(0, Math.min(batch.rows, 8)) ?? []);
  const more = batch.rows > samples.length ? ', …' : '';
  const where = cause === undefined ? '' : ` ${cause}`;
  const what = Number.isFinite(loss) ? `a gradient${where} is not finite (loss ${loss})` : `the loss${where} is ${loss}`;
  return new HybridError(
    'E_DIVERGED',
    `epoch ${epoch}, step ${step}: ${what} at learning rate ${rate}; batch of ${batch.rows} images, samples ${samples.join(', ')}${more}.`,
    'The step was not applied and the checkpoints are unchanged. Try a smaller `learningRate`.',
    { field: 'learningRate', onAllRanks: true },
  );
}
