// ONNX's form of the layers of layers/core.ts.

import { activate } from './activations.ts';
import type { OnnxRules } from './emitter.ts';

export const core = {
  InputLayer: { emit: () => 'images' },
  Rescaling: {
    bytes: true,
    emit(e, { name, config }, [x]) {
      const floats = e.node('Cast', `${name}/cast`, [x], { to: 1 });
      const scaled = e.node('Mul', name, [floats, e.scalar(`${name}/scale`, config.scale)]);
      return e.node('Transpose', `${name}/channels_first`, [scaled], { perm: [0, 3, 1, 2] });
    },
  },
  Dense: {
    affine: 'takes',
    emit(e, layer, [x]) {
      const { name, config } = layer;
      const { kernel, bias } = e.absorbed(layer);
      const inputs = [x, e.constant(`${name}/kernel`, e.shapeOf(layer, 'kernel'), kernel)];
      if (bias) inputs.push(e.constant(`${name}/bias`, [config.units], bias));
      return activate(e, config.activation, e.node('Gemm', name, inputs), name);
    },
  },
  Activation: { emit: (e, { name, config }, [x]) => activate(e, config.activation, x, name) },
  Flatten: {
    affine: 'passes',
    emit(e, { name, inputShape }, [x]) {
      const channelsLast = inputShape.length === 3 ? e.node('Transpose', `${name}/channels_last`, [x], { perm: [0, 2, 3, 1] }) : x;
      return e.node('Flatten', name, [channelsLast], { axis: 1 });
    },
  },
  Dropout: { affine: 'passes', emit: (_e, _layer, [x]) => x },
} satisfies Partial<OnnxRules>;
