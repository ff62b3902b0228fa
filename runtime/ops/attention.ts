// What attention is made of: products of two matrices of each sample, and the softmax over the last axis.

import { defineOp } from '../ir/define-op.ts';
import { attr, need } from '../ir/signature.ts';
import { activation, channelsOf, kinds, perElement, sameSpec } from './check.ts';

const { features } = kinds;

/** Sizes of a product: so many matrices of a sample, [m, k] by [k, n]. */
export interface ProductSizes {
  readonly matrices: number;
  readonly m: number;
  readonly k: number;
  readonly n: number;
}

/** Which operand is read by columns. */
export type Transposed = 'a' | 'b' | undefined;

/** The sizes of a product of matrices of these shapes, without rows; undefined: they do not go together. */
export function productSizes(a: readonly number[], b: readonly number[], transposed: Transposed): ProductSizes | undefined {
  const axes = a.length;
  if (axes < 2 || axes > 3 || b.length !== axes) return undefined;
  const [rows, columns] = a.slice(-2);
  const [below, beside] = b.slice(-2);
  const [m, k] = transposed === 'a' ? [columns, rows] : [rows, columns];
  const [inner, n] = transposed === 'b' ? [beside, below] : [below, beside];
  const matrices = axes === 3 ? a[0] : 1;
  return inner === k && (axes === 2 || b[0] === matrices) ? { matrices, m, k, n } : undefined;
}

const matmul = defineOp({
  doc: 'y = a·b, of each sample, and of each of its matrices where there are three axes; transposed: that operand is taken by its columns',
  inputs: { a: features, b: features },
  outputs: { y: features },
  attrs: { transposed: attr.optional(attr.choice('a', 'b')) },
  infer({ a, b }, { transposed }) {
    const sizes = productSizes(a.shape, b.shape, transposed);
    need(sizes, 'two matrices, or lists of as many of them, whose inner sizes are equal');
    return { y: activation([...a.shape.slice(0, -2), sizes.m, sizes.n]) };
  },
  gradient(g, { args: { a, b }, attrs: { transposed }, d: { y: dy } }) {
    const product = (left: number | undefined, right: number | undefined, which?: 'a' | 'b') =>
      g.one('matmul', { a: left, b: right } as { a: number; b: number }, which ? { transposed: which } : {});
    if (transposed === 'a') return { a: () => product(b, dy, 'b'), b: () => product(a, dy) };
    if (transposed === 'b') return { a: () => product(dy, b), b: () => product(dy, a, 'a') };
    return { a: () => product(dy, b, 'b'), b: () => product(a, dy, 'a') };
  },
  reference({ step, inputs: { a, b }, outputs: { y } }, { transposed }) {
    const { matrices, m, k, n } = productSizes(a.shape.slice(1), b.shape.slice(1), transposed) as ProductSizes;
    for (let matrix = 0; matrix < step.rows * matrices; matrix++)
      for (let i = 0; i < m; i++)
        for (let j = 0; j < n; j++) {
          let sum = 0;
          for (let l = 0; l < k; l++)
            sum +=
              a.data[matrix * m * k + (transposed === 'a' ? l * m + i : i * k + l)] *
              b.data[matrix * k * n + (transposed === 'b' ? j * k + l : l * n + j)];
          y.data[(matrix * m + i) * n + j] = sum;
        }
  },
  flops({ a, b }, { transposed }, rows) {
    const { matrices, m, k, n } = productSizes(a.shape, b.shape, transposed) as ProductSizes;
    return 2 * rows * matrices * m * k * n;
  },
  traits: { counts: true },
});

const softmax = defineOp({
  doc: 'y = e^x / Σe^x over the last axis, the largest taken out first',
  inputs: { x: features },
  outputs: { y: features },
  infer: ({ x }) => ({ y: x }),
  gradient: (g, { results: { y }, d: { y: dy } }) => ({ x: () => g.one('softmaxGrad', { dy, y }) }),
  reference({ inputs: { x }, outputs: { y } }) {
    const width = channelsOf(x.shape);
    for (let i = 0; i < x.data.length; i += width) {
      const row = Array.from({ length: width }, (_, c) => x.data[i + c]);
      const most = row.reduce((a, b) => Math.max(a, b));
      const exponentials = row.map((value) => Math.exp(value - most));
      const sum = exponentials.reduce((a, b) => a + b);
      for (let c = 0; c < width; c++) y.data[i + c] = exponentials[c] / sum;
    }
  },
  flops: perElement(10),
});

const softmaxGrad = defineOp({
  doc: 'dx of `softmax`: y·(dy − Σdy·y)',
  inputs: { dy: features, y: features },
  outputs: { dx: features },
  infer({ dy, y }) {
    need(sameSpec(dy, y), 'dy and y of one shape');
    return { dx: y };
  },
  reference({ inputs: { dy, y }, outputs: { dx } }) {
    const width = channelsOf(y.shape);
    for (let i = 0; i < y.data.length; i += width) {
      let sum = 0;
      for (let c = 0; c < width; c++) sum += dy.data[i + c] * y.data[i + c];
      for (let c = 0; c < width; c++) dx.data[i + c] = y.data[i + c] * (dy.data[i + c] - sum);
    }
  },
  flops: perElement(4),
});

export const attention = { matmul, softmax, softmaxGrad };
