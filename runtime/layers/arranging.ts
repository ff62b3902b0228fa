// Layers that put what they read in another order, or have it several times.

import { defineLayer } from './define-layer.ts';
import { choice, dims, fixed, optional, pair } from './kinds.ts';

export const Permute = defineLayer({
  type: 'Permute',
  config: { dims },
  build({ g, config, x, shape, refuse }) {
    if (config.dims.length !== shape.length || shape.length > 4)
      refuse(`has dims [${config.dims}] for [${shape.join(', ')}]`, 'Give a number for each axis, four at most.');
    return g.one('permute', { x }, { axes: config.dims.map((dim) => dim - 1) });
  },
});

/** To the nearest pixel. */
export const UpSampling2D = defineLayer({
  type: 'UpSampling2D',
  config: { size: optional(pair, [2, 2]), interpolation: optional(choice('nearest'), 'nearest'), dataFormat: fixed('channels_last') },
  build({ g, config, x, shape, refuse }) {
    if (shape.length !== 3)
      refuse(`reads an image [height, width, channels], but was given [${shape.join(', ')}]`, 'Let it read a layer before Flatten.');
    return g.one('repeat', { x }, { times: [...config.size, 1] });
  },
});
