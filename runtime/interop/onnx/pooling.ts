// ONNX's form of the layers of layers/pooling.ts.

import { padsOf } from './convolution.ts';
import type { OnnxRules } from './emitter.ts';

export const pooling = {
  MaxPooling2D: {
    emit(e, { name, config, inputShape }, [x]) {
      const { poolSize, strides, padding } = config;
      const pads = padsOf(inputShape, poolSize, strides, padding);
      return e.node('MaxPool', name, [x], { kernel_shape: [...poolSize], strides: [...strides], ...(padding === 'same' && { pads }) });
    },
  },
  GlobalAveragePooling2D: {
    affine: 'passes',
    emit(e, { name, config }, [x]) {
      const pooled = e.node('GlobalAveragePool', `${name}/pool`, [x]);
      return config.keepdims ? pooled : e.node('Flatten', name, [pooled], { axis: 1 });
    },
  },
} satisfies Partial<OnnxRules>;
