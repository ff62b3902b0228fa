// Golden traces and rate ladders of keras-semantics.md, section 5: recorded from Keras.

import { describe, expect, test } from 'vitest';
import { presetFor } from '../../app/presets.ts';
import type { ArchitectureName } from '../../runtime/model/architectures.ts';
import { ReduceLROnPlateau } from '../../runtime/train/learning-rate.ts';
import { BestKeeper, EarlyStopping } from '../../runtime/train/monitors.ts';

/** Runs the three callbacks of a preset over a list of validation losses, as the loop does. */
function trace(arch: ArchitectureName, losses: readonly number[]) {
  const preset = presetFor(arch);
  if (!preset.earlyStopping || !preset.plateau) throw new Error(`${arch} has no callbacks`);
  const best = new BestKeeper('val_loss');
  const stopping = new EarlyStopping(preset.earlyStopping);
  const plateau = new ReduceLROnPlateau(preset.plateau);
  let rate = Math.fround(preset.learningRate);
  const result = { used: [] as number[], saved: [] as number[], reduced: [] as number[], lastEpoch: 0, messages: [] as string[], rate };
  for (const [i, loss] of losses.entries()) {
    const epoch = i + 1;
    result.used.push(shown(rate));
    const kept = best.onEpochEnd(epoch, loss, 'F');
    if (kept.improved) result.saved.push(epoch);
    const { stop, message } = stopping.onEpochEnd(epoch, loss);
    const next = plateau.onEpochEnd(epoch, loss, rate);
    if (next.learningRate !== rate) result.reduced.push(epoch);
    rate = next.learningRate;
    result.messages.push(...[kept.message, message, next.message].filter((text) => text !== null));
    result.lastEpoch = epoch;
    result.rate = shown(rate);
    if (stop) break;
  }
  return result;
}

/** A float32 number as it is written. */
const shown = (rate: number) => Number(rate.toPrecision(7));

describe('golden traces', () => {
  test('experiment 1: one plateau, then stop', () => {
    const { used, rate, reduced, saved, lastEpoch, messages } = trace('convmixer-256-8', [1.0, 0.9, 0.95, 0.94, 0.93, 0.92, 0.5]);
    expect(used).toEqual([2e-3, 2e-3, 2e-3, 2e-3, 1e-3, 1e-3]);
    expect(rate).toBe(5e-4);
    expect(reduced).toEqual([4, 6]);
    expect(saved).toEqual([1, 2]);
    expect(lastEpoch).toBe(6);
    expect(messages).toEqual([
      'Epoch 1: val_loss improved from None to 1.00000, saving model to F',
      'Epoch 2: val_loss improved from 1.00000 to 0.90000, saving model to F',
      'Epoch 3: val_loss did not improve from 0.90000',
      'Epoch 4: val_loss did not improve from 0.90000',
      'Epoch 4: ReduceLROnPlateau reducing learning rate to 0.001.',
      'Epoch 5: val_loss did not improve from 0.90000',
      'Epoch 6: val_loss did not improve from 0.90000',
      'Epoch 6: early stopping',
      'Epoch 6: ReduceLROnPlateau reducing learning rate to 0.0005.',
    ]);
  });

  test('experiment 1: improvements below 1e-4 save, but do not hold the rate', () => {
    const losses = [1.0, 0.9, 0.89995, 0.8999, 0.89985, 0.8998, 0.7, 0.8, 0.8, 0.8, 0.8, 0.1];
    const { reduced, saved, lastEpoch } = trace('convmixer-2stage-flatten', losses);
    expect(reduced).toEqual([4, 9, 11]);
    expect(saved).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(lastEpoch).toBe(11);
  });

  test('experiment 3: patience 1', () => {
    const { reduced, saved, lastEpoch } = trace('convmixer-2stage', [1.0, 0.9, 0.95, 0.94, 0.93, 0.1]);
    expect(reduced).toEqual([3, 4, 5]);
    expect(saved).toEqual([1, 2]);
    expect(lastEpoch).toBe(5);
  });
});

describe('rate ladders', () => {
  /** Rates met when nothing improves after the first epoch and nothing stops the run. */
  function ladder(arch: ArchitectureName): number[] {
    const preset = presetFor(arch);
    if (!preset.plateau) throw new Error(`${arch} has no plateau`);
    const plateau = new ReduceLROnPlateau(preset.plateau);
    const rates = [Math.fround(preset.learningRate)];
    for (let epoch = 1; epoch <= 40; epoch++) {
      const { learningRate, message } = plateau.onEpochEnd(epoch, 1, rates[rates.length - 1]);
      expect(message !== null).toBe(learningRate !== rates[rates.length - 1]);
      if (message) rates.push(learningRate);
    }
    return rates.map(shown);
  }

  test('experiments 1 and 2', () => {
    const rates = [2e-3, 1e-3, 5e-4, 2.5e-4, 1.25e-4, 6.25e-5, 3.125e-5, 1.5625e-5, 1e-5];
    expect(ladder('convmixer-256-8')).toEqual(rates);
    expect(ladder('conv-pooling')).toEqual(rates);
  });

  test('experiment 3', () => {
    const rates = [2e-3, 1e-3, 5e-4, 2.5e-4, 1.25e-4, 6.25e-5, 3.125e-5, 1.5625e-5, 7.8125e-6, 5e-6];
    expect(ladder('convmixer-2stage')).toEqual(rates);
    expect(ladder('convmixer-256-8-block-residual')).toEqual(rates);
  });
});

describe('details of the comparison', () => {
  test('is made in float32: a difference below its resolution is no improvement', () => {
    const best = new BestKeeper('val_loss');
    best.onEpochEnd(1, 1, null);
    expect(best.onEpochEnd(2, 1 - 1e-9, null).improved).toBe(false);
    expect(best.onEpochEnd(3, 1 - 1e-7, null).improved).toBe(true);
  });

  test('a loss that is not finite is no improvement, also in the first epoch', () => {
    for (const bad of [Number.NaN, Infinity, -Infinity]) {
      const { saved, lastEpoch, messages } = trace('convmixer-256-8', [bad, 1, bad, 2, 0.5]);
      expect(saved).toEqual([2, 5]);
      expect(lastEpoch).toBe(5);
      expect(messages[0]).toBe(`Epoch 1: val_loss did not improve from None (it is ${bad})`);
    }
    expect(trace('convmixer-256-8', [Number.NaN, Number.NaN, Number.NaN, Number.NaN, 1]).lastEpoch).toBe(4);
  });

  test('the first epoch never stops a run, and patience 0 stops at the first epoch without improvement', () => {
    const stopping = new EarlyStopping({ patience: 0 });
    expect(stopping.onEpochEnd(1, Number.NaN).stop).toBe(false);
    expect(stopping.onEpochEnd(2, 1).stop).toBe(false);
    expect(stopping.onEpochEnd(3, 1)).toEqual({ stop: true, message: 'Epoch 3: early stopping' });
  });

  test('without a store the message names no file', () => {
    expect(new BestKeeper('loss').onEpochEnd(1, 0.5, null).message).toBe('Epoch 1: loss improved from None to 0.50000');
  });
});

describe('resume', () => {
  const losses = [1.0, 0.9, 0.89995, 0.8999, 0.89985, 0.8998, 0.7, 0.8, 0.8, 0.8, 0.8];
  const make = () => ({
    best: new BestKeeper('val_loss'),
    stopping: new EarlyStopping({ patience: 4 }),
    plateau: new ReduceLROnPlateau({ patience: 2, factor: 0.5, minLearningRate: 1e-5 }),
  });

  test('callbacks restored after any epoch go on as if there had been no break', () => {
    for (let stop = 0; stop <= losses.length; stop++) {
      const whole = make();
      let resumed = make();
      for (const [i, loss] of losses.entries()) {
        if (i === stop) {
          const saved = JSON.parse(JSON.stringify([resumed.best.state(), resumed.stopping.state(), resumed.plateau.state()]));
          resumed = make();
          resumed.best.restore(saved[0]);
          resumed.stopping.restore(saved[1]);
          resumed.plateau.restore(saved[2]);
        }
        expect(resumed.best.onEpochEnd(i + 1, loss, null)).toEqual(whole.best.onEpochEnd(i + 1, loss, null));
        expect(resumed.stopping.onEpochEnd(i + 1, loss)).toEqual(whole.stopping.onEpochEnd(i + 1, loss));
        expect(resumed.plateau.onEpochEnd(i + 1, loss, 2e-3)).toEqual(whole.plateau.onEpochEnd(i + 1, loss, 2e-3));
      }
      expect(resumed.best.epoch).toBe(7);
      expect(resumed.best.best).toBe(0.7);
    }
  });

  test('a damaged state is refused', () => {
    const damaged = [{}, { best: 'x', epoch: 1, wait: 1 }, { best: 1 }];
    for (const state of damaged) {
      for (const callback of Object.values(make())) {
        expect(() => callback.restore(state)).toThrowError(expect.objectContaining({ code: 'E_CHECKPOINT' }));
      }
    }
    // Which epoch was best every checkpoint says; the others may have been off.
    expect(() => make().best.restore(undefined)).toThrowError(expect.objectContaining({ code: 'E_CHECKPOINT' }));
  });
});
