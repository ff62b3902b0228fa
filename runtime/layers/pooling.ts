// Pooling.

import { fits } from './convolution.ts';
import { defineLayer } from './define-layer.ts';
import { choice, fixed, optional, type Pair, pair } from './kinds.ts';

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

const whole = { dataFormat: fixed('channels_last'), keepdims: fixed(false) };

export const GlobalAveragePooling2D = defineLayer({
  type: 'GlobalAveragePooling2D',
  config: whole,
  build: ({ g, x }) => g.one('globalAvgPool', [x]),
});
