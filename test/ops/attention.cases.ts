// Cases of products of matrices of each sample, and of softmax.

import { forActivations, type OpFamily, x } from '../support/op-case.ts';

/** Shapes of a and b, and which of them is taken by its columns. */
export const PRODUCTS: readonly (readonly [rows: number, a: readonly number[], b: readonly number[], transposed?: 'a' | 'b'])[] = [
  [1, [1, 1], [1, 1]],
  [3, [5, 7], [7, 3]],
  [2, [17, 4], [4, 8]],
  [2, [3, 5, 2], [3, 2, 9]],
  [1, [2, 33, 6], [2, 6, 9]],
  [3, [7, 5], [7, 3], 'a'],
  [2, [2, 4, 17], [2, 4, 6], 'a'],
  [1, [1, 3, 1], [1, 3, 5], 'a'],
  [3, [5, 7], [3, 7], 'b'],
  [2, [2, 19, 5], [2, 7, 5], 'b'],
  [1, [2, 1, 3], [2, 65, 3], 'b'],
];

export const family = {
  matmul: {
    cases: () =>
      PRODUCTS.map(([rows, a, b, transposed]) => ({
        name: `${rows} × [${a}]·[${b}]${transposed ? `, ${transposed} by columns` : ''}`,
        rows,
        inputs: [x(rows, a), x(rows, b, 2)],
        attrs: transposed ? { transposed } : {},
      })),
    maker({ g, draw }, x, other) {
      // Rows of channels with rows of channels, and back to the size of the image.
      const [height, width, channels] = g.spec(x).shape;
      const matrix = (id: number) => g.one('reshape', { x: id }, { shape: [height * width, channels] });
      const small = g.one('matmul', { a: matrix(x), b: matrix(other) }, { transposed: 'a' });
      const scaled = g.one('affine', { x: draw(2) ? g.one('softmax', { x: small }) : small }, { scale: 1 / (height * width) });
      return g.one(
        'reshape',
        { x: g.one('matmul', { a: matrix(x), b: scaled }, draw(2) ? { transposed: 'b' } : {}) },
        {
          shape: [height, width, channels],
        },
      );
    },
  },
  softmax: {
    cases: () => [
      ...forActivations((rows, shape) => ({ inputs: [x(rows, shape)], attrs: {} })),
      {
        name: 'numbers far from 0',
        rows: 2,
        inputs: [{ ...x(2, [3, 5]), data: x(2, [3, 5]).data.map((v: number) => v * 40 + 500) }],
        attrs: {},
      },
    ],
    maker: ({ g }, x) => g.one('softmax', { x }),
  },
  softmaxGrad: {
    cases: () => forActivations((rows, shape) => ({ inputs: [x(rows, shape), x(rows, shape, 2)], attrs: {} })),
    tolerance: { wasm: { absolute: 2e-5, relative: 2e-5 }, gpu: { absolute: 4e-5, relative: 2e-5 } },
  },
} satisfies OpFamily;
