// Lion (Chen et al., 2023) in Keras' form: the step has the sign of a mean of gradients, and the learning rate as its size. It keeps one tensor, where
// AdamW keeps two, and wants a rate a third to a tenth of AdamW's, with a weight decay that is larger by as much.

import { constant } from '../base/constants.ts';
import { above0Below1, below1 } from '../base/kinds.ts';
import { defineOptimizer } from './rule.ts';

export const lion = defineOptimizer({
  name: 'lion',
  slots: ['momentum'],
  // With beta1 = 0 a step would be the sign of one gradient, whatever the momentum is: Keras refuses it, too.
  constants: { beta1: constant(above0Below1, 0.9), beta2: constant(below1, 0.99) },
  step({ learningRate, weightDecay }, { beta1, beta2 }) {
    return (at) => {
      at.w -= at.w * weightDecay * learningRate;
      at.w -= learningRate * Math.sign(at.momentum * beta1 + at.g * (1 - beta1));
      at.momentum = at.momentum * beta2 + at.g * (1 - beta2);
    };
  },
  flops: 11,
  keras: { classes: ['Lion'], keys: { beta1: 'beta_1', beta2: 'beta_2' } },
});
