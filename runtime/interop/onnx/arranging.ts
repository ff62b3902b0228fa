// ONNX's form of the layers of layers/arranging.ts.

import type { Layer } from '../../layers/index.ts';
import { channelsFirst, channelsLast, type Emitter, type OnnxRules } from './emitter.ts';

export const arranging = {
  Permute: {
    emit(e, layer, [x]) {
      const y = e.node('Transpose', layer.name, [channelsLast(e, layer, x)], { perm: [0, ...layer.config.dims] });
      return channelsFirst(e, layer, y);
    },
  },
  Resizing: { emit: (e, layer, [x]) => resized(e, layer, layer.config.interpolation, x) },
  UpSampling2D: {
    emit(e, layer, [x]) {
      const { name, config } = layer;
      if (config.interpolation === 'bilinear') return resized(e, layer, 'bilinear', x);
      const scales = e.constant(`${name}/scales`, [4], Float32Array.of(1, 1, ...config.size));
      return e.node('Resize', name, [x, '', scales]);
    },
  },
} satisfies Partial<OnnxRules>;

/** To the size of what the layer makes: the nearest pixel is that of Keras, whose half goes up. */
function resized(e: Emitter, { name, outputShape }: Layer, interpolation: 'nearest' | 'bilinear', x: string): string {
  const [height, width] = outputShape;
  const sizes = e.integers(`${name}/sizes`, [height, width]);
  const fixed = e.node('Shape', `${name}/shape`, [x], { end: 2 });
  const all = e.node('Concat', `${name}/size`, [fixed, sizes], { axis: 0 });
  return e.node('Resize', name, [x, '', '', all], {
    mode: interpolation === 'nearest' ? 'nearest' : 'linear',
    coordinate_transformation_mode: 'half_pixel',
    ...(interpolation === 'nearest' && { nearest_mode: 'round_prefer_ceil' }),
  });
}
