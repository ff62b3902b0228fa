// rescale, bias, biasGrad, gelu, geluGrad, relu, reluGrad, add, reshape, dropout; erf.

import { describe, expect, test } from 'vitest';
import { philox4x32 } from '../../runtime/base/philox.ts';
import { erf } from '../../runtime/ir/erf.ts';
import { gelu, geluDerivative } from '../../runtime/ops/activations.ts';
import { expectClose } from '../support/close.ts';
import { checkGradient } from '../support/gradient-check.ts';
import { referenceData, runReference } from '../support/reference.ts';
import { expectRefused } from '../support/refuse.ts';
import { fixed, integers, samples, type TestTensor, uniform } from '../support/tensors.ts';

const SHAPES = [{ shape: [1] }, { shape: [7] }, { shape: [1, 1, 3] }, { shape: [3, 2, 5] }];

describe('erf', () => {
  // From the power series in 60 digits, rounded to doubles.
  const KNOWN: [number, number][] = [
    [1e-10, 1.1283791670955126e-10],
    [0.1, 0.11246291601828488],
    [0.5, 0.5204998778130465],
    [0.75, 0.7111556336535151],
    [1, 0.8427007929497149],
    [1.5, 0.9661051464753108],
    [2, 0.9953222650189527],
    [2.25, 0.9985372834133188],
    [2.4375, 0.9994334567454198],
    [2.5, 0.999593047982555],
    [2.625, 0.9997946242638588],
    [2.75, 0.9998993780778803],
    [3, 0.9999779095030014],
    [3.5, 0.9999992569016276],
    [4, 0.9999999845827421],
    [5, 0.9999999999984626],
    [5.875, 0.9999999999999999],
  ];

  test('known values', () => {
    for (const [x, value] of KNOWN) {
      expect(Math.abs(erf(x) - value), `erf(${x})`).toBeLessThanOrEqual(2.3e-16);
      expect(erf(-x)).toBe(-erf(x));
    }
  });

  test('the ends', () => {
    expect(erf(0)).toBe(0);
    expect(erf(Number.POSITIVE_INFINITY)).toBe(1);
    expect(erf(Number.NEGATIVE_INFINITY)).toBe(-1);
    expect(erf(Number.NaN)).toBeNaN();
    expect(erf(1e-300)).toBeCloseTo((2 / Math.sqrt(Math.PI)) * 1e-300, 310);
  });

  test('series and continued fraction meet', () => {
    expect(erf(2) - erf(2 - 1e-9)).toBeCloseTo(((2 * 1e-9) / Math.sqrt(Math.PI)) * Math.exp(-4), 15);
  });
});

describe('gelu', () => {
  test('Keras values: the exact form with erf', () => {
    const x = samples(1, [7], [-3, -1, -0.5, 0.5, 1, 2, 3]);
    const y = referenceData('gelu', [x]);
    expectClose(y, [-0.004049689, -0.15865526, -0.15426877, 0.34573123, 0.8413447, 1.9544997, 2.9959502], {
      relative: 1e-7,
      absolute: 1e-8,
    });
  });

  test('is not the tanh form', () => {
    const tanhForm = (x: number): number => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
    expect(Math.abs(gelu(2.7) - tanhForm(2.7))).toBeGreaterThan(4e-4);
  });

  test('far out it is x or 0', () => {
    expect([gelu(40), geluDerivative(40), geluDerivative(-40)]).toEqual([40, 1, 0]);
    expect(gelu(-40)).toBeCloseTo(0, 15);
  });

  test.each(SHAPES)('gradient at %o', ({ shape }) => {
    expect(checkGradient('gelu', [samples(3, shape, uniform(1, -4, 4))])).toEqual(['geluGrad']);
  });

  test('gradient from a stored derivative', () => {
    const [dy, x] = [samples(3, [5], uniform(1)), samples(3, [5], uniform(2, -4, 4))];
    const derivative: TestTensor = { ...x, data: x.data.map(geluDerivative) };
    expect(referenceData('geluGrad', [dy, derivative], { from: 'derivative' })).toEqual(
      referenceData('geluGrad', [dy, x], { from: 'input' }),
    );
  });

  test('refuses', () => {
    const x = samples(3, [5], uniform(1));
    expectRefused('gelu', [fixed([5], uniform(1))], {}, 'gelu got x f32 [5]');
    expectRefused('geluGrad', [x, samples(3, [6], uniform(1))], { from: 'input' }, '[n, 5]', '[n, 6]');
    expectRefused('geluGrad', [x, x], {}, 'lacks its attribute from');
  });
});

describe('relu', () => {
  test('by hand: its gradient at 0 is 0', () => {
    const x = samples(1, [4], [-2, 0, 3, -0]);
    const [y] = runReference('relu', [x]);
    expect([...y.data]).toEqual([0, 0, 3, 0]);
    expect([...referenceData('reluGrad', [samples(1, [4], [5, 6, 7, 8]), y])]).toEqual([0, 0, 7, 0]);
  });

  test.each(SHAPES)('gradient at %o', ({ shape }) => {
    expect(checkGradient('relu', [samples(3, shape, uniform(1))])).toEqual(['reluGrad']);
  });

  test('refuses', () => {
    expectRefused('relu', [], {}, 'relu lacks its operand x');
    expectRefused('reluGrad', [samples(3, [5], uniform(1))], {}, 'reluGrad lacks its operand y');
  });
});

describe('rescale', () => {
  test('multiplies by the f32 scale', () => {
    const scale = 0.003921568859368563;
    const x = samples(1, [3], [0, 1, 255], 'u8');
    expect([...referenceData('rescale', [x], { scale: 1 / 255 })]).toEqual([0, scale, 255 * scale]);
  });

  test('rounded to f32, 255 becomes 1 and 126 bytes differ from the division', () => {
    const y = referenceData('rescale', [samples(1, [256], (i) => i, 'u8')], { scale: 1 / 255 });
    expect(Math.fround(y[255])).toBe(1);
    expect([...y].filter((value, i) => Math.fround(value) !== Math.fround(i / 255)).length).toBe(126);
  });

  test('refuses', () => {
    expectRefused('rescale', [samples(1, [3], uniform(1))], { scale: 1 }, 'rescale got x f32 [n, 3]');
    expectRefused('rescale', [samples(1, [3], integers(1, 9), 'u8')], {}, 'lacks its attribute scale');
  });
});

describe('bias', () => {
  test('by hand', () => {
    const x = samples(2, [1, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8]);
    expect([...referenceData('bias', [x, fixed([2], [10, 20])])]).toEqual([11, 22, 13, 24, 15, 26, 17, 28]);
    expect([...referenceData('biasGrad', [x])]).toEqual([16, 20]);
  });

  test.each(SHAPES)('gradient at %o', ({ shape }) => {
    const inputs = [samples(3, shape, uniform(1)), fixed(shape.slice(-1), uniform(2))];
    expect(checkGradient('bias', inputs)).toEqual(['biasGrad']);
    expect(checkGradient('bias', inputs, {}, { wanted: [0] })).toEqual([]);
  });

  test('refuses', () => {
    expectRefused(
      'bias',
      [samples(2, [3, 3, 4], uniform(1)), fixed([3], uniform(1))],
      {},
      'bias got x f32 [n, 3, 3, 4], b f32 [3]',
      'b [C]',
    );
    expectRefused('biasGrad', [fixed([3], uniform(1))], {}, 'biasGrad got');
  });
});

describe('add', () => {
  test('by hand', () => {
    expect([...referenceData('add', [samples(1, [2], [1, 2]), samples(1, [2], [10, 20])])]).toEqual([11, 22]);
  });

  test.each(SHAPES)('gradient at %o', ({ shape }) => {
    expect(checkGradient('add', [samples(3, shape, uniform(1)), samples(3, shape, uniform(2))])).toEqual([]);
  });

  test('refuses shapes that differ: there is no broadcasting', () => {
    expectRefused('add', [samples(1, [3], uniform(1)), samples(1, [1], uniform(1))], {}, '[n, 3]', '[n, 1]', 'of one shape');
  });
});

describe('reshape', () => {
  test('keeps the order: Flatten is (h·W + w)·C + c', () => {
    const x = samples(2, [2, 3, 4], (i) => i);
    const [y] = runReference('reshape', [x], { shape: [24] });
    expect(y.shape).toEqual([2, 24]);
    expect(y.data).toEqual(x.data);
  });

  test('gradient', () => {
    expect(checkGradient('reshape', [samples(2, [2, 3, 4], uniform(1))], { shape: [24] })).toEqual(['reshape']);
  });

  test('refuses another number of elements', () => {
    expectRefused('reshape', [samples(2, [2, 3, 4], uniform(1))], { shape: [23] }, 'reshape got', '[23]');
    expectRefused('reshape', [samples(2, [2, 3, 4], uniform(1))], {}, 'reshape lacks its attribute shape');
    expectRefused('reshape', [samples(2, [2, 3, 4], uniform(1))], { shape: [-4, -6] }, 'attribute shape of reshape', '[-4,-6]');
  });
});

describe('dropout', () => {
  const ones = (rows: number, elements: number): TestTensor => samples(rows, [elements], () => 1);
  const indices = (...values: number[]): TestTensor => samples(values.length, [], values, 'i32');

  test('the mask is that of the frozen layout: counter (sample, epoch, purpose, block), word e mod 4', () => {
    const seed = 0x0123456789abcdefn;
    const y = referenceData('dropout', [ones(2, 10), indices(5, 40_000)], { rate: 0.3, purpose: 17 }, { step: { seed, epoch: 9 } });
    const words = new Uint32Array(4);
    [5, 40_000].forEach((sample, n) => {
      for (let e = 0; e < 10; e++) {
        philox4x32([0x89abcdef, 0x01234567], [sample, 9, 17, Math.floor(e / 4)], words);
        expect(y[n * 10 + e]).toBe(words[e % 4] >= 0.3 * 2 ** 32 ? Math.fround(1 / 0.7) : 0);
      }
    });
  });

  test('known answer: the first mask of seed 0', () => {
    // Blocks (0, 0, 16, 0) and (0, 0, 16, 1) under key 0, from an independent implementation.
    const y = referenceData('dropout', [ones(1, 8), indices(0)], { rate: 0.5, purpose: 16 }, { step: { seed: 0n, epoch: 0 } });
    expect([...y]).toEqual([2, 2, 2, 2, 0, 0, 2, 0]);
  });

  test('a word equal to rate·2³² is kept, a smaller one is not', () => {
    const words = new Uint32Array(4);
    philox4x32([1, 0], [3, 0, 16, 0], words);
    const first = (rate: number): number => referenceData('dropout', [ones(1, 1), indices(3)], { rate, purpose: 16 })[0];
    expect(first(words[0] / 2 ** 32)).toBeGreaterThan(0);
    expect(first((words[0] + 1) / 2 ** 32)).toBe(0);
  });

  test('drops its share', () => {
    const elements = 40_000;
    const y = referenceData('dropout', [ones(1, elements), indices(3)], { rate: 0.25, purpose: 16 });
    const kept = [...y].filter((value) => value !== 0).length;
    // Standard deviation √(n·p·(1−p)) = 87.
    expect(Math.abs(kept - 0.75 * elements)).toBeLessThan(500);
  });

  test('rate 0 keeps everything', () => {
    const x = samples(2, [5], uniform(1));
    expect(referenceData('dropout', [x, indices(0, 1)], { rate: 0, purpose: 16 })).toEqual(x.data);
  });

  test('depends on sample, epoch, purpose and seed, not on the place in the batch', () => {
    const mask = (sample: number, epoch: number, purpose: number, seed: bigint): string =>
      referenceData('dropout', [ones(1, 64), indices(sample)], { rate: 0.5, purpose }, { step: { epoch, seed } }).join('');
    const masks = [
      mask(0, 0, 16, 0n),
      mask(1, 0, 16, 0n),
      mask(0, 1, 16, 0n),
      mask(0, 0, 17, 0n),
      mask(0, 0, 16, 1n),
      mask(0, 0, 16, 1n << 32n),
    ];
    expect(new Set(masks).size).toBe(masks.length);
    const both = referenceData('dropout', [ones(2, 64), indices(1, 0)], { rate: 0.5, purpose: 16 }, { step: { epoch: 0, seed: 0n } });
    expect(both.slice(64).join('')).toBe(masks[0]);
  });

  test.each(SHAPES)('gradient at %o: the same mask on dy', ({ shape }) => {
    const inputs = [samples(3, shape, uniform(1)), indices(7, 8, 9)];
    expect(checkGradient('dropout', inputs, { rate: 0.5, purpose: 16 })).toEqual(['dropout']);
  });

  test('refuses', () => {
    const x = ones(2, 5);
    expectRefused('dropout', [x], { rate: 0.5, purpose: 16 }, 'dropout lacks its operand samples', 'samples i32 [n]');
    expectRefused('dropout', [x, indices(0, 1)], { rate: 1, purpose: 16 }, 'attribute rate of dropout', 'not 1');
    expectRefused('dropout', [x, indices(0, 1)], { rate: 0.5 }, 'lacks its attribute purpose');
  });
});
