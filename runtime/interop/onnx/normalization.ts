// ONNX's form of the layers of layers/normalization.ts.

import type { OnnxRules } from './emitter.ts';

export const normalization = {
  BatchNormalization: {
    emit(e, layer, [x]) {
      const { name, config, inputShape } = layer;
      const channels = inputShape[inputShape.length - 1];
      const of = (role: 'gamma' | 'beta' | 'moving_mean' | 'moving_variance') => e.weight(layer, role) as Float32Array;
      const [gamma, beta, mean, variance] = [of('gamma'), of('beta'), of('moving_mean'), of('moving_variance')];
      if (!e.fold) {
        const inputs = Object.entries({ gamma, beta, mean, variance }).map(([what, data]) =>
          e.constant(`${name}/${what}`, [channels], data),
        );
        return e.node('BatchNormalization', name, [x, ...inputs], { epsilon: { float: config.epsilon } });
      }
      const scale = Float64Array.from(gamma, (g, c) => g / Math.sqrt(variance[c] + config.epsilon));
      const shift = Float64Array.from(beta, (b, c) => b - mean[c] * scale[c]);
      if (e.absorb(layer, { scale, shift })) return x;
      const shape = inputShape.length === 3 ? [channels, 1, 1] : [channels];
      const constant = (what: string, values: Float64Array) => e.constant(`${name}/${what}`, shape, Float32Array.from(values));
      return e.node('Add', name, [e.node('Mul', `${name}/mul`, [x, constant('scale', scale)]), constant('shift', shift)]);
    },
  },
} satisfies Partial<OnnxRules>;
