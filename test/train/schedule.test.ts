import { describe, expect, test } from 'vitest';
import { learningRateAt, parseSchedule, type ScheduleOptions, scheduleKind, spellSchedule } from '../../runtime/train/schedule.ts';

const curve = (schedule: ScheduleOptions, base: number, totalSteps: number) =>
  Array.from({ length: totalSteps }, (_, step) => learningRateAt(schedule, { base, step, totalSteps }));

describe('one-cycle', () => {
  // End-of-epoch rates of the log in the README of convmixer-cifar10 (lr-max 0.05, 25 epochs).
  const published = [
    0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.045, 0.05, 0.04525, 0.0405, 0.03575, 0.031, 0.02625, 0.0215, 0.01675, 0.012,
    0.00725, 0.0025, 0.002, 0.0015, 0.001, 0.0005, 0,
  ];

  test('gives the published rates at the ends of the epochs, for any number of steps an epoch', () => {
    for (const stepsPerEpoch of [1, 7, 98, 391]) {
      const rates = curve({ name: 'one-cycle' }, 0.05, 25 * stepsPerEpoch);
      published.forEach((rate, epoch) => {
        expect(rates[(epoch + 1) * stepsPerEpoch - 1]).toBeCloseTo(rate, 12);
      });
    }
  });

  test('rises to the base rate and falls to 0, never outside', () => {
    const rates = curve({ name: 'one-cycle', peak: 0.25, tail: 0.5, knee: 0.1 }, 1, 8);
    const expected = [0.5, 1, 0.55, 0.1, 0.075, 0.05, 0.025, 0];
    rates.forEach((rate, i) => {
      expect(rate).toBeCloseTo(expected[i], 12);
    });
    expect(curve({ name: 'one-cycle' }, 1, 1)).toEqual([0]);
  });
});

describe('cosine', () => {
  test('warms up linearly, then follows half a cosine to 0', () => {
    const rates = curve({ name: 'cosine', warmup: 0.2 }, 2, 10);
    expect(rates[0]).toBeCloseTo(1, 12);
    expect(rates[1]).toBeCloseTo(2, 12);
    expect(rates[5]).toBeCloseTo(1, 12); // half of the way after the warm-up
    expect(rates[9]).toBeCloseTo(0, 12);
    for (let i = 2; i < 10; i++) expect(rates[i]).toBeLessThan(rates[i - 1]);
  });

  test('warms up over 5 % of the steps by default, over none or over all where asked', () => {
    expect(curve({ name: 'cosine' }, 1, 100)[3]).toBeCloseTo(0.8, 12);
    expect(curve({ name: 'cosine' }, 1, 100)[4]).toBeCloseTo(1, 12);
    expect(curve({ name: 'cosine', warmup: 0 }, 1, 2)[0]).toBeCloseTo(0.5, 12);
    expect(curve({ name: 'cosine', warmup: 1 }, 1, 4)).toEqual([0.25, 0.5, 0.75, 1]);
  });
});

describe('piecewise', () => {
  // The triangle of airbench94: 476 steps, 109 of them warm-up, from 0.2 to 1 and down to 0.07.
  const points = [
    [0, 0.2],
    [0.25, 1],
    [1, 0.07],
  ] as const;

  test('is straight between its points', () => {
    const rates = curve({ name: 'piecewise', points }, 2, 8);
    const expected = [0.6, 1, 0.845, 0.69, 0.535, 0.38, 0.225, 0.07].map((factor) => 2 * factor);
    rates.forEach((rate, i) => {
      expect(rate).toBeCloseTo(expected[i], 12);
    });
  });

  test('with the points of one-cycle it is one-cycle', () => {
    const same = [
      [0, 0],
      [0.4, 1],
      [0.8, 0.05],
      [1, 0],
    ] as const;
    expect(curve({ name: 'piecewise', points: same }, 0.05, 175)).toEqual(curve({ name: 'one-cycle' }, 0.05, 175));
  });

  test('is written and read as people do', () => {
    const text = 'piecewise:0=0.2,0.25=1,1=0.07';
    expect(parseSchedule(text)).toEqual({ name: 'piecewise', points });
    expect(spellSchedule({ name: 'piecewise', points })).toBe(text);
    expect(parseSchedule('cosine')).toEqual({ name: 'cosine' });
    for (const bad of [
      'piecewise',
      'piecewise:',
      'piecewise:0=1',
      'piecewise:0=1,0.5=0',
      'piecewise:0.1=1,1=0',
      'piecewise:0=1,1=-1',
      'cosine:0=1,1=0',
      'linear',
    ])
      expect(parseSchedule(bad), bad).toBeUndefined();
  });
});

test('constant is constant', () => {
  expect(new Set(curve({ name: 'constant' }, 2e-3, 50))).toEqual(new Set([2e-3]));
});

test('shares out of range are refused, with the number', () => {
  const bad: ScheduleOptions[] = [
    { name: 'cosine', warmup: 1.5 },
    { name: 'cosine', warmup: Number.NaN },
    { name: 'one-cycle', peak: 0.9 },
    { name: 'one-cycle', tail: 1.1 },
    { name: 'piecewise', points: [] },
    { name: 'piecewise', points: [[0, 1]] },
    {
      name: 'piecewise',
      points: [
        [0, 1],
        [0.5, 1],
      ],
    },
    {
      name: 'piecewise',
      points: [
        [0, 1],
        [0, 0.5],
        [1, 0],
      ],
    },
    {
      name: 'piecewise',
      points: [
        [0, 1],
        [1, -1],
      ],
    },
    { name: 'one-cycle', knee: -0.1 },
  ];
  for (const schedule of bad) {
    const [, value] = Object.values(schedule);
    expect(() => scheduleKind.check(schedule, 'schedule')).toThrowError(
      expect.objectContaining({ code: 'E_USAGE', message: expect.stringContaining(`${value}`) }),
    );
  }
  for (const schedule of [{ name: 'constant' }, { name: 'cosine' }, { name: 'one-cycle' }] as const)
    scheduleKind.check(schedule, 'schedule');
});
