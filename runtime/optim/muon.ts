// Muon (Jordan et al., 2024) in Keras' form, with the scale of Liu et al. (arXiv 2502.16982): the step of a matrix is its momentum with all singular
// values near 1, by an iteration of Newton and Schulz, so large that the rate and decay of AdamW suit it. Unlike Keras', which knows dense layers alone,
// it takes kernels of convolutions for matrices too (runtime/compile/matrices.ts says which). All else gets the step of AdamW.

import { constant, type ValuesOf } from '../base/constants.ts';
import { above0, below1, integer, toggle } from '../base/kinds.ts';
import { adamw } from './adamw.ts';
import { defineOptimizer } from './rule.ts';

/** Those that matrices go by. */
const matrixConstants = {
  momentum: constant(below1, 0.95),
  nesterov: constant(toggle, true),
  steps: constant(integer(1, 20), 5),
  rmsRate: constant(above0, 0.2),
};
export type MatrixConstants = ValuesOf<typeof matrixConstants>;

/** Of the polynomial a·x + b·x³ + c·x⁵ that moves singular values towards 1. */
export const NEWTON_SCHULZ = { a: 3.4445, b: -4.775, c: 2.0315 } as const;
/** What is added to the length that a matrix is divided by. */
export const LENGTH_EPSILON = 1e-7;

export const muon = defineOptimizer({
  name: 'muon',
  slots: ['moment1', 'moment2'],
  constants: { ...matrixConstants, ...adamw.constants },
  step: (scalars, constants, t) => adamw.step(scalars, constants, t),
  flops: adamw.flops,
  matrices: { slots: ['moment1'], constants: matrixConstants, others: adamw },
  keras: {
    classes: ['Muon'],
    keys: {
      ...{ momentum: 'momentum', nesterov: 'nesterov', steps: 'ns_steps', rmsRate: 'rms_rate' },
      ...{ beta1: 'adam_beta_1', beta2: 'adam_beta_2', epsilon: 'epsilon' },
    },
    fixed: { muon_a: NEWTON_SCHULZ.a, muon_b: NEWTON_SCHULZ.b, muon_c: NEWTON_SCHULZ.c, adam_lr_ratio: 1 },
  },
});

/** Rows and columns of a parameter as a matrix: all axes but the last, and the last. */
export function matrixSizes(shape: readonly number[]): { readonly rows: number; readonly columns: number } {
  const columns = shape[shape.length - 1];
  return { rows: shape.reduce((product, n) => product * n, 1) / columns, columns };
}

/** Length of the step of a matrix at a rate of 1, where its singular values are 1: the root of the mean square is `rmsRate` for a square one. */
export const matrixRate = (shape: readonly number[], rmsRate: number): number => {
  const { rows, columns } = matrixSizes(shape);
  return rmsRate * Math.sqrt(Math.max(rows, columns));
};

type Doubles = Float64Array<ArrayBuffer>;

/** The matrix [rows, columns] with singular values near 1, in doubles: by so many steps X ← X·(a + b·A + c·A²), A = XᵀX, from X = matrix / length on. */
export function orthogonalized(matrix: Doubles, rows: number, columns: number, steps: number): Doubles {
  // A is made on the smaller side.
  if (rows < columns) return transposed(orthogonalized(transposed(matrix, rows, columns), columns, rows, steps), columns, rows);
  const { a, b, c } = NEWTON_SCHULZ;
  const length = Math.sqrt(matrix.reduce((sum, x) => sum + x * x, 0)) + LENGTH_EPSILON;
  let x = matrix.map((value) => value / length);
  for (let step = 0; step < steps; step++) {
    const gram = product(transposed(x, rows, columns), x, columns, rows, columns);
    const square = product(gram, gram, columns, columns, columns);
    const polynomial = gram.map((value, i) => (i % (columns + 1) === 0 ? a : 0) + b * value + c * square[i]);
    x = product(x, polynomial, rows, columns, columns);
  }
  return x;
}

/** [m, k]·[k, n] */
function product(left: Doubles, right: Doubles, m: number, k: number, n: number): Doubles {
  const result = new Float64Array(m * n);
  for (let i = 0; i < m; i++)
    for (let l = 0; l < k; l++) {
      const factor = left[i * k + l];
      for (let j = 0; j < n; j++) result[i * n + j] += factor * right[l * n + j];
    }
  return result;
}

function transposed(matrix: Doubles, rows: number, columns: number): Doubles {
  const result = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) result[j * rows + i] = matrix[i * columns + j];
  return result;
}
