// Learning-rate schedules: pure functions of the step. Reduction on a plateau, which looks at the loss, is in learning-rate.ts.

import { HybridError, invariant } from '../base/errors.ts';
import { choice, type Kind, number, record } from '../base/kinds.ts';

/** How the learning rate goes from step to step. */
export type ScheduleOptions =
  /** The base rate throughout; the only schedule that goes together with reduction on a plateau. */
  | { readonly name: 'constant' }
  /** Linear rise over the share `warmup` of all steps (0.05 by default), then half a cosine down to 0. */
  | { readonly name: 'cosine'; readonly warmup?: number }
  /**
   * Piecewise linear: from 0 to the base rate at the share `peak` of all steps (0.4), down to `knee` times the base rate
   * (0.05) at the share `tail` (0.8), down to 0 at the end. With the defaults it is the schedule behind the published
   * log of convmixer-cifar10.
   */
  | { readonly name: 'one-cycle'; readonly peak?: number; readonly tail?: number; readonly knee?: number };

/** Name of a schedule. */
export type ScheduleName = ScheduleOptions['name'];

/** Names of the schedules. */
export const SCHEDULES: readonly ScheduleName[] = ['constant', 'cosine', 'one-cycle'];

const share = number('a share from 0 to 1', (x) => x >= 0 && x <= 1);
const name = choice(...SCHEDULES);

/** Fields of each schedule, which are all shares and may all be missing. */
const FIELDS: { readonly [Name in ScheduleName]: Kind<object> } = {
  constant: record<{ name: string }>({ name }),
  cosine: record<{ name: string; warmup?: number }>({ name, warmup: share }, ['warmup']),
  'one-cycle': record<{ name: string; peak?: number; tail?: number; knee?: number }>({ name, peak: share, tail: share, knee: share }, [
    'peak',
    'tail',
    'knee',
  ]),
};

/** A schedule: one of the names, with the shares that it knows. */
export const scheduleKind: Kind<ScheduleOptions> = {
  expected: `an object with name, one of ${SCHEDULES.join(', ')}`,
  check(value, field) {
    name.check(Object(value).name, `${field}.name`);
    const schedule = value as ScheduleOptions;
    FIELDS[schedule.name].check(schedule, field);
    if (schedule.name !== 'one-cycle') return;
    const { peak, tail } = knotsOf(schedule);
    if (peak <= tail) return;
    throw new HybridError('E_USAGE', `${field}.peak is ${peak}, behind its tail, ${tail}`, `Give a share from 0 to ${tail}.`, { field });
  },
};

/** In words, for comparing with a checkpoint. */
export const describeSchedule = ({ name, ...shares }: ScheduleOptions): string =>
  [name, ...Object.entries(shares).map(([key, value]) => `${key} ${value}`)].join(', ');

const warmupOf = ({ warmup = 0.05 }: Extract<ScheduleOptions, { name: 'cosine' }>): number => warmup;
const knotsOf = ({ peak = 0.4, tail = 0.8, knee = 0.05 }: Extract<ScheduleOptions, { name: 'one-cycle' }>) => ({ peak, tail, knee });

/**
 * Learning rate of `step` (from 0) of `totalSteps`. The schedules are curves over the share of the run that lies behind
 * when the step ends, (step + 1) / totalSteps: the first step already moves, and the last one of a schedule that ends
 * at 0 has the rate 0.
 */
export function learningRateAt(
  schedule: ScheduleOptions,
  { base, step, totalSteps }: { readonly base: number; readonly step: number; readonly totalSteps: number },
): number {
  invariant(step >= 0 && step < totalSteps, `step ${step} of ${totalSteps}`);
  const share = (step + 1) / totalSteps;
  switch (schedule.name) {
    case 'constant':
      return base;
    case 'cosine': {
      const warmup = warmupOf(schedule);
      if (share < warmup) return (base * share) / warmup;
      return warmup === 1 ? base : base * 0.5 * (1 + Math.cos((Math.PI * (share - warmup)) / (1 - warmup)));
    }
    case 'one-cycle': {
      const { peak, tail, knee } = knotsOf(schedule);
      return base * interpolate(share, [0, peak, tail, 1], [0, 1, knee, 0]);
    }
  }
}

/** Value at `x` of the polygon through (xs[i], ys[i]), xs ascending and xs[0] < x ≤ xs[last]. */
function interpolate(x: number, xs: readonly number[], ys: readonly number[]): number {
  const right = xs.findIndex((knot) => x <= knot);
  const left = right - 1;
  return ys[left] + ((ys[right] - ys[left]) * (x - xs[left])) / (xs[right] - xs[left]);
}
