// Cases of images in another size.

import { type OpFamily, x } from '../support/op-case.ts';

/** Larger and smaller, by whole factors and others, one pixel, and the same size. */
export const SIZES: readonly (readonly [rows: number, shape: readonly number[], size: readonly [number, number]])[] = [
  [1, [1, 1, 1], [3, 2]],
  [2, [3, 5, 7], [6, 10]],
  [3, [4, 3, 8], [5, 7]],
  [1, [9, 11, 3], [4, 2]],
  [2, [5, 4, 33], [1, 1]],
  [2, [6, 6, 4], [6, 6]],
  [1, [2, 13, 2], [19, 5]],
];

const cases = (isGradient: boolean) => () =>
  SIZES.flatMap(([rows, shape, size]) =>
    (['nearest', 'bilinear'] as const).map((interpolation) => ({
      name: `${rows} × [${shape}] ${isGradient ? 'of' : 'to'} [${size}], ${interpolation}`,
      rows,
      inputs: [x(rows, isGradient ? [...size, shape[2]] : shape)],
      attrs: { size: isGradient ? shape.slice(0, 2) : size, interpolation },
    })),
  );

export const family = {
  resize: {
    cases: cases(false),
    maker: ({ g, draw }, x) =>
      g.one('resize', { x }, { size: [1 + draw(5), 1 + draw(5)], interpolation: draw(2) ? 'nearest' : 'bilinear' }),
  },
  resizeGrad: { cases: cases(true) },
} satisfies OpFamily;
