// Layer normalisation: every pixel of a sample for itself, over its channels.

import { defineOp, once } from '../ir/define-op.ts';
import { attr, need } from '../ir/signature.ts';
import { channelsOf, isVector, kinds, perElement, sameSpec } from './check.ts';

const { features, vector } = kinds;
const epsilonAttr = { epsilon: attr.positive };

/** Mean and 1/√(variance + ε) of the channels from `first` on. */
function momentsOf(
  x: ArrayLike<number>,
  first: number,
  channels: number,
  epsilon: number,
): { readonly mean: number; readonly inverse: number } {
  let mean = 0;
  for (let c = 0; c < channels; c++) mean += x[first + c] / channels;
  let variance = 0;
  for (let c = 0; c < channels; c++) variance += (x[first + c] - mean) ** 2 / channels;
  return { mean, inverse: 1 / Math.sqrt(variance + epsilon) };
}

const layernorm = defineOp({
  doc: 'y = (x − mean)/√(variance + ε)·gamma + beta; mean and biased variance of the channels of each pixel',
  inputs: { x: features, gamma: vector, beta: vector },
  outputs: { y: features },
  attrs: epsilonAttr,
  infer({ x, gamma, beta }) {
    const channels = channelsOf(x.shape);
    need(isVector(gamma, channels) && isVector(beta, channels), `vectors [${channels}]`);
    return { y: x };
  },
  gradient(g, { args: { x, gamma }, attrs, d: { y: dy } }) {
    const all = once(() => g.add('layernormGrad', { dy, x, gamma }, attrs));
    return { x: () => all().dx, gamma: () => all().dgamma, beta: () => all().dbeta };
  },
  reference({ inputs: { x, gamma, beta }, outputs: { y } }, { epsilon }) {
    const channels = gamma.data.length;
    for (let i = 0; i < x.data.length; i += channels) {
      const { mean, inverse } = momentsOf(x.data, i, channels, epsilon);
      for (let c = 0; c < channels; c++) y.data[i + c] = (x.data[i + c] - mean) * inverse * gamma.data[c] + beta.data[c];
    }
  },
  flops: perElement(7),
});

const layernormGrad = defineOp({
  doc: 'dx, dgamma, dbeta of `layernorm`',
  inputs: { dy: features, x: features, gamma: vector },
  outputs: { dx: features, dgamma: vector, dbeta: vector },
  attrs: epsilonAttr,
  infer({ dy, x, gamma }) {
    need(sameSpec(dy, x) && isVector(gamma, channelsOf(x.shape)), 'dy and x of one shape, gamma [C]');
    return { dx: x, dgamma: gamma, dbeta: gamma };
  },
  reference({ inputs: { dy, x, gamma }, outputs: { dx, dgamma, dbeta } }, { epsilon }) {
    const channels = gamma.data.length;
    for (let i = 0; i < x.data.length; i += channels) {
      const { mean, inverse } = momentsOf(x.data, i, channels, epsilon);
      let [sum, product] = [0, 0];
      for (let c = 0; c < channels; c++) {
        const normal = (x.data[i + c] - mean) * inverse;
        const slope = dy.data[i + c] * gamma.data[c];
        sum += slope / channels;
        product += (slope * normal) / channels;
        dgamma.data[c] += dy.data[i + c] * normal;
        dbeta.data[c] += dy.data[i + c];
      }
      for (let c = 0; c < channels; c++)
        dx.data[i + c] = inverse * (dy.data[i + c] * gamma.data[c] - sum - (x.data[i + c] - mean) * inverse * product);
    }
  },
  flops: perElement(14),
});

export const layerNormalization = { layernorm, layernormGrad };
