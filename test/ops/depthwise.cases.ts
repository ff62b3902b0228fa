// Cases of depthwise convolutions.

import type { Attrs } from '../../runtime/ir/graph.ts';
import type { Named } from '../../runtime/ir/signature.ts';
import { affine, attrsOf, bnGradApplyInputs, channelCount, EVERYTHING, type OpFamily, withEpilogues, x } from '../support/op-case.ts';
import { fixed, type TestTensor, uniform } from '../support/tensors.ts';

export interface DepthwiseSize {
  readonly rows: number;
  readonly shape: readonly number[];
  readonly k: number;
}

export const DEPTHWISES: readonly DepthwiseSize[] = [
  { rows: 1, shape: [1, 1, 1], k: 5 },
  { rows: 2, shape: [5, 4, 16], k: 5 },
  { rows: 3, shape: [8, 8, 33], k: 5 },
  { rows: 2, shape: [3, 7, 5], k: 3 },
  { rows: 1, shape: [6, 5, 20], k: 7 },
  { rows: 2, shape: [5, 5, 8], k: 9 },
  { rows: 2, shape: [5, 6, 6], k: 4 },
  { rows: 7, shape: [2, 3, 4], k: 1 },
];

const depthwiseW = ({ shape, k }: DepthwiseSize): TestTensor => fixed([k, k, shape[2], 1], uniform(3));
const depthwiseName = ({ rows, shape, k }: DepthwiseSize): string => `${rows} × [${shape}] by ${k}×${k}`;

/** All that fusion can make of `depthwiseGrad`, and what no rule makes alone. */
export const DEPTHWISE_GRADIENTS: readonly DepthwiseGradParts[] = [
  {},
  { biasGrad: true },
  { residual: true },
  { normalize: true },
  { bnGrad: true },
  { normalize: true, bnGrad: true, residual: true, biasGrad: true },
];

interface DepthwiseGradParts {
  readonly biasGrad?: boolean;
  readonly residual?: boolean;
  readonly normalize?: boolean;
  readonly bnGrad?: boolean;
}

/** Operands and attributes of a `depthwiseGrad` with these parts. */
export function depthwiseGradCase(
  size: DepthwiseSize,
  { biasGrad, residual, normalize, bnGrad }: DepthwiseGradParts,
): { readonly inputs: Named<TestTensor>; readonly attrs: Attrs } {
  const { rows, shape } = size;
  const [dy, activation, slope, alpha, kappa] = bnGradApplyInputs(rows, shape);
  const inputs = {
    ...{ dy, x: x(rows, shape, 11), w: depthwiseW(size) },
    ...(bnGrad ? { activation, slope, alpha, kappa, derivative: x(rows, shape, 10) } : {}),
    ...(residual ? { residual: x(rows, shape, 12) } : {}),
    ...(normalize ? affine(shape) : {}),
  };
  return { inputs, attrs: biasGrad ? { biasGrad } : {} };
}

export const family = {
  depthwise: {
    cases: () => [
      ...DEPTHWISES.map((size) => ({
        name: depthwiseName(size),
        rows: size.rows,
        inputs: [x(size.rows, size.shape), depthwiseW(size)],
        attrs: {},
      })),
      ...DEPTHWISES.slice(1, 4).flatMap((size) =>
        withEpilogues(depthwiseName(size), [x(size.rows, size.shape), depthwiseW(size)], size.shape[2], {}),
      ),
      ...DEPTHWISES.flatMap((size) =>
        [{}, EVERYTHING].map((epilogue) => ({
          name: `${depthwiseName(size)} normalized ${JSON.stringify(epilogue)}`,
          rows: size.rows,
          inputs: {
            ...{ x: x(size.rows, size.shape), w: depthwiseW(size) },
            ...(epilogue.bias ? { bias: fixed(size.shape.slice(-1), uniform(4)) } : {}),
            ...affine(size.shape),
          },
          attrs: { epilogue: attrsOf(epilogue) },
        })),
      ),
    ],
    maker: ({ g, draw, parameter }, x) => g.one('depthwise', { x, w: parameter(...Array(2).fill(1 + 2 * draw(3)), channelCount(g, x), 1) }),
  },
  depthwiseGradInput: {
    cases: () =>
      DEPTHWISES.map((size) => ({
        name: depthwiseName(size),
        rows: size.rows,
        inputs: [x(size.rows, size.shape, 5), depthwiseW(size)],
        attrs: {},
      })),
  },
  depthwiseGradWeight: {
    cases: () =>
      DEPTHWISES.flatMap((size) =>
        [false, true].map((normalize) => ({
          name: `${depthwiseName(size)}${normalize ? ' normalized' : ''}`,
          rows: size.rows,
          inputs: { x: x(size.rows, size.shape), dy: x(size.rows, size.shape, 5), ...(normalize ? affine(size.shape) : {}) },
          attrs: { weightShape: depthwiseW(size).shape },
        })),
      ),
  },
  depthwiseGrad: {
    cases: () =>
      DEPTHWISES.flatMap((size) =>
        DEPTHWISE_GRADIENTS.map((parts) => ({
          name: `${depthwiseName(size)} ${JSON.stringify(parts)}`,
          rows: size.rows,
          ...depthwiseGradCase(size, parts),
        })),
      ),
  },
} satisfies OpFamily;
