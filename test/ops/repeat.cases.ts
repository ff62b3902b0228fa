// Cases of repeating along axes.

import { type OpFamily, x } from '../support/op-case.ts';

/** Along each axis, and as what is broadcast. */
export const REPETITIONS: readonly (readonly [rows: number, shape: readonly number[], times: readonly number[]])[] = [
  [1, [1, 1, 1], [1, 1, 1]],
  [3, [3, 5, 7], [2, 2, 1]],
  [2, [4, 3, 16], [1, 3, 1]],
  [2, [2, 3, 5], [1, 1, 3]],
  [3, [2, 1, 4], [3, 2, 2]],
  [5, [1, 1, 33], [7, 5, 1]],
  [2, [1, 1, 8], [13, 19, 1]],
  [2, [5, 4, 1], [1, 1, 9]],
];

export const family = {
  repeat: {
    cases: () =>
      REPETITIONS.map(([rows, shape, times]) => ({
        name: `${rows} × [${shape}] by [${times}]`,
        rows,
        inputs: [x(rows, shape)],
        attrs: { times },
      })),
    maker: ({ g, draw }, x) => g.one('repeat', { x }, { times: [1 + draw(2), 1 + draw(2), 1 + draw(2)] }),
  },
  repeatGrad: {
    cases: () =>
      REPETITIONS.map(([rows, shape, times]) => {
        const repeated = shape.map((n, axis) => n * times[axis]);
        return { name: `${rows} × [${shape}] by [${times}]`, rows, inputs: [x(rows, repeated)], attrs: { times } };
      }),
  },
} satisfies OpFamily;
