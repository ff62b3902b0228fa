// Cross-entropy of integer labels with the softmax of logits, and what it can be told.

import { below1, from0 } from '../base/kinds.ts';
import { exp, mul, sub } from '../ir/expression.ts';
import { attribute, defineLoss, type LossAttributes, termsOf } from './loss.ts';

/** Its attributes: each is an entry here, and in `reference` below. Op, settings, flags, kernels and tests follow. */
export const CROSS_ENTROPY = {
  /** With s the truth is 1 − s + s/K for the label and s/K for every other class, as with Keras' `label_smoothing`. */
  smoothing: attribute({
    kind: below1,
    setting: {
      name: 'labelSmoothing',
      flag: 'label-smoothing',
      example: '0.1',
      help: 'label smoothing: share of the target that the training loss spreads evenly over all classes; not used in validation and test',
    },
  }),
  /** With γ the label's part counts (1 − p)^γ times: focal loss (Lin et al., 2017), as Keras' `gamma`. What smoothing adds stays as it is. */
  focus: attribute({
    kind: from0,
    adds: (gamma, { nll, logMiss }) => mul(sub(exp(mul(gamma, logMiss)), 1), nll),
    setting: {
      name: 'focalGamma',
      flag: 'focal-gamma',
      example: '2',
      help: 'focal loss: weight (1 − p)^X of each training image, where p is the probability of its class, so that easy images count less; 0 disables',
    },
  }),
} as const satisfies LossAttributes;

/** What attributes add to the loss of a row. */
export const CROSS_ENTROPY_TERMS = termsOf(CROSS_ENTROPY);

/** Share of the truth that all classes have alike: what kernels know of the truth. */
export const spreadOf = ({ smoothing = 0 }: { readonly smoothing?: number | undefined }): number => smoothing;

export const crossEntropy = defineLoss({
  name: 'crossEntropy',
  attrs: CROSS_ENTROPY,
  build(g, logits, labels, attrs, classWeights) {
    const { loss, correct } = g.add('softmaxCrossEntropy', { logits, labels }, { ...attrs, ...(classWeights && { classWeights }) });
    return { loss, correct };
  },
  reference(logits, label, { smoothing, focus }) {
    const z = Array.from(logits);
    const most = z.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
    const logSum = most + Math.log(z.reduce((sum, one) => sum + Math.exp(one - most), 0));
    const p = Math.exp(z[label] - logSum);
    const focused = ((1 - p) ** focus - 1) * (logSum - z[label]);
    return z.reduce((sum, one, k) => sum + ((k === label ? 1 - smoothing : 0) + smoothing / z.length) * (logSum - one), focused);
  },
});
