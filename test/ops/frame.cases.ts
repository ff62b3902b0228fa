// Cases of frames.

import { EXACT, type OpFamily, x } from '../support/op-case.ts';

/** Around an image, a part of it, beside others by channels, and all at once. */
const FRAMES: readonly (readonly [rows: number, shape: readonly number[], offset: readonly number[], to: readonly number[]])[] = [
  [1, [1, 1, 1], [0, 0, 0], [1, 1, 1]],
  [3, [3, 5, 7], [1, 2, 0], [5, 9, 7]],
  [2, [4, 4, 16], [1, 1, 0], [6, 6, 16]],
  [5, [5, 6, 4], [-1, -2, 0], [3, 3, 4]],
  [2, [3, 3, 5], [0, 0, 3], [3, 3, 11]],
  [3, [2, 3, 8], [0, 0, 4], [2, 3, 16]],
  [2, [3, 2, 11], [0, 0, -3], [3, 2, 5]],
  [3, [3, 2, 12], [0, 0, -4], [3, 2, 4]],
  [2, [4, 3, 6], [-2, 1, 2], [3, 2, 7]],
];

export const family = {
  frame: {
    cases: () =>
      FRAMES.map(([rows, shape, offset, to]) => ({
        name: `${rows} × [${shape}] at [${offset}] of [${to}]`,
        rows,
        inputs: [x(rows, shape)],
        attrs: { offset, shape: to },
      })),
    tolerance: EXACT,
    maker: ({ g, draw }, x) => {
      const to = g.spec(x).shape.map((n) => Math.max(1, n + 2 - draw(4)));
      const offset = g.spec(x).shape.map((n, axis) => Math.max(1 - n, Math.min(to[axis] - 1, draw(3) - 1)));
      return g.one('frame', { x }, { offset, shape: to });
    },
  },
} satisfies OpFamily;
