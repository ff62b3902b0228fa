// ONNX's form of the layers of layers/pooling.ts.

import type { Layer } from '../../layers/index.ts';
import { padsOf } from './convolution.ts';
import type { OnnxRules } from './emitter.ts';

export const pooling = {
  MaxPooling2D: { emit: (e, layer, [x]) => e.node('MaxPool', layer.name, [x], windowOf(layer)) },
  // Pixels that pad the image are not counted, as by ONNX where nothing is said.
  AveragePooling2D: { affine: 'passes', emit: (e, layer, [x]) => e.node('AveragePool', layer.name, [x], windowOf(layer)) },
  GlobalMaxPooling2D: {
    emit(e, { name, config }, [x]) {
      const pooled = e.node('GlobalMaxPool', `${name}/pool`, [x]);
      return config.keepdims ? pooled : e.node('Flatten', name, [pooled], { axis: 1 });
    },
  },
  GlobalAveragePooling2D: {
    affine: 'passes',
    emit(e, { name, config }, [x]) {
      const pooled = e.node('GlobalAveragePool', `${name}/pool`, [x]);
      return config.keepdims ? pooled : e.node('Flatten', name, [pooled], { axis: 1 });
    },
  },
  GlobalAveragePooling1D: {
    affine: 'passes',
    emit: (e, { name, config }, [x]) => e.node('ReduceMean', name, [x], { axes: [1], keepdims: config.keepdims ? 1 : 0 }),
  },
  GlobalMaxPooling1D: {
    emit: (e, { name, config }, [x]) => e.node('ReduceMax', name, [x], { axes: [1], keepdims: config.keepdims ? 1 : 0 }),
  },
} satisfies Partial<OnnxRules>;

function windowOf({ config, inputShape }: Layer<'MaxPooling2D' | 'AveragePooling2D'>) {
  const { poolSize, strides, padding } = config;
  const pads = padsOf(inputShape, poolSize, strides, padding);
  return { kernel_shape: [...poolSize], strides: [...strides], ...(padding === 'same' && { pads }) };
}
