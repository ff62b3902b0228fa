// Cross-entropy of integer labels with the softmax of logits. With `smoothing` s the truth is 1 − s + s/K for the label and s/K for every other
// class, as with Keras' `label_smoothing`.

import { constant } from '../base/constants.ts';
import { below1 } from '../base/kinds.ts';
import { defineLoss } from './loss.ts';

export const crossEntropy = defineLoss({
  name: 'crossEntropy',
  attrs: { smoothing: constant(below1, 0) },
  build(g, logits, labels, { smoothing }, classWeights) {
    const { loss, correct } = g.add('softmaxCrossEntropy', { logits, labels }, { smoothing, ...(classWeights && { classWeights }) });
    return { loss, correct };
  },
  reference(logits, label, { smoothing }) {
    const z = Array.from(logits);
    const most = z.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
    const logSum = most + Math.log(z.reduce((sum, one) => sum + Math.exp(one - most), 0));
    return z.reduce((sum, one, k) => sum + ((k === label ? 1 - smoothing : 0) + smoothing / z.length) * (logSum - one), 0);
  },
});
