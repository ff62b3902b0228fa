// AdamW in Keras' form: ε is added to the root of the second moment as it is, not to that of the corrected one as in PyTorch.

import { constant } from '../base/constants.ts';
import { above0, below1 } from '../base/kinds.ts';
import { defineOptimizer } from './rule.ts';

export const adamw = defineOptimizer({
  name: 'adamw',
  slots: ['moment1', 'moment2'],
  constants: { beta1: constant(below1, 0.9), beta2: constant(below1, 0.999), epsilon: constant(above0, 1e-7) },
  step({ learningRate, weightDecay }, { beta1, beta2, epsilon }, t) {
    const alpha = (learningRate * Math.sqrt(1 - beta2 ** t)) / (1 - beta1 ** t);
    return (at) => {
      at.w -= at.w * weightDecay * learningRate;
      at.moment1 += (at.g - at.moment1) * (1 - beta1);
      at.moment2 += (at.g * at.g - at.moment2) * (1 - beta2);
      at.w -= (at.moment1 * alpha) / (Math.sqrt(at.moment2) + epsilon);
    };
  },
  flops: 14,
  keras: {
    classes: ['AdamW', 'Adam'],
    keys: { beta1: 'beta_1', beta2: 'beta_2', epsilon: 'epsilon' },
    fixed: { amsgrad: false },
  },
});
