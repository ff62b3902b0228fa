// Cases of convolutions.

import type { Attrs } from '../../runtime/ir/graph.ts';
import { attrsOf, EVERYTHING, type OpFamily, withEpilogues, x } from '../support/op-case.ts';
import { runReference } from '../support/reference.ts';
import { fixed, integers, samples, type TestTensor, uniform } from '../support/tensors.ts';

interface ConvSize {
  readonly rows: number;
  readonly xShape: readonly number[];
  readonly wShape: readonly number[];
  readonly stride?: number | readonly [number, number];
  readonly padding?: 'valid' | 'same';
  readonly dilation?: number | readonly [number, number];
  readonly groups?: number;
  readonly inputScale?: number;
}

/** Groups that fill vectors, with strides. */
const GROUPS: ConvSize = { rows: 2, xShape: [6, 7, 32], wShape: [3, 3, 16, 40], groups: 2, stride: 2, padding: 'same' };

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
  { rows: 2, xShape: [7, 9, 5], wShape: [3, 2, 5, 6], stride: [2, 3], padding: 'same' },
  { rows: 2, xShape: [9, 11, 4], wShape: [2, 3, 4, 5], stride: [1, 2], dilation: [3, 2] },
  { rows: 3, xShape: [5, 6, 6], wShape: [3, 3, 2, 9], groups: 3, padding: 'same' },
  GROUPS,
  { rows: 3, xShape: [6, 6, 4], wShape: [3, 3, 2, 6], groups: 2, inputScale: 1 / 255 },
];

/** x of a convolution, as bytes where it has an input scale. */
const convX = ({ rows, xShape, inputScale }: ConvSize): TestTensor =>
  inputScale === undefined ? x(rows, xShape) : samples(rows, xShape, integers(2, 256), 'u8');

const convAttrs = ({ stride = 1, padding = 'valid', dilation, groups }: ConvSize): Attrs => ({
  ...{ stride, padding },
  ...(dilation && { dilation }),
  ...(groups && { groups }),
});

const scaleAttr = ({ inputScale }: ConvSize): Attrs => (inputScale === undefined ? {} : { inputScale });

const convName = ({ rows, xShape, wShape, stride = 1, padding = 'valid', dilation = 1, groups = 1, inputScale }: ConvSize): string =>
  `${rows} × [${xShape}] by [${wShape}] stride ${stride} ${padding} dilation ${dilation} groups ${groups}${inputScale === undefined ? '' : ' of bytes'}`;

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
      {
        name: `${convName(GROUPS)} with all of an epilogue`,
        rows: GROUPS.rows,
        inputs: [convX(GROUPS), fixed(GROUPS.wShape, uniform(3)), fixed([40], uniform(4))],
        attrs: { ...convAttrs(GROUPS), epilogue: attrsOf(EVERYTHING) },
      },
    ],
    maker: ({ g, draw, parameter }, x) => {
      const [k, co] = [1 + 2 * draw(2), 2 + draw(20)];
      const attrs = { stride: 1 + draw(2), padding: draw(3) ? 'same' : 'valid' };
      const [h, w, ci] = g.spec(x).shape;
      if (draw(2)) return g.one('conv', { x, w: parameter(k, k, ci, co) }, h < k || w < k ? { ...attrs, padding: 'same' } : attrs);
      const groups = [4, 3, 2, 1].find((n) => ci % n === 0) as number;
      const others = { stride: [1 + draw(2), 1 + draw(3)], padding: 'same', dilation: 1 + draw(2), groups };
      return g.one('conv', { x, w: parameter(k, 1 + draw(3), ci / groups, groups * (1 + draw(5))) }, others);
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
