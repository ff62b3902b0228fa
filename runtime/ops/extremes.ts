// The larger or the smaller of two tensors, element by element.

import { defineOp } from '../ir/define-op.ts';
import { attr, need } from '../ir/signature.ts';
import type { TensorSpec } from '../ir/tensor.ts';
import { kinds, sameSpec } from './check.ts';

const { features } = kinds;
const attrs = { of: attr.choice('maximum', 'minimum') };

const needAlike = (first: TensorSpec, ...others: readonly TensorSpec[]): void =>
  need(
    others.every((spec) => sameSpec(spec, first)),
    'tensors of one shape',
  );

const extreme = defineOp({
  doc: 'y = the larger of a and b, or the smaller',
  inputs: { a: features, b: features },
  outputs: { y: features },
  attrs,
  infer({ a, b }) {
    needAlike(a, b);
    return { y: a };
  },
  gradient: (g, { args: { a, b }, attrs, d: { y: dy } }) => ({
    a: () => g.one('extremeGrad', { dy, a, b }, { ...attrs, wanted: 'a' }),
    b: () => g.one('extremeGrad', { dy, a, b }, { ...attrs, wanted: 'b' }),
  }),
  reference({ inputs: { a, b }, outputs: { y } }, { of }) {
    const pick = of === 'maximum' ? Math.max : Math.min;
    for (let i = 0; i < y.data.length; i++) y.data[i] = pick(a.data[i], b.data[i]);
  },
});

const extremeGrad = defineOp({
  doc: 'da or db of `extreme`: dy where that operand was taken, a where both are equal',
  inputs: { dy: features, a: features, b: features },
  outputs: { dx: features },
  attrs: { ...attrs, wanted: attr.choice('a', 'b') },
  infer({ dy, a, b }) {
    needAlike(dy, a, b);
    return { dx: dy };
  },
  reference({ inputs: { dy, a, b }, outputs: { dx } }, { of, wanted }) {
    for (let i = 0; i < dx.data.length; i++) {
      const isA = of === 'maximum' ? a.data[i] >= b.data[i] : a.data[i] <= b.data[i];
      dx.data[i] = isA === (wanted === 'a') ? dy.data[i] : 0;
    }
  },
});

export const extremes = { extreme, extremeGrad };
