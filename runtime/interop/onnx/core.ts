// ONNX's form of the layers of layers/core.ts.

import type { Layer } from '../../layers/index.ts';
import { activate, activateOp } from './activations.ts';
import { channelsFirst, channelsLast, type Emitter, type OnnxRules } from './emitter.ts';

/** Over channels, which images have last for it. */
const softmax = (e: Emitter, layer: Layer, x: string): string =>
  e.end === 'softmax' ? x : channelsFirst(e, layer, activate(e, 'softmax', channelsLast(e, layer, x), layer.name));

export const core = {
  InputLayer: { emit: () => 'images' },
  Rescaling: {
    bytes: true,
    emit(e, { name, config, inputs, inputShape }, [x]) {
      const { scale, offset } = config;
      // Of the images as they are, or of what another layer computed.
      const images = inputs[0] === 0;
      const floats = images ? e.node('Cast', `${name}/cast`, [x], { to: 1 }) : x;
      const scaled = e.node('Mul', name, [floats, e.byChannel(`${name}/scale`, scale, inputShape, images)]);
      const y = offset === 0 ? scaled : e.node('Add', `${name}/add`, [scaled, e.byChannel(`${name}/offset`, offset, inputShape, images)]);
      return images ? e.node('Transpose', `${name}/channels_first`, [y], { perm: [0, 3, 1, 2] }) : y;
    },
  },
  Dense: {
    affine: ({ inputShape }) => (inputShape.length === 1 ? 'takes' : undefined),
    emit(e, layer, [x]) {
      const { name, config, inputShape } = layer;
      if (inputShape.length > 1) {
        // Over the last axis: MatMul takes all before it along.
        const last = channelsLast(e, layer, x);
        const product = e.node('MatMul', `${name}/matmul`, [
          last,
          e.constant(`${name}/kernel`, e.shapeOf(layer, 'kernel'), e.weight(layer, 'kernel') as Float32Array),
        ]);
        const bias = e.weight(layer, 'bias');
        const sum = bias ? e.node('Add', name, [product, e.constant(`${name}/bias`, [config.units], bias)]) : product;
        return channelsFirst(e, layer, activate(e, config.activation, sum, name));
      }
      const { kernel, bias } = e.absorbed(layer);
      const inputs = [x, e.constant(`${name}/kernel`, e.shapeOf(layer, 'kernel'), kernel)];
      if (bias) inputs.push(e.constant(`${name}/bias`, [config.units], bias));
      return activate(e, config.activation, e.node('Gemm', name, inputs), name);
    },
  },
  ReLU: {
    emit(e, { name, config }, [x]) {
      const { maxValue, negativeSlope: slope, threshold } = config;
      if (maxValue === null && slope === 0 && threshold === 0) return activate(e, 'relu', x, name);
      return activateOp(e, 'rectifier', { slope, threshold, ...(maxValue !== null && { limit: maxValue }) }, x, name);
    },
  },
  LeakyReLU: { emit: (e, { name, config }, [x]) => activateOp(e, 'leakyRelu', { slope: config.negativeSlope }, x, name) },
  ELU: { emit: (e, { name, config }, [x]) => activateOp(e, 'elu', { alpha: config.alpha }, x, name) },
  PReLU: {
    emit(e, layer, [x]) {
      const { name } = layer;
      const shape = e.shapeOf(layer, 'alpha');
      const alpha = e.constant(`${name}/alpha`, shape, e.weight(layer, 'alpha') as Float32Array);
      return e.node('PRelu', name, [
        x,
        shape.length === 3 ? e.node('Transpose', `${name}/alpha_first`, [alpha], { perm: [2, 0, 1] }) : alpha,
      ]);
    },
  },
  Softmax: { emit: (e, layer, [x]) => softmax(e, layer, x) },
  Reshape: {
    emit(e, layer, [x]) {
      const { name, outputShape } = layer;
      const shape = e.integers(`${name}/shape`, [0, ...outputShape]);
      return channelsFirst(e, layer, e.node('Reshape', name, [channelsLast(e, layer, x), shape]));
    },
  },
  Activation: {
    emit: (e, layer, [x]) =>
      layer.config.activation === 'softmax' ? softmax(e, layer, x) : activate(e, layer.config.activation, x, layer.name),
  },
  Flatten: {
    affine: 'passes',
    emit: (e, layer, [x]) => e.node('Flatten', layer.name, [channelsLast(e, layer, x)], { axis: 1 }),
  },
  Dropout: { affine: 'passes', emit: (_e, _layer, [x]) => x },
  SpatialDropout2D: { affine: 'passes', emit: (_e, _layer, [x]) => x },
} satisfies Partial<OnnxRules>;
