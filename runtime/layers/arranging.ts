// Layers that put what they read in another order, or have it several times.

import type { ValueId } from '../ir/graph.ts';
import { defineLayer, type Site } from './define-layer.ts';
import { choice, dims, fixed, optional, pair, whole } from './kinds.ts';

export const Permute = defineLayer({
  type: 'Permute',
  config: { dims },
  build({ g, config, x, shape, refuse }) {
    if (config.dims.length !== shape.length || shape.length > 4)
      refuse(`has dims [${config.dims}] for [${shape.join(', ')}]`, 'Give a number for each axis, four at most.');
    return g.one('permute', { x }, { axes: config.dims.map((dim) => dim - 1) });
  },
});

const interpolation = choice('nearest', 'bilinear');

/** Of an image of so many pixels. */
function resized({ g, x, shape, refuse }: Site<unknown>, size: readonly [number, number], interpolation: 'nearest' | 'bilinear'): ValueId {
  if (shape.length !== 3)
    refuse(`reads an image [height, width, channels], but was given [${shape.join(', ')}]`, 'Let it read a layer before Flatten.');
  return g.one('resize', { x }, { size, interpolation });
}

export const Resizing = defineLayer({
  type: 'Resizing',
  config: {
    height: whole(),
    width: whole(),
    interpolation: optional(interpolation, 'bilinear'),
    cropToAspectRatio: fixed(false),
    padToAspectRatio: fixed(false),
    antialias: fixed(false),
    dataFormat: fixed('channels_last'),
  },
  ignoredKeys: ['fill_mode', 'fill_value'],
  build: (site) => resized(site, [site.config.height, site.config.width], site.config.interpolation),
});

export const UpSampling2D = defineLayer({
  type: 'UpSampling2D',
  config: { size: optional(pair, [2, 2]), interpolation: optional(interpolation, 'nearest'), dataFormat: fixed('channels_last') },
  build(site) {
    const { g, config, x, shape, refuse } = site;
    const [height, width] = config.size;
    if (config.interpolation === 'bilinear') return resized(site, [height * shape[0], width * shape[1]], 'bilinear');
    if (shape.length !== 3)
      refuse(`reads an image [height, width, channels], but was given [${shape.join(', ')}]`, 'Let it read a layer before Flatten.');
    return g.one('repeat', { x }, { times: [...config.size, 1] });
  },
});
