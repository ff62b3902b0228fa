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
  | { readonly name: 'one-cycle'; readonly peak?: number; readonly tail?: number; readonly knee?: number }
  /**
   * Straight lines between `points`, each a share of all steps and a factor on the base rate there: from [0, …] to [1, …], in order. A triangle with
   * a warm-up is [[0, 0.2], [0.25, 1], [1, 0]].
   */
  | { readonly name: 'piecewise'; readonly points: readonly SchedulePoint[] };

/** A share of all steps, and the factor on the base rate there. */
export type SchedulePoint = readonly [share: number, factor: number];

/** Name of a schedule. */
export type ScheduleName = ScheduleOptions['name'];

/** Names of the schedules. */
export const SCHEDULES: readonly ScheduleName[] = ['constant', 'cosine', 'one-cycle', 'piecewise'];

const share = number('a share from 0 to 1', (x) => x >= 0 && x <= 1);
const name = choice(...SCHEDULES);

const POINTS = 'a list of [share, factor], from share 0 to share 1 in order, factors from 0 on';
/** The points of a schedule: shares rise, from 0 to 1. */
const points: Kind<readonly SchedulePoint[]> = {
  expected: POINTS,
  check(value, field) {
    const list = Array.isArray(value) ? (value as unknown[]) : [];
    const isPoint = (one: unknown): one is SchedulePoint =>
      Array.isArray(one) && one.length === 2 && one.every((x) => typeof x === 'number' && Number.isFinite(x) && x >= 0);
    const rises = list.every((one, i) => isPoint(one) && (i === 0 || one[0] > (list[i - 1] as SchedulePoint)[0]));
    if (rises && list.length > 1 && (list[0] as SchedulePoint)[0] === 0 && (list[list.length - 1] as SchedulePoint)[0] === 1) return;
    throw new HybridError('E_USAGE', `${field} is ${list.length > 0 ? list : typeof value}`, `Give ${POINTS}.`, { field });
  },
};

/** Fields of each schedule; shares may all be missing. */
const FIELDS: { readonly [Name in ScheduleName]: Kind<object> } = {
  constant: record<{ name: string }>({ name }),
  cosine: record<{ name: string; warmup?: number }>({ name, warmup: share }, ['warmup']),
  'one-cycle': record<{ name: string; peak?: number; tail?: number; knee?: number }>({ name, peak: share, tail: share, knee: share }, [
    'peak',
    'tail',
    'knee',
  ]),
  piecewise: record<{ name: string; points: readonly SchedulePoint[] }>({ name, points }),
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

/** As people write it: the name, and of `piecewise` the points behind a colon, `piecewise:0=0.2,0.25=1,1=0`. */
export const spellSchedule = (schedule: ScheduleOptions): string =>
  schedule.name === 'piecewise'
    ? `${schedule.name}:${schedule.points.map(([share, factor]) => `${share}=${factor}`).join(',')}`
    : schedule.name;

/** What people write; undefined where it is no schedule. */
export function parseSchedule(text: string): ScheduleOptions | undefined {
  const [name, list, ...more] = text.split(':');
  const known = SCHEDULES.find((one) => one === name);
  if (!known || more.length > 0 || (known === 'piecewise') !== (list !== undefined)) return undefined;
  if (known !== 'piecewise') return { name: known };
  const numbers = list
    .split(',')
    .map((point) => point.split('=').map((part) => (/^\d*\.?\d+(e-?\d+)?$/i.test(part) ? Number(part) : Number.NaN)));
  try {
    points.check(numbers, 'points');
    return { name: known, points: numbers as unknown as SchedulePoint[] };
  } catch {
    return undefined;
  }
}

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
    case 'piecewise': {
      const [shares, factors] = [0, 1].map((i) => schedule.points.map((point) => point[i]));
      return base * interpolate(share, shares, factors);
    }
  }
}

/** Value at `x` of the polygon through (xs[i], ys[i]), xs ascending and xs[0] < x ≤ xs[last]. */
function interpolate(x: number, xs: readonly number[], ys: readonly number[]): number {
  const right = xs.findIndex((knot) => x <= knot);
  const left = right - 1;
  return ys[left] + ((ys[right] - ys[left]) * (x - xs[left])) / (xs[right] - xs[left]);
}
