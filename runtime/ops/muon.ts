// The step of the optimizer Muon with a matrix. All other parameters get that of AdamW, by its own op.

import { defineOp } from '../ir/define-op.ts';
import { need, optional } from '../ir/signature.ts';
import { BYTES_PER_ELEMENT, elementCount, type TensorSpec } from '../ir/tensor.ts';
import { type MatrixConstants, matrixRate, matrixSizes, orthogonalized, muon as rule } from '../optim/muon.ts';
import { kinds } from './check.ts';
import { constantAttrs, factorAttr } from './optimizer.ts';

/** Operations of the products: for each step two of the matrix with one of its smaller side, and one of that with itself. */
const productFlops = ({ shape }: TensorSpec, steps: number): number => {
  const { rows, columns } = matrixSizes(shape);
  const side = Math.min(rows, columns);
  return steps * (4 * rows * columns * side + 2 * side ** 3);
};

const muon = defineOp({
  doc: 'a step of the optimizer muon with one parameter w as a matrix, all its axes but the last by the last, where ok is 1; updates are w and its momentum m ← momentum·m + gradient. w ← w − w·weightDecay·learningRate − learningRate·rmsRate·√max(rows, columns)·O, where O is gradient + momentum·m (nesterov) or m, over its length, and then `steps` times X ← X·(a + b·A + c·A²), A = XᵀX, which brings its singular values near 1',
  inputs: { ok: kinds.integer, gradient: kinds.parameter, scale: optional(kinds.scalar) },
  outputs: {},
  updates: { parameter: kinds.parameter, moment: kinds.parameter },
  attrs: {
    ...constantAttrs(rule.matrices?.constants ?? {}),
    /** Factors on learning rate and weight decay. */
    rate: factorAttr,
    decay: factorAttr,
  },
  infer({ gradient }) {
    need(gradient.shape.length >= 2, 'a gradient of two axes or more');
    return {};
  },
  reference({ step, inputs: { ok, gradient, scale }, updates: { parameter, moment } }, attrs) {
    if (ok.data[0] === 0) return;
    const { momentum, nesterov, steps, rmsRate } = attrs as unknown as MatrixConstants;
    const { rate = 1, decay = 1 } = attrs;
    const factor = scale ? Number(scale.data[0]) : 1;
    const [w, m] = [parameter.data, moment.data];
    const u = new Float64Array(w.length);
    for (let i = 0; i < u.length; i++) {
      const g = Number(gradient.data[i]) * factor;
      m[i] = Number(m[i]) * momentum + g;
      u[i] = nesterov ? g + Number(m[i]) * momentum : Number(m[i]);
    }
    const { rows, columns } = matrixSizes(gradient.shape);
    const direction = orthogonalized(u, rows, columns, steps);
    const learningRate = step.learningRate * rate;
    const size = learningRate * matrixRate(gradient.shape, rmsRate);
    for (let i = 0; i < u.length; i++) w[i] = Number(w[i]) - Number(w[i]) * step.weightDecay * decay * learningRate - size * direction[i];
  },
  flops: ({ gradient }, attrs) => 14 * elementCount(gradient) + productFlops(gradient, (attrs as unknown as MatrixConstants).steps),
  // Gradient read; parameter and momentum read and written. What is made in between stays in caches.
  bytes: ({ gradient }) => 5 * BYTES_PER_ELEMENT.f32 * elementCount(gradient),
});

export const matrixUpdates = { muon };
