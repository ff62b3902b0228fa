// Cases of convolutions.

import type { Attrs } from '../../runtime/ir/graph.ts';
import { type OpFamily, withEpilogues, x } from '../support/op-case.ts';
import { runReference } from '../support/reference.ts';
import { fixed, integers, samples, type TestTensor, uniform } from '../support/tensors.ts';

interface ConvSize {
  readonly rows: number;
  readonly xShape: readonly number[];
  readonly wShape: readonly number[];
  readonly stride?: number;
  readonly padding?: 'valid' | 'same';
  readonly inputScale?: number;
}

export const CONVOLUTIONS: readonly ConvSize[] = [
  { rows: 1, xShape: [1, 1, 1], wShape: [1, 1, 1, 1] },
  { rows: 3, xShape: [10], wShape: [10, 7] },
  { rows: 17, xShape: [33], wShape: [33, 10] },
  { rows: 2, xShape: [6, 6, 3], wShape: [2, 2, 3, 16], stride: 2 },
  { rows: 2, xShape: [5, 7, 3], wShape: [2, 2, 3, 5], stride: 2 },
  { rows: 3, xShape: [6, 6, 3], wShape: [2, 2, 3, 16], stride: 2, inputScale: 1 / 255 },
  { rows: 2, xShape: [5, 3, 13], wShape: [1, 1, 13, 11] },
  { rows: 3, xShape: [4, 4, 64], wShape: [1, 1, 64, 64] },
  { rows: 2, xShape: [5, 6, 7], wShape: [3, 3, 7, 9], padding: 'same' },
  { rows: 1, xShape: [8, 8, 32], wShape: [3, 3, 32, 24], padding: 'same' },
  { rows: 2, xShape: [7, 5, 3], wShape: [4, 4, 3, 5], padding: 'same' },
  { rows: 2, xShape: [6, 7, 5], wShape: [3, 3, 5, 6], stride: 2, padding: 'same' },
  { rows: 1, xShape: [2, 3, 4], wShape: [5, 5, 4, 3], padding: 'same' },
  { rows: 5, xShape: [3, 3, 2], wShape: [3, 3, 2, 65] },
];

/** x of a convolution, as bytes where it has an input scale. */
const convX = ({ rows, xShape, inputScale }: ConvSize): TestTensor =>
  inputScale === undefined ? x(rows, xShape) : samples(rows, xShape, integers(2, 256), 'u8');

const convAttrs = ({ stride = 1, padding = 'valid' }: ConvSize): { stride: number; padding: string } => ({ stride, padding });

const scaleAttr = ({ inputScale }: ConvSize): Attrs => (inputScale === undefined ? {} : { inputScale });

const convName = ({ rows, xShape, wShape, stride = 1, padding = 'valid', inputScale }: ConvSize): string =>
  `${rows} × [${xShape}] by [${wShape}] stride ${stride} ${padding}${inputScale === undefined ? '' : ' of bytes'}`;

/** Gradient-shaped tensor for what a convolution of this size gives. */
function convDy(size: ConvSize): TestTensor {
  const w = fixed(size.wShape, uniform(3));
  const [y] = runReference('conv', [convX(size), w], { ...convAttrs(size), ...scaleAttr(size) });
  return samples(size.rows, y.spec.shape, uniform(5));
}

export const family = {
  conv: {
    cases: () => [
      ...CONVOLUTIONS.map((size) => ({
        name: convName(size),
        rows: size.rows,
        inputs: [convX(size), fixed(size.wShape, uniform(3))],
        attrs: { ...convAttrs(size), ...scaleAttr(size) },
      })),
      ...[CONVOLUTIONS[1], CONVOLUTIONS[5], CONVOLUTIONS[6], CONVOLUTIONS[7], CONVOLUTIONS[8]].flatMap((size) =>
        withEpilogues(convName(size), [convX(size), fixed(size.wShape, uniform(3))], size.wShape[size.wShape.length - 1], {
          ...convAttrs(size),
          ...scaleAttr(size),
        }),
      ),
    ],
    maker: ({ g, draw, parameter }, x) => {
      const [k, co] = [1 + 2 * draw(2), 2 + draw(20)];
      const attrs = { stride: 1 + draw(2), padding: draw(3) ? 'same' : 'valid' };
      const [h, w, ci] = g.spec(x).shape;
      return g.one('conv', { x, w: parameter(k, k, ci, co) }, h < k || w < k ? { ...attrs, padding: 'same' } : attrs);
    },
  },
  convGradInput: {
    cases: () =>
      CONVOLUTIONS.filter(({ inputScale }) => inputScale === undefined).map((size) => ({
        name: convName(size),
        rows: size.rows,
        inputs: [convDy(size), fixed(size.wShape, uniform(3))],
        attrs: { ...convAttrs(size), inputShape: size.xShape },
      })),
  },
  convGradWeight: {
    cases: () =>
      CONVOLUTIONS.map((size) => ({
        name: convName(size),
        rows: size.rows,
        inputs: [convX(size), convDy(size)],
        attrs: { ...convAttrs(size), ...scaleAttr(size), weightShape: size.wShape },
      })),
  },
} satisfies OpFamily;
