// ONNX's form of the layers of layers/normalization.ts.

import { channelsFirst, channelsLast, type OnnxRules } from './emitter.ts';

export const normalization = {
  BatchNormalization: {
    emit(e, layer, [x]) {
      const { name, config, inputShape } = layer;
      const channels = inputShape[inputShape.length - 1];
      const of = (role: 'gamma' | 'beta' | 'moving_mean' | 'moving_variance') => e.weight(layer, role) as Float32Array;
      const [mean, variance] = [of('moving_mean'), of('moving_variance')];
      const gamma = of('gamma') ?? new Float32Array(channels).fill(1);
      const beta = of('beta') ?? new Float32Array(channels);
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
  LayerNormalization: {
    emit(e, layer, [x]) {
      const { name, config, inputShape } = layer;
      const shape = inputShape.slice(-[config.axis].flat().length);
      const size = shape.reduce((product, n) => product * n, 1);
      const gamma = e.weight(layer, 'gamma') ?? new Float32Array(size).fill(1);
      const beta = e.weight(layer, 'beta') ?? new Float32Array(size);
      const operands = [channelsLast(e, layer, x), e.constant(`${name}/gamma`, shape, gamma), e.constant(`${name}/beta`, shape, beta)];
      const attributes = { axis: -shape.length, epsilon: { float: config.epsilon } };
      return channelsFirst(e, layer, e.node('LayerNormalization', name, operands, attributes));
    },
  },
  GroupNormalization: {
    emit(e, layer, [x]) {
      const { name, config, inputShape } = layer;
      const groups = config.groups === -1 ? (inputShape.at(-1) as number) : config.groups;
      const parts = e.node('Reshape', `${name}/groups`, [x, e.integers(`${name}/groups_shape`, [0, groups, -1])]);
      const ones = e.constant(`${name}/ones`, [groups], new Float32Array(groups).fill(1));
      const zeros = e.constant(`${name}/zeros`, [groups], new Float32Array(groups));
      const normal = e.node('InstanceNormalization', `${name}/normal`, [parts, ones, zeros], { epsilon: { float: config.epsilon } });
      const [gamma, beta] = [e.weight(layer, 'gamma'), e.weight(layer, 'beta')];
      const image = inputShape.length === 3 ? [inputShape[2], inputShape[0], inputShape[1]] : inputShape;
      const y = e.node('Reshape', `${name}/image`, [normal, e.integers(`${name}/image_shape`, [0, ...image])]);
      const scaled = gamma ? e.node('Mul', `${name}/mul`, [y, e.byChannel(`${name}/gamma`, gamma, inputShape)]) : y;
      return beta ? e.node('Add', name, [scaled, e.byChannel(`${name}/beta`, beta, inputShape)]) : scaled;
    },
  },
  Normalization: {
    emit(e, layer, [x]) {
      const { name, config, inputShape } = layer;
      const means = config.mean === null ? (e.weight(layer, 'mean') as Float32Array) : [config.mean].flat();
      const variances =
        config.mean === null ? (e.weight(layer, 'variance') as Float32Array) : [config.variance as number | number[]].flat();
      const scale = Array.from(variances, (variance) => 1 / Math.max(Math.sqrt(variance), 1e-7));
      const offset = Array.from(means, (mean, c) => -mean * scale[c]);
      const scaled = e.node('Mul', `${name}/mul`, [x, e.byChannel(`${name}/scale`, scale, inputShape)]);
      return e.node('Add', name, [scaled, e.byChannel(`${name}/offset`, offset, inputShape)]);
    },
  },
  LayerScale: {
    emit: (e, layer, [x]) =>
      e.node('Mul', layer.name, [x, e.byChannel(`${layer.name}/gamma`, e.weight(layer, 'gamma') as Float32Array, layer.inputShape)]),
  },
  StochasticDepth: { affine: 'passes', emit: (_e, _layer, [x]) => x },
} satisfies Partial<OnnxRules>;
