// ONNX's form of the layers of layers/arranging.ts.

import { channelsFirst, channelsLast, type OnnxRules } from './emitter.ts';

export const arranging = {
  Permute: {
    emit(e, layer, [x]) {
      const y = e.node('Transpose', layer.name, [channelsLast(e, layer, x)], { perm: [0, ...layer.config.dims] });
      return channelsFirst(e, layer, y);
    },
  },
  UpSampling2D: {
    emit(e, { name, config }, [x]) {
      const scales = e.constant(`${name}/scales`, [4], Float32Array.of(1, 1, ...config.size));
      return e.node('Resize', name, [x, '', scales]);
    },
  },
} satisfies Partial<OnnxRules>;
