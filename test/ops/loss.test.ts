// softmaxCrossEntropy, softmaxCrossEntropyGrad.

import { describe, expect, test } from 'vitest';
import { HybridError } from '../../runtime/base/errors.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import { printGraph } from '../../runtime/ir/print.ts';
import { CROSS_ENTROPY } from '../../runtime/losses/cross-entropy.ts';
import { LOSSES } from '../../runtime/losses/index.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { factorsOf } from '../../runtime/train/class-weights.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { expectClose } from '../support/close.ts';
import { checkGradient } from '../support/gradient-check.ts';
import { referenceData, runReference } from '../support/reference.ts';
import { expectRefused } from '../support/refuse.ts';
import { integers, samples, type TestTensor, uniform } from '../support/tensors.ts';

type Attributes = { readonly [A in keyof typeof CROSS_ENTROPY]: number };

const NOTHING = Object.fromEntries(Object.keys(CROSS_ENTROPY).map((name) => [name, 0])) as Attributes;

const labels = (...values: number[]): TestTensor => samples(values.length, [], values, 'i32');

const lossAndCorrect = (logits: TestTensor, truth: TestTensor): number[] =>
  runReference('softmaxCrossEntropy', [logits, truth]).map(({ data }) => data[0]);

describe('by hand', () => {
  test('equal logits: ln K, and the tie goes to class 0', () => {
    const [loss, correct] = lossAndCorrect(
      samples(2, [10], () => 3),
      labels(0, 9),
    );
    expect(loss).toBeCloseTo(Math.log(10), 14);
    expect(correct).toBe(1);
  });

  test('the mean over rows', () => {
    // Row 0: ln(1 + e⁻¹) for the larger logit; row 1: ln(1 + e) for the smaller.
    const [loss, correct] = lossAndCorrect(samples(2, [2], [1, 0, 1, 0]), labels(0, 1));
    expect(loss).toBeCloseTo((Math.log(1 + Math.exp(-1)) + Math.log(1 + Math.E)) / 2, 14);
    expect(correct).toBe(1);
  });

  test('of a tie only the lowest index counts as correct', () => {
    const tie = samples(1, [4], [1, 2, 2, 0]);
    expect(lossAndCorrect(tie, labels(1))[1]).toBe(1);
    expect(lossAndCorrect(tie, labels(2))[1]).toBe(0);
  });

  test('large logits do not overflow', () => {
    const [loss, correct] = lossAndCorrect(samples(1, [2], [2000, -2000]), labels(1));
    expect(loss).toBe(4000);
    expect(correct).toBe(0);
    expect(lossAndCorrect(samples(1, [2], [2000, -2000]), labels(0))).toEqual([0, 1]);
  });

  test('gradient: (softmax − onehot)/rows', () => {
    const dLogits = referenceData('softmaxCrossEntropyGrad', [samples(2, [2], [0, 0, Math.fround(Math.log(3)), 0]), labels(0, 1)]);
    expectClose(dLogits, [-0.25, 0.25, 0.375, -0.375], { absolute: 1e-8 });
  });
});

test.each([
  [1, 1],
  [1, 10],
  [5, 3],
  [7, 10],
])('gradient of %d × %d', (rows, classes) => {
  const inputs = [samples(rows, [classes], uniform(1, -3, 3)), samples(rows, [], integers(2, classes), 'i32')];
  // The rule takes the loss as the end of the chain: its gradient is 1.
  expect(checkGradient('softmaxCrossEntropy', inputs, {}, { dOutput: [1] })).toEqual(['softmaxCrossEntropyGrad']);
});

test.each([0, 0.1, 0.75])('smoothing %d: the loss is that of the definition, and the gradient is its own', (smoothing) => {
  const [rows, classes] = [5, 6];
  const inputs = [samples(rows, [classes], uniform(1, -3, 3)), samples(rows, [], integers(2, classes), 'i32')];
  const [{ data: loss }] = runReference('softmaxCrossEntropy', inputs, { smoothing });
  const each = Array.from({ length: rows }, (_, row) => {
    const logits = Array.from(inputs[0].data.slice(row * classes, (row + 1) * classes));
    return LOSSES.crossEntropy.reference(logits, inputs[1].data[row], { ...NOTHING, smoothing });
  });
  expect(loss[0]).toBeCloseTo(
    each.reduce((sum, one) => sum + one / rows, 0),
    12,
  );
  expect(checkGradient('softmaxCrossEntropy', inputs, { smoothing }, { dOutput: [1] })).toEqual(['softmaxCrossEntropyGrad']);
});

describe('every attribute', () => {
  const all = Object.entries(CROSS_ENTROPY).map(([name, { setting }]) => [name, Number(setting.example)] as const);
  test.each(
    [...all.map((one) => [one]), all].map((attrs) => [Object.fromEntries(attrs)]),
  )('%o: the loss is that of the book, the gradient is its own, and no trace is left at 0', (given) => {
    const [rows, classes] = [6, 5];
    const attrs = { ...NOTHING, ...given };
    const inputs = [samples(rows, [classes], uniform(3, -4, 4)), samples(rows, [], integers(5, classes), 'i32')];
    const [{ data: loss }] = runReference('softmaxCrossEntropy', inputs, given);
    const each = Array.from({ length: rows }, (_, row) =>
      LOSSES.crossEntropy.reference(Array.from(inputs[0].data.slice(row * classes, (row + 1) * classes)), inputs[1].data[row], attrs),
    );
    expect(loss[0]).toBeCloseTo(
      each.reduce((sum, one) => sum + one / rows, 0),
      12,
    );
    expect(checkGradient('softmaxCrossEntropy', inputs, given, { dOutput: [1] })).toEqual(['softmaxCrossEntropyGrad']);
    const model = buildModel('convmixer', { input: [8, 8, 3], classes: 3, dim: 4, depth: 1, kernel: 3, patch: 2 });
    const off = Object.fromEntries(Object.keys(given).map((name) => [name, 0]));
    expect(trainingGraphs(model, { loss: { name: 'crossEntropy', ...off } })).toEqual(trainingGraphs(model));
    const told = trainingGraphs(model, { loss: { name: 'crossEntropy', ...given } });
    for (const name of Object.keys(given)) expect(printGraph(told.train)).toContain(name);
    expect(told.evaluate).toEqual(trainingGraphs(model).evaluate);
  });
});

test('smoothing as Keras has it: CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)', () => {
  const [{ data: loss }] = runReference('softmaxCrossEntropy', [samples(2, [3], [1, 2, -1, 0.5, 0, 3]), labels(0, 2)], { smoothing: 0.1 });
  expect(loss[0]).toBeCloseTo(0.844775915, 6);
});

// keras.losses.CategoricalFocalCrossentropy(alpha=1, gamma=…, from_logits=True) of Keras 3.15, and its gradient by TensorFlow.
test.each([
  [
    0.5,
    1.3936785459518433,
    [
      -0.2626137435436249, 0.2501590847969055, 0.012454685755074024, 0.012126712128520012, 0.007355222012847662, -0.01948193460702896,
      0.0008244743221439421, 0.3326166570186615, -0.3334411382675171,
    ],
  ],
  [
    1.0,
    1.3066576719284058,
    [
      -0.26918965578079224, 0.25642308592796326, 0.012766552157700062, 0.005462042987346649, 0.0033128962386399508, -0.008774938993155956,
      0.0008614070247858763, 0.34751638770103455, -0.3483777940273285,
    ],
  ],
  [
    2.0,
    1.1701585054397583,
    [
      -0.263321191072464, 0.2508329451084137, 0.012488236650824547, 0.0009446050971746445, 0.0005729318945668638, -0.0015175370499491692,
      0.0009286348940804601, 0.37463802099227905, -0.37556666135787964,
    ],
  ],
  [
    5.0,
    0.8982312083244324,
    [
      -0.1848660707473755, 0.17609862983226776, 0.00876743346452713, 2.956289790745359e-6, 1.793080286915938e-6, -4.749369509227108e-6,
      0.0010830725077539682, 0.4369426369667053, -0.43802571296691895,
    ],
  ],
])('focal loss with gamma %d as Keras has it', (focus, expected, slopes) => {
  const inputs = [samples(3, [3], [1, 2, -1, 0.5, 0, 3, -2, 4, 1]), labels(0, 2, 2)];
  const [{ data: loss }] = runReference('softmaxCrossEntropy', inputs, { focus });
  expectClose(loss, [expected], { relative: 1e-6 }, 'loss');
  expectClose(referenceData('softmaxCrossEntropyGrad', inputs, { focus }), slopes, { absolute: 1e-6 }, 'gradient');
});

test('smoothing 0 leaves no trace in a graph', () => {
  const model = buildModel('convmixer', { input: [8, 8, 3], classes: 3, dim: 4, depth: 1, kernel: 3, patch: 2 });
  const usual = trainingGraphs(model);
  expect(trainingGraphs(model, { loss: { name: 'crossEntropy', smoothing: 0 } })).toEqual(usual);
  const smoothed = trainingGraphs(model, { loss: { name: 'crossEntropy', smoothing: 0.1 } });
  expect(printGraph(smoothed.train)).toMatch(/softmaxCrossEntropyGrad\(.*smoothing/);
  expect(smoothed.evaluate).toEqual(usual.evaluate);
});

test('the gradient of a row sums to 0', () => {
  const inputs = [samples(3, [10], uniform(1, -3, 3)), samples(3, [], integers(2, 10), 'i32')];
  const dLogits = referenceData('softmaxCrossEntropyGrad', inputs) as Float64Array;
  for (let n = 0; n < 3; n++) expect(dLogits.slice(n * 10, n * 10 + 10).reduce((a, b) => a + b)).toBeCloseTo(0, 15);
});

describe('refuses', () => {
  const logits = samples(2, [4], uniform(1));
  test('labels that are not integers', () =>
    expectRefused('softmaxCrossEntropy', [logits, samples(2, [], [0, 1])], {}, 'softmaxCrossEntropy got', 'labels i32 [n]'));
  test('logits that are images', () =>
    expectRefused('softmaxCrossEntropyGrad', [samples(2, [2, 2, 4], uniform(1)), labels(0, 1)], {}, 'logits f32 [n, C]'));
  test('a label beyond the classes, when it runs', () => {
    expect(() => lossAndCorrect(logits, labels(0, 4))).toThrow(HybridError);
    expect(() => lossAndCorrect(logits, labels(0, 4))).toThrow('row 1 has label 4, the logits have 4 classes');
    expect(() => lossAndCorrect(logits, labels(-1, 0))).toThrow('row 0 has label -1');
  });
});

test.each([
  0, 0.2,
])('factors of classes (smoothing %d): the loss is the mean of weighted losses, and the gradient is its own', (smoothing) => {
  const [rows, classes] = [7, 3];
  const classWeights = [0.5, 0, 2.5];
  const inputs = [samples(rows, [classes], uniform(1, -3, 3)), samples(rows, [], integers(2, classes), 'i32')];
  const [{ data: loss }] = runReference('softmaxCrossEntropy', inputs, { smoothing, classWeights });
  const each = Array.from({ length: rows }, (_, row) => {
    const label = inputs[1].data[row];
    const logits = Array.from(inputs[0].data.slice(row * classes, (row + 1) * classes));
    return classWeights[label] * LOSSES.crossEntropy.reference(logits, label, { ...NOTHING, smoothing });
  });
  expect(loss[0]).toBeCloseTo(
    each.reduce((sum, one) => sum + one / rows, 0),
    12,
  );
  expect(checkGradient('softmaxCrossEntropy', inputs, { smoothing, classWeights }, { dOutput: [1] })).toEqual(['softmaxCrossEntropyGrad']);
  expectRefused('softmaxCrossEntropy', inputs, { classWeights: [1, 2] }, 'softmaxCrossEntropy got', 'classWeights of 3 classes');
});

test('factors that are balanced give every class the same weight, and images a mean of 1; without them graphs are as they were', () => {
  const labels = Int32Array.from([0, 0, 0, 0, 0, 0, 2, 2]);
  const set = memoryDataset({ name: 'few', shape: [1, 1, 3], classes: ['a', 'b', 'c'], labels, images: new Uint8Array(24) });
  expect(factorsOf('balanced', set)).toEqual([8 / 12, 0, 2]);
  expect(factorsOf('none', set)).toBeUndefined();
  expect(factorsOf([1, 2, 3], set)).toEqual([1, 2, 3]);
  expect(() => factorsOf([1, 2], set)).toThrow(/classWeights has 2 factors, and few has 3 classes/);
  const model = buildModel('convmixer', { input: [8, 8, 3], classes: 3, dim: 4, depth: 1, kernel: 3, patch: 2 });
  expect(trainingGraphs(model, { loss: { name: 'crossEntropy', classWeights: undefined } })).toEqual(trainingGraphs(model));
});
