// Cases of arithmetic with known numbers.

import { forActivations, type OpFamily, x } from '../support/op-case.ts';

export const family = {
  affine: {
    cases: () => [
      ...forActivations((rows, shape) => ({ inputs: [x(rows, shape)], attrs: { scale: 1 / 3, offset: -0.7 } })),
      ...forActivations((rows, shape) => ({
        inputs: [x(rows, shape)],
        attrs: { scale: Array.from({ length: shape[shape.length - 1] }, (_, c) => 0.1 * c - 1), offset: 2 },
      })).map((one) => ({ ...one, name: `${one.name} by channels` })),
    ],
    maker: ({ g }, x) => g.one('affine', { x }, { scale: 0.7, offset: 0.1 }),
  },
  fill: {
    cases: () => [
      ...forActivations((_rows, shape) => ({ inputs: [], attrs: { shape, value: 0.3 } })),
      { name: 'without rows', rows: 3, inputs: [], attrs: { shape: [130, 7], value: -1, parameter: true } },
    ],
  },
} satisfies OpFamily;
