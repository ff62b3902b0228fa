// Sums over the pixels of large images, of numbers that do not cancel: a chain in f32 is off by 4e-4 at 224², by 2e-3 at 512².

import type { KernelOpName } from '../../runtime/ops/index.ts';
import type { OpCase } from './op-case.ts';
import { runReference } from './reference.ts';
import { fixed, samples, uniform } from './tensors.ts';

const plain = { stride: 1, padding: 'same' };

export interface LongSum {
  readonly op: KernelOpName;
  readonly one: OpCase;
}

/** Every op that sums over pixels, on one image of `side`². */
export function longSums(side: number): readonly LongSum[] {
  const tensor = (channels: number, seed: number) => samples(1, [side, side, channels], uniform(seed, 0, 1));
  const vector = (channels: number, seed: number) => fixed([channels], uniform(seed, 0.1, 1));
  const dy = tensor(4, 1);
  const x = tensor(4, 2);
  const far = samples(1, [side, side, 4], uniform(3, 100, 101));
  const four = [4, 5, 6].map((seed) => vector(4, seed));
  const cases: readonly (readonly [KernelOpName, string, OpCase['inputs'], OpCase['attrs']])[] = [
    ['biasGrad', '', [dy], {}],
    ['globalAvgPool', '', [x], {}],
    ['bnStats', '', [far], { from: 'input', pixels: side * side }],
    ['bnGradStats', '', [dy, x, four[0]], {}],
    ['bnGradApply', '', [dy, x, ...four], { biasGrad: true }],
    ['normalize', '', [far, four[0], four[1]], { epilogue: { stats: true } }],
    ['conv', '1×1', [far, fixed([1, 1, 4, 4], uniform(7, 0, 1))], { ...plain, epilogue: { stats: true } }],
    ['depthwise', '', [far, fixed([5, 5, 4, 1], uniform(7, 0, 1))], { epilogue: { stats: true } }],
    ['convGradWeight', '1×1', [x, dy], { ...plain, weightShape: [1, 1, 4, 4] }],
    ['convGradWeight', '3×3', [tensor(3, 2), tensor(16, 1)], { ...plain, weightShape: [3, 3, 3, 16] }],
    ['depthwiseGradWeight', '', [x, dy], { weightShape: [5, 5, 4, 1] }],
    ['depthwiseGrad', 'with bias', [dy, x, fixed([5, 5, 4, 1], uniform(7)), x, ...four, x], { biasGrad: true }],
  ];
  return cases.map(([op, what, inputs, attrs]) => ({ op, one: { name: `${op} ${what} of ${side}²`, rows: 1, inputs, attrs } }));
}

/** The largest error of what is a sum (and not an image), relative to the largest number of its tensor. */
export async function errorOfSums({ op, one }: LongSum, run: (op: KernelOpName, one: OpCase) => Promise<readonly ArrayLike<number>[]>) {
  const expected = runReference(op, one.inputs, one.attrs, { rows: 1 });
  const actual = await run(op, one);
  const errors = expected.map(({ data, spec }, i) => {
    if (spec.perSample && spec.shape.length === 3) return 0;
    // Mean and variance are of different sizes.
    const parts = spec.shape[0] === 2 ? [0, data.length / 2] : [0];
    return Math.max(
      ...parts.map((begin) => {
        const values = [...data.slice(begin, begin + data.length / parts.length)] as number[];
        return Math.max(...values.map((value, k) => Math.abs(actual[i][begin + k] - value))) / Math.max(...values.map(Math.abs));
      }),
    );
  });
  return Math.max(...errors);
}

/** Of sums; and of variances, in which what the images are rounded to counts as well. */
export const SUM_TOLERANCE = 1.5e-6;
export const VARIANCE_TOLERANCE = 1e-5;
export const hasVariance = ({ op, one }: LongSum): boolean => op === 'bnStats' || JSON.stringify(one.attrs).includes('stats');
