// Stochastic gradient descent in Keras' form: the velocity is a step, with the learning rate in it, and Nesterov's variant takes the next one
// ahead of its time. Without momentum it keeps nothing.

import { constant } from '../base/constants.ts';
import { below1, toggle } from '../base/kinds.ts';
import { defineOptimizer } from './rule.ts';

export const sgd = defineOptimizer({
  name: 'sgd',
  slots: ['velocity'],
  constants: { momentum: constant(below1, 0.9), nesterov: constant(toggle, true) },
  isStateless: ({ momentum }) => momentum === 0,
  step({ learningRate, weightDecay }, { momentum, nesterov }) {
    return (at) => {
      at.w -= at.w * weightDecay * learningRate;
      at.velocity = at.velocity * momentum - at.g * learningRate;
      at.w += nesterov ? at.velocity * momentum - at.g * learningRate : at.velocity;
    };
  },
  flops: 9,
  keras: { classes: ['SGD'], keys: { momentum: 'momentum', nesterov: 'nesterov' } },
});
