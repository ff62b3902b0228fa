// Cases of tensors beside each other and of axes in another order.

import { type OpFamily, x } from '../support/op-case.ts';

/** Parts that lie beside each other by channels. */
const CONCATENATIONS: readonly (readonly [rows: number, pixels: readonly [number, number], channels: readonly number[]])[] = [
  [1, [1, 1], [1, 1]],
  [3, [3, 5], [7, 2, 1]],
  [2, [9, 8], [16, 4, 8]],
  [5, [2, 1], [33]],
  [2, [2, 3], [5, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]],
];

export const PERMUTATIONS: readonly (readonly [rows: number, shape: readonly number[], axes: readonly number[]])[] = [
  [3, [5], [0]],
  [2, [3, 7], [1, 0]],
  [3, [4, 5, 6], [2, 0, 1]],
  [2, [3, 5, 8], [1, 0, 2]],
  [1, [2, 3, 4, 5], [2, 0, 3, 1]],
];

export const family = {
  concat: {
    cases: () =>
      CONCATENATIONS.map(([rows, pixels, channels]) => ({
        name: `${rows} × [${pixels}] of [${channels}]`,
        rows,
        inputs: { parts: channels.map((n, k) => x(rows, [...pixels, n], k)) },
        attrs: {},
      })),
    maker: ({ g, draw }, a, b) => g.one('concat', { parts: draw(2) ? [a, b] : [b, a, b] }),
  },
  permute: {
    cases: () =>
      PERMUTATIONS.map(([rows, shape, axes]) => ({
        name: `${rows} × [${shape}] to [${axes}]`,
        rows,
        inputs: [x(rows, shape)],
        attrs: { axes },
      })),
    maker: ({ g, draw }, x) => g.one('permute', { x }, { axes: draw(2) ? [1, 0, 2] : [2, 0, 1] }),
  },
} satisfies OpFamily;
