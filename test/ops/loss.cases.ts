// Cases of losses.

import { CROSS_ENTROPY } from '../../runtime/losses/cross-entropy.ts';
import { EXACT, type OpFamily, ROUNDING } from '../support/op-case.ts';
import { integers, samples, type TestTensor, uniform } from '../support/tensors.ts';

const logits = (rows: number, classes: number): TestTensor[] => [
  samples(rows, [classes], uniform(10, -5, 5)),
  samples(rows, [], integers(11, classes), 'i32'),
];

/** Each attribute at the example of its setting, alone and with all others. */
const told = () => {
  const all = Object.entries(CROSS_ENTROPY).map(([name, { setting }]) => [name, Number(setting.example)] as const);
  const sets = [...all.map((one) => [one]), all];
  return sets.flatMap((attrs) =>
    [1, 67].map((rows) => ({
      name: `${rows} × 9, ${attrs.map(([name, value]) => `${name} ${value}`).join(', ')}`,
      rows,
      inputs: logits(rows, 9),
      attrs: Object.fromEntries(attrs),
    })),
  );
};

export const family = {
  softmaxCrossEntropy: {
    cases: () => [
      ...[1, 7, 130].map((rows) => ({ name: `${rows} × 10`, rows, inputs: logits(rows, 10), attrs: {} })),
      { name: '5 × 3', rows: 5, inputs: logits(5, 3), attrs: {} },
      { name: '70 × 7, smoothed', rows: 70, inputs: logits(70, 7), attrs: { smoothing: 0.1 } },
      { name: '67 × 3, weighted', rows: 67, inputs: logits(67, 3), attrs: { classWeights: [0.25, 0, 3] } },
      {
        name: '7 × 10, weighted and smoothed',
        rows: 7,
        inputs: logits(7, 10),
        attrs: { smoothing: 0.2, classWeights: Array.from({ length: 10 }, (_, k) => 0.5 + k / 7) },
      },
      ...told(),
      { name: 'ties', rows: 2, inputs: [samples(2, [4], [1, 2, 2, 0, 3, 3, 3, 3]), samples(2, [], [2, 0], 'i32')], attrs: {} },
      { name: 'large logits', rows: 1, inputs: [samples(1, [3], [300, -300, 299]), samples(1, [], [1], 'i32')], attrs: {} },
    ],
    tolerance: { ...ROUNDING, wasm: EXACT.wasm },
  },
  softmaxCrossEntropyGrad: {
    cases: () => [
      ...[1, 7, 130].map((rows) => ({ name: `${rows} × 10`, rows, inputs: logits(rows, 10), attrs: {} })),
      { name: '5 × 3', rows: 5, inputs: logits(5, 3), attrs: {} },
      { name: '70 × 7, smoothed', rows: 70, inputs: logits(70, 7), attrs: { smoothing: 0.1 } },
      { name: '67 × 3, weighted', rows: 67, inputs: logits(67, 3), attrs: { classWeights: [0.25, 0, 3] } },
      {
        name: '7 × 10, weighted and smoothed',
        rows: 7,
        inputs: logits(7, 10),
        attrs: { smoothing: 0.2, classWeights: Array.from({ length: 10 }, (_, k) => 0.5 + k / 7) },
      },
      ...told(),
      { name: 'large logits', rows: 1, inputs: [samples(1, [3], [300, -300, 299]), samples(1, [], [1], 'i32')], attrs: {} },
    ],
    // The difference of a probability and one, in doubles; what cancels is the f32 of the logits, equal on both sides.
    tolerance: { wasm: { absolute: 1e-12, relative: 1e-6 }, gpu: { absolute: 1e-9, relative: 3e-6 } },
  },
} satisfies OpFamily;
