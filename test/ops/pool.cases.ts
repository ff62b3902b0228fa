// Cases of pooling.

import type { Attrs } from '../../runtime/ir/graph.ts';
import { backToImage, EXACT, type OpCase, type OpFamily, x } from '../support/op-case.ts';
import { runReference } from '../support/reference.ts';
import { integers, samples, uniform } from '../support/tensors.ts';

/** Sizes of images for pooling, both odd and even. */
const IMAGES: readonly (readonly [rows: number, shape: readonly number[]])[] = [
  [1, [2, 2, 1]],
  [3, [4, 4, 16]],
  [2, [5, 7, 3]],
  [5, [3, 2, 33]],
  [2, [8, 8, 20]],
];

const forImages = (make: (rows: number, shape: readonly number[]) => Omit<OpCase, 'name' | 'rows'>): OpCase[] =>
  IMAGES.map(([rows, shape]) => ({ name: `${rows} × [${shape}]`, rows, ...make(rows, shape) }));

/** Windows of pooling: that overlap, that leave pixels out, that are padded. */
const WINDOWS: readonly (readonly [rows: number, shape: readonly number[], attrs: Attrs])[] = [
  [2, [5, 7, 3], { size: 3 }],
  [3, [6, 5, 16], { size: 3, stride: 2, padding: 'same' }],
  [1, [8, 9, 33], { size: [3, 2], stride: [1, 3] }],
  [2, [4, 4, 4], { size: 3, stride: 1, padding: { top: 1, bottom: 2, left: 0, right: 1 } }],
  [2, [7, 7, 5], { size: 2, stride: 3 }],
  [5, [1, 1, 2], { size: 3, padding: 'same' }],
];

const forWindows = (make: (rows: number, shape: readonly number[], attrs: Attrs) => Omit<OpCase, 'name' | 'rows'>): OpCase[] =>
  WINDOWS.map(([rows, shape, attrs]) => ({ name: `${rows} × [${shape}] ${JSON.stringify(attrs)}`, rows, ...make(rows, shape, attrs) }));

export const family = {
  globalAvgPool: {
    cases: () => forImages((rows, shape) => ({ inputs: [x(rows, shape)], attrs: {} })),
    maker: (draft, x) => backToImage(draft, draft.g.one('globalAvgPool', { x })),
  },
  globalAvgPoolGrad: {
    cases: () => forImages((rows, shape) => ({ inputs: [x(rows, shape.slice(-1))], attrs: { inputShape: shape } })),
    tolerance: EXACT,
  },
  maxPool: {
    cases: () => [
      ...forImages((rows, shape) => ({ inputs: [x(rows, shape)], attrs: {} })),
      ...forWindows((rows, shape, attrs) => ({ inputs: [x(rows, shape)], attrs })),
    ],
    tolerance: EXACT,
    maker: ({ g, draw }, x) => g.one('maxPool', { x }, { size: 2 + draw(2), stride: 1 + draw(3), padding: 'same' }),
  },
  maxPoolGrad: {
    cases: () => {
      // Few different values: ties in most windows.
      const make = (rows: number, shape: readonly number[], attrs: Attrs = {}) => {
        const input = samples(rows, shape, integers(12, 3));
        const [y] = runReference('maxPool', [input], attrs);
        return { inputs: [samples(rows, y.spec.shape, uniform(5)), input], attrs };
      };
      return [...forImages((rows, shape) => make(rows, shape)), ...forWindows(make)];
    },
  },
  avgPool: {
    cases: () => forWindows((rows, shape, attrs) => ({ inputs: [x(rows, shape)], attrs })),
    maker: ({ g, draw }, x) => g.one('avgPool', { x }, { size: 2 + draw(2), stride: 1 + draw(3), padding: 'same' }),
  },
  avgPoolGrad: {
    cases: () =>
      forWindows((rows, shape, attrs) => {
        const [y] = runReference('avgPool', [x(rows, shape)], attrs);
        return { inputs: [samples(rows, y.spec.shape, uniform(5))], attrs: { ...attrs, inputShape: shape } };
      }),
  },
} satisfies OpFamily;
