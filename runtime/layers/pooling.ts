// Pooling.

import type { GraphBuilder, ValueId } from '../ir/graph.ts';
import { fits } from './convolution.ts';
import { defineLayer } from './define-layer.ts';
import { choice, fixed, flag, optional, type Pair, pair } from './kinds.ts';
import type { Shape } from './layer.ts';

const window = {
  poolSize: optional(pair, [2, 2]),
  strides: optional(pair, ({ poolSize }: { poolSize: Pair }) => poolSize),
  padding: optional(choice('valid', 'same'), 'valid'),
  dataFormat: fixed('channels_last'),
};

export const MaxPooling2D = defineLayer({
  type: 'MaxPooling2D',
  config: window,
  build(site) {
    const { g, config, x } = site;
    const { poolSize, strides, padding } = config;
    fits(site, poolSize, padding);
    if (`${[poolSize, strides, padding]}` !== '2,2,2,2,valid')
      site.refuse(
        `has windows of ${poolSize.join('×')}, strides ${strides.join('×')}, padding ${padding}`,
        'Only 2×2 with strides 2×2, padding valid is built.',
      );
    return g.one('maxPool', [x]);
  },
});

const whole = { dataFormat: fixed('channels_last'), keepdims: optional(flag, false) };

export const GlobalAveragePooling2D = defineLayer({
  type: 'GlobalAveragePooling2D',
  config: whole,
  build: ({ g, config, x, shape }) => keeping(g, g.one('globalAvgPool', [x]), config.keepdims, shape),
});

/** Of one pixel, where the axes of the image are kept. */
const keeping = (g: GraphBuilder, y: ValueId, keepdims: boolean, shape: Shape): ValueId =>
  keepdims ? g.one('reshape', [y], { shape: [1, 1, shape[shape.length - 1]] }) : y;
