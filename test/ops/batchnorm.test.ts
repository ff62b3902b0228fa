// batchnorm and batchnormGrad, and the ops they expand to.

import { describe, expect, test } from 'vitest';
import { inputGradients } from '../../runtime/compile/autodiff.ts';
import { GraphBuilder } from '../../runtime/ir/graph.ts';
import { samplesPerTile } from '../../runtime/ops/check.ts';
import { ops } from '../../runtime/ops/index.ts';
import { expectClose } from '../support/close.ts';
import { checkGradient } from '../support/gradient-check.ts';
import { NORMALIZE_EPILOGUES, partialsOf, STATISTICS } from '../support/op-case.ts';
import { referenceData, runReference } from '../support/reference.ts';
import { expectRefused } from '../support/refuse.ts';
import { fixed, samples, type TestTensor, uniform } from '../support/tensors.ts';
import { unfusedEpilogue } from '../support/unfused.ts';

const EPSILON = 1e-3;
const pixelsOf = (shape: readonly number[]): number => shape.slice(0, -1).reduce((product, n) => product * n, 1);

interface Operands {
  readonly x: TestTensor;
  readonly dy: TestTensor;
  readonly gamma: TestTensor;
  readonly beta: TestTensor;
}

/** Means of about 3, so that a sum that should have been centred shows. */
const operands = (rows: number, shape: readonly number[]): Operands => ({
  x: samples(rows, shape, uniform(1, 2, 4)),
  dy: samples(rows, shape, uniform(2)),
  gamma: fixed(shape.slice(-1), uniform(3, 0.5, 1.5)),
  beta: fixed(shape.slice(-1), uniform(4)),
});

test('samples of a tile: as many as have 64 pixels, at least one', () => {
  expect([1, 4, 15, 16, 32, 33, 64, 65, 256].map(samplesPerTile)).toEqual([64, 16, 4, 4, 2, 1, 1, 1, 1]);
});

describe('batchnorm', () => {
  test('by hand: the variance is the biased one', () => {
    // Channel 0: 1, 2, 3, 4; channel 1 is constant.
    const x = samples(2, [1, 2, 2], [1, 5, 2, 5, 3, 5, 4, 5]);
    const [y, mean, variance] = runReference('batchnorm', [x, fixed([2], [2, 1]), fixed([2], [10, 7])], { epsilon: EPSILON });
    expect([...mean.data]).toEqual([2.5, 5]);
    expect([...variance.data]).toEqual([1.25, 0]);
    const scale = 2 / Math.sqrt(1.251);
    expectClose(y.data, [10 - 1.5 * scale, 7, 10 - 0.5 * scale, 7, 10 + 0.5 * scale, 7, 10 + 1.5 * scale, 7], { absolute: 1e-14 });
  });

  test('one row of one pixel gives beta', () => {
    const { x, gamma, beta } = operands(1, [3]);
    expectClose(referenceData('batchnorm', [x, gamma, beta], { epsilon: EPSILON }), beta.data, { absolute: 1e-15 });
  });

  test.each([
    [2, [1]],
    [5, [3]],
    [3, [1, 1, 4]],
    [3, [2, 3, 5]],
    [1, [3, 3, 2]],
  ] as const)('gradient of %d × [%s]', (rows, shape) => {
    const { x, gamma, beta } = operands(rows, shape);
    expect(checkGradient('batchnorm', [x, gamma, beta], { epsilon: EPSILON })).toEqual(['batchnormGrad']);
    checkGradient('batchnorm', [x, gamma, beta], { epsilon: EPSILON }, { wanted: [1, 2] });
  });

  test('cannot be differentiated through its statistics', () => {
    const g = new GraphBuilder('statistics', ops);
    const vector = { dtype: 'f32', shape: [3], perSample: false } as const;
    const x = g.input('x', { dtype: 'f32', shape: [3], perSample: true });
    const [, mean] = g.add('batchnorm', [x, g.input('gamma', vector), g.input('beta', vector)], { epsilon: EPSILON });
    const through = (id: number) => (id === mean ? mean : undefined);
    expect(() => inputGradients(g, g.nodes[0], through, () => true)).toThrow(/through its result mean/);
  });

  test('refuses', () => {
    const { x, dy, gamma, beta } = operands(2, [2, 2, 3]);
    const other = fixed([4], uniform(1));
    expectRefused('batchnorm', [x, gamma, other], { epsilon: EPSILON }, 'batchnorm got x f32 [n, 2, 2, 3], gamma f32 [3], beta f32 [4]');
    expectRefused('batchnorm', [x, gamma, beta], {}, 'lacks its attribute epsilon');
    for (const epsilon of [0, -1, Number.POSITIVE_INFINITY, Number.NaN, '1e-3'])
      expectRefused('batchnorm', [x, gamma, beta], { epsilon }, 'attribute epsilon of batchnorm is a number above 0');
    expectRefused('batchnormGrad', [dy, x, gamma, other, gamma], { epsilon: EPSILON }, 'batchnormGrad got');
  });
});

describe.each(STATISTICS)('expanded, %d × [%s]', (rows, shape) => {
  const { x, dy, gamma, beta } = operands(rows, shape);
  const pixels = pixelsOf(shape);
  const [y, mean, variance] = runReference('batchnorm', [x, gamma, beta], { epsilon: EPSILON });
  const [dx, dgamma, dbeta] = runReference('batchnormGrad', [dy, x, gamma, mean, variance], { epsilon: EPSILON });
  const gradients = (): TestTensor[] => {
    const [dySum, dyxSum] = runReference('bnGradStats', [dy, x, mean]);
    return runReference('bnGradFold', [dySum, dyxSum, mean, variance, gamma], { epsilon: EPSILON, pixels }, { rows });
  };

  test('bnStats, bnFold, normalize equal batchnorm', () => {
    const statistics = runReference('bnStats', [x], { from: 'input', pixels });
    expectClose(statistics[0].data, mean.data, { absolute: 1e-13 }, 'mean');
    expectClose(statistics[1].data, variance.data, { absolute: 1e-13 }, 'variance');
    const [scale, shift] = runReference('bnFold', [...statistics, gamma, beta], { epsilon: EPSILON });
    expectClose(referenceData('normalize', [x, scale, shift]), y.data, { absolute: 1e-11 }, 'y');
  });

  test('normalize with a residual equals normalize, then add', () => {
    const [scale, shift] = runReference('bnFold', [mean, variance, gamma, beta], { epsilon: EPSILON });
    const [sum] = runReference('add', [runReference('normalize', [x, scale, shift])[0], dy]);
    expect(referenceData('normalize', [x, scale, shift, dy])).toEqual(sum.data);
  });

  test('normalize with the scale of its residual equals two normalizes, then add', () => {
    const [scale, shift] = runReference('bnFold', [mean, variance, gamma, beta], { epsilon: EPSILON });
    const [residual] = runReference('normalize', [dy, gamma, beta]);
    const [sum] = runReference('add', [runReference('normalize', [x, scale, shift])[0], residual]);
    expect(referenceData('normalize', [x, scale, shift, dy, gamma, beta])).toEqual(sum.data);
  });

  test.each(NORMALIZE_EPILOGUES)('normalize with epilogue %o equals the unfused ops', (epilogue) => {
    const inputs = [x, gamma, beta, dy];
    const fused = runReference('normalize', inputs, { epilogue });
    const unfused = unfusedEpilogue(runReference('normalize', inputs)[0], beta, epilogue);
    expect(fused.map(({ spec }) => spec)).toEqual(unfused.map(({ spec }) => spec));
    fused.forEach(({ data }, i) => {
      expectClose(data, unfused[i].data, { absolute: 1e-12 }, `output ${i}`);
    });
  });

  test('bnGradStats, bnGradFold, bnGradApply equal batchnormGrad', () => {
    const [scale, alpha, kappa, dgammaFolded, dbetaFolded] = gradients();
    expectClose(dgammaFolded.data, dgamma.data, { absolute: 1e-11 }, 'dgamma');
    expectClose(dbetaFolded.data, dbeta.data, { absolute: 1e-11 }, 'dbeta');
    expectClose(referenceData('bnGradApply', [dy, x, scale, alpha, kappa]), dx.data, { absolute: 1e-10 }, 'dx');
  });

  test('statistics from partials equal those of the input', () => {
    const merged = runReference('bnStats', [partialsOf(x)], { from: 'partials', pixels });
    expectClose(merged[0].data, mean.data, { absolute: 1e-12 }, 'mean');
    expectClose(merged[1].data, variance.data, { absolute: 1e-12 }, 'variance');
  });

  test('entries of partials that belong to no tile are not read', () => {
    const partials = partialsOf(x);
    const tiles = Math.ceil(rows / samplesPerTile(pixels));
    const used = tiles * 2 * shape[shape.length - 1];
    expect(partials.data.slice(used).every((value) => value === 0)).toBe(true);
    partials.data.fill(Number.NaN, used);
    const merged = runReference('bnStats', [partials], { from: 'partials', pixels });
    expectClose(merged[0].data, mean.data, { absolute: 1e-12 }, 'mean');
  });

  test('the epilogue of bnGradApply equals geluGrad from a derivative, then biasGrad', () => {
    const [scale, alpha, kappa] = gradients();
    const inputs = [dy, x, scale, alpha, kappa];
    const derivative = samples(rows, shape, uniform(5));
    const [plain] = runReference('bnGradApply', inputs);
    const [times] = runReference('geluGrad', [plain, derivative], { from: 'derivative' });

    expect(runReference('bnGradApply', [...inputs, derivative])[0].data).toEqual(times.data);
    const [dxOnly, dbias] = runReference('bnGradApply', inputs, { biasGrad: true });
    expect(dxOnly.data).toEqual(plain.data);
    expect(dbias.data).toEqual(referenceData('biasGrad', [plain]));
    const both = runReference('bnGradApply', [...inputs, derivative], { biasGrad: true });
    expect(both.map(({ data }) => data)).toEqual([times.data, referenceData('biasGrad', [times])]);
  });
});

describe('the expanded ops refuse', () => {
  const { x, dy, gamma, beta } = operands(2, [2, 2, 3]);

  test('bnStats: pixels that are not those of x, partials that are none', () => {
    expectRefused('bnStats', [x], { from: 'input', pixels: 5 }, 'of 5 pixels');
    expectRefused('bnStats', [x], { from: 'partials', pixels: 4 }, 'partials [n, 2, C]');
    expectRefused('bnStats', [x], { from: 'nothing', pixels: 4 }, 'attribute from of bnStats is input or partials, not nothing');
  });

  test('bnFold, bnGradFold: vectors of several lengths, no epsilon, no pixels', () => {
    expectRefused('bnFold', [gamma, gamma, gamma, fixed([4], uniform(1))], { epsilon: EPSILON }, 'bnFold got');
    expectRefused('bnFold', [gamma, gamma, gamma, beta], {}, 'lacks its attribute epsilon');
    expectRefused('bnGradFold', [gamma, gamma, gamma, gamma, gamma], { epsilon: EPSILON }, 'lacks its attribute pixels');
  });

  test('normalize, bnGradStats, bnGradApply: shapes that differ', () => {
    const other = samples(2, [2, 3, 3], uniform(1));
    expectRefused('normalize', [x, gamma, beta, other], {}, 'normalize got');
    expectRefused('normalize', [x, gamma, beta, x, gamma], {}, 'normalize got');
    expectRefused('normalize', [x, gamma, beta], { epilogue: { bias: true } }, 'attribute epilogue of normalize');
    expectRefused('normalize', [x, gamma, beta], { epilogue: { activation: 'relu', derivative: true } }, 'whose slope y does not tell');
    expectRefused('normalize', [x, gamma, beta, x, gamma, fixed([4], uniform(1))], {}, 'normalize got');
    expectRefused('bnGradStats', [other, x, gamma], {}, 'bnGradStats got');
    expectRefused('bnGradApply', [dy, x, gamma, gamma, gamma, other], {}, 'operands of one shape');
    expectRefused('bnGradApply', [dy, x, gamma, gamma, gamma, dy, dy], {}, 'bnGradApply got 7 operands');
  });
});
