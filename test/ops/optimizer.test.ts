// finiteCheck, adamw, movingAverage, countStep.

import { describe, expect, test } from 'vitest';
import { expectClose } from '../support/close.ts';
import { referenceData, runReference } from '../support/reference.ts';
import { expectRefused } from '../support/refuse.ts';
import { copy, fixed, samples, type TestTensor, uniform } from '../support/tensors.ts';

const ADAMW = { beta1: 0.9, beta2: 0.999, epsilon: 1e-7 };
const OK = fixed([1], [1], 'i32');
const NOT_OK = fixed([1], [0], 'i32');
const counter = (steps: number): TestTensor => fixed([1], [steps], 'i32');

/** Exact doubles, not rounded to f32: the golden numbers are those of the formula. */
const doubles = (values: number[]): TestTensor => ({ ...fixed([values.length], () => 0), data: Float64Array.from(values) });

describe('finiteCheck', () => {
  const check = (...values: number[][]): number =>
    referenceData(
      'finiteCheck',
      values.map((list) => fixed([list.length], list)),
    )[0];

  test('is 1 for finite numbers and 0 for anything else, wherever it is', () => {
    expect(check([1], [0, -0, 3e38, -1e-40])).toBe(1);
    expect(check([Number.NaN], [1])).toBe(0);
    expect(check([1], [1, 2, Number.POSITIVE_INFINITY])).toBe(0);
    expect(check([1], [1], [Number.NEGATIVE_INFINITY])).toBe(0);
  });

  test('refuses', () => {
    expectRefused('finiteCheck', [], {}, 'finiteCheck lacks its operand loss');
    expectRefused('finiteCheck', [samples(2, [1], uniform(1))], {}, 'f32 [n, 1]');
  });
});

describe('adamw', () => {
  test('three steps of Keras', () => {
    const w = doubles([1, -2, 0.5, 0, 0.25]);
    const m = doubles([0, 0, 0, 0, 0]);
    const v = doubles([0, 0, 0, 0, 0]);
    const gradients = [
      [0.1, -0.2, 1e-6, 0.3, 0.5],
      [0.2, 0.1, -2e-6, 0, -0.5],
      [-0.1, 0, 1e-6, 0.1, 0.25],
    ];
    const expected = [
      [0.997999863, -1.997999632, 0.499519394, -0.001999979, 0.247999963],
      [0.996069327, -1.997466565, 0.499822566, -0.003340081, 0.248105176],
      [0.99522896, -1.997054413, 0.499820189, -0.004727107, 0.247755677],
    ];
    gradients.forEach((g, t) => {
      runReference('adamw', [OK, counter(t), doubles(g)], ADAMW, {
        step: { learningRate: 2e-3, weightDecay: 1e-4 },
        updates: [w, m, v],
      });
      expectClose(w.data, expected[t], { absolute: 6e-10 }, `weights after step ${t + 1}`);
    });
  });

  test('the step size at t: lr·√(1−β2^t)/(1−β1^t)', () => {
    const expected: [number, number][] = [
      [1, 6.3246e-4],
      [2, 4.7063e-4],
      [10, 3.0638e-4],
      [100, 6.1713e-4],
      [352, 1.08967e-3],
      [1000, 1.59035e-3],
      [3520, 1.97023e-3],
    ];
    for (const [t, alpha] of expected) {
      // With g = m = v = 1 the moments stay 1, so w moves by α/(1 + ε).
      const w = doubles([0]);
      runReference('adamw', [OK, counter(t - 1), doubles([1])], ADAMW, {
        step: { learningRate: 2e-3, weightDecay: 0 },
        updates: [w, doubles([1]), doubles([1])],
      });
      expectClose(w.data, [-alpha], { relative: 1e-5 }, `α at step ${t}`);
    }
  });

  test('decay alone: w ← w − w·wd·lr', () => {
    const w = doubles([2]);
    runReference('adamw', [OK, counter(0), doubles([0])], ADAMW, {
      step: { learningRate: 0.1, weightDecay: 0.5 },
      updates: [w, doubles([0]), doubles([0])],
    });
    expect(w.data[0]).toBe(2 - 2 * 0.5 * 0.1);
  });

  test('several parameters: all parameters, then all first, then all second moments', () => {
    const shapes = [[2, 3], [5], [1]];
    const each = (seed: number, low: number): TestTensor[] => shapes.map((shape, k) => fixed(shape, uniform(seed + k, low, 1)));
    const [g, w, m, v] = [each(1, -1), each(10, -1), each(20, -1), each(30, 0)];
    const together = [...w, ...m, ...v].map(copy);
    runReference('adamw', [OK, counter(4), ...g], ADAMW, { updates: together });
    shapes.forEach((_, k) => {
      const alone = [w[k], m[k], v[k]].map(copy);
      runReference('adamw', [OK, counter(4), g[k]], ADAMW, { updates: alone });
      expect([together[k], together[3 + k], together[6 + k]].map(({ data }) => data)).toEqual(alone.map(({ data }) => data));
    });
  });

  test('changes nothing when not ok', () => {
    const updates = [fixed([3], uniform(1)), fixed([3], uniform(2)), fixed([3], uniform(3, 0, 1))];
    const before = updates.map((tensor) => copy(tensor).data);
    runReference('adamw', [NOT_OK, counter(3), fixed([3], [Number.NaN, 1, 2])], ADAMW, { updates });
    expect(updates.map(({ data }) => data)).toEqual(before);
  });

  test('refuses', () => {
    expectRefused('adamw', [OK, counter(0)], ADAMW, 'adamw lacks its operand gradients', 'gradients');
    expectRefused('adamw', [OK, fixed([3], uniform(1))], ADAMW, 'counter i32 [1]');
    expectRefused('adamw', [OK, counter(0), fixed([3], uniform(1))], { ...ADAMW, beta2: 1 }, 'attribute beta2 of adamw', 'not 1');
  });
});

describe('movingAverage', () => {
  const run = (ok: TestTensor): number[] => {
    const updates = [doubles([0]), doubles([1])];
    // Of the values 1, 2, 3, 4: mean 2.5, biased variance 1.25.
    runReference('movingAverage', [ok, doubles([2.5]), doubles([1.25])], {}, { step: { bnMomentum: 0.99 }, updates });
    return updates.map(({ data }) => data[0]);
  };

  test('by hand: one update of Keras from its initial 0 and 1', () => {
    const [mean, variance] = run(OK);
    expect(mean).toBeCloseTo(0.025, 15);
    expect(variance).toBeCloseTo(1.0025, 15);
  });

  test('changes nothing when not ok', () => {
    expect(run(NOT_OK)).toEqual([0, 1]);
  });

  test('refuses', () => {
    expectRefused('movingAverage', [OK, fixed([3], uniform(1)), fixed([4], uniform(1))], {}, 'mean f32 [3], variance f32 [4]');
  });
});

test('countStep adds one when ok', () => {
  const steps = counter(41);
  runReference('countStep', [OK], {}, { updates: [steps] });
  runReference('countStep', [NOT_OK], {}, { updates: [steps] });
  expect(steps.data[0]).toBe(42);
  expectRefused('countStep', [fixed([1], [1])], {}, 'countStep got ok f32 [1]');
});
