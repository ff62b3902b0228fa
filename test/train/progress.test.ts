// What must survive a restart goes into checkpoints and comes back by its key alone; the layout is that of checkpoints from before.

import { expect, test } from 'vitest';
import { LearningRate } from '../../runtime/train/learning-rate.ts';
import { BestKeeper, EarlyStopping } from '../../runtime/train/monitors.ts';
import { Position, type Resumable, type RunProgress, restoreAll, statesOf } from '../../runtime/train/progress.ts';

const PLATEAU = { patience: 1, factor: 0.5, minLearningRate: 0.01 };
const rateOf = (learningRate: number) => new LearningRate({ learningRate, schedule: { name: 'constant' }, plateau: PLATEAU }, 10);

const base = (): RunProgress => ({
  ...new Position().state(),
  ...{ stepsPerEpoch: 5, epochs: 2, seed: '0', batch: 8, settings: { lr: '0.25' }, learningRate: 0, rateFactor: 1 },
  callbacks: { best: null, earlyStopping: null, plateau: null },
});
const checkpoint = (resumables: readonly Resumable[], more: object = {}) => ({ progress: { ...base(), ...statesOf(resumables), ...more } });

test('states stand where checkpoints have always had them', () => {
  const rate = rateOf(0.25);
  rate.onEpochEnd(1, 2);
  rate.onEpochEnd(2, 2);
  const best = new BestKeeper('loss');
  best.onEpochEnd(1, 2, null);
  expect(statesOf([...rate.resumables, best])).toEqual({
    learningRate: 0.125,
    rateFactor: 1,
    callbacks: { best: { best: 2, epoch: 1 }, earlyStopping: null, plateau: { best: 2, wait: 0 } },
  });
});

test('a new one needs its key and nothing else, and a checkpoint from before has nothing for it', () => {
  const given: unknown[] = [];
  const average: Resumable = { key: 'average.decay', state: () => [0.5], restore: (state) => given.push(state) };
  restoreAll([average], checkpoint([average]));
  restoreAll([average], checkpoint([]));
  // Not what a program has written to every object.
  Object.assign(Object.prototype, { average: { decay: 1 } });
  try {
    restoreAll([average], checkpoint([]));
  } finally {
    Reflect.deleteProperty(Object.prototype, 'average');
  }
  expect(given).toEqual([[0.5], undefined, undefined]);
});

test('the rate has one owner: plateaus and rolling back come back, a change on purpose wins', () => {
  const before = rateOf(0.25);
  before.onEpochEnd(1, 2);
  before.onEpochEnd(2, 2);
  before.lower(before.factor, 0.5);
  expect(before.last).toEqual({ base: 0.125, rate: 0.0625 });
  const saved = checkpoint(before.resumables);

  const after = rateOf(0.25);
  restoreAll(after.resumables, saved);
  expect(after.at(7)).toEqual({ base: 0.125, rate: 0.0625 });
  const changed = rateOf(0.5);
  restoreAll(changed.resumables, saved);
  expect(changed.at(7)).toEqual({ base: 0.5, rate: 0.25 });
  // Before there was rolling back, and where the settings are not known.
  const { rateFactor, settings, ...old } = saved.progress as unknown as RunProgress;
  const oldest = rateOf(0.5);
  restoreAll(oldest.resumables, { progress: { ...old, settings: null } });
  expect(oldest.at(7)).toEqual({ base: 0.125, rate: 0.125 });
});

test('a schedule goes by the step of the run alone', () => {
  const rate = new LearningRate({ learningRate: 1, schedule: { name: 'cosine', warmup: 0 }, plateau: PLATEAU }, 4);
  rate.used(rate.at(1));
  expect(rate.last.base).toBeCloseTo(0.5, 12);
  expect(rate.onEpochEnd(1, 2)).toBeNull();
  expect(rate.onEpochEnd(2, 2)).toBeNull();
  expect(rate.at(3).base).toBeCloseTo(0, 12);
  expect(rate.at(0).base).toBeGreaterThan(0.8);
});

test('patience that was off before starts anew', () => {
  const stopping = new EarlyStopping({ patience: 2 });
  stopping.onEpochEnd(1, 1);
  stopping.onEpochEnd(2, 1);
  restoreAll([stopping], checkpoint([]));
  expect(stopping.state()).toEqual({ best: 1, wait: 1 });
});
