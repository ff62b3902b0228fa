// Pooling.

import type { GraphBuilder, ValueId } from '../ir/graph.ts';
import { fits } from './convolution.ts';
import { defineLayer, type Site } from './define-layer.ts';
import { choice, fixed, flag, optional, type Pair, pair } from './kinds.ts';
import type { Shape } from './layer.ts';

const window = {
  poolSize: optional(pair, [2, 2]),
  strides: optional(pair, ({ poolSize }: { poolSize: Pair }) => poolSize),
  padding: optional(choice('valid', 'same'), 'valid'),
  dataFormat: fixed('channels_last'),
};

/** Pooling over windows: what pads the image belongs to none. */
function pooled(op: 'avgPool' | 'maxPool', site: Site<{ poolSize: Pair; strides: Pair; padding: 'valid' | 'same' }>): ValueId {
  const { g, config, x } = site;
  const { poolSize, strides, padding } = config;
  fits(site, poolSize, padding);
  // Side by side where nothing else is said.
  const stride = `${strides}` === `${poolSize}` ? undefined : plain(strides);
  return g.one(op, [x], { size: plain(poolSize), stride, padding });
}

/** One number where both are equal: graphs of before have that form. */
const plain = ([height, width]: Pair): number | Pair => (height === width ? height : [height, width]);

export const MaxPooling2D = defineLayer({
  type: 'MaxPooling2D',
  config: window,
  build: (site) => pooled('maxPool', site),
});

export const AveragePooling2D = defineLayer({
  type: 'AveragePooling2D',
  config: window,
  build: (site) => pooled('avgPool', site),
});

const whole = { dataFormat: fixed('channels_last'), keepdims: optional(flag, false) };

export const GlobalAveragePooling2D = defineLayer({
  type: 'GlobalAveragePooling2D',
  config: whole,
  build: ({ g, config, x, shape }) => keeping(g, g.one('globalAvgPool', [x]), config.keepdims, shape),
});

export const GlobalMaxPooling2D = defineLayer({
  type: 'GlobalMaxPooling2D',
  config: whole,
  build(site) {
    const { g, config, x, shape } = site;
    fits(site, [1, 1], 'valid');
    const [height, width, channels] = shape;
    const y = g.one('maxPool', [x], { size: plain([height, width]) });
    return config.keepdims ? y : g.one('reshape', [y], { shape: [channels] });
  },
});

/** Of one pixel, where the axes of the image are kept. */
const keeping = (g: GraphBuilder, y: ValueId, keepdims: boolean, shape: Shape): ValueId =>
  keepdims ? g.one('reshape', [y], { shape: [1, 1, shape[shape.length - 1]] }) : y;

/** A sequence as an image of one column. */
function asColumn({ g, x, shape, refuse }: Site<unknown>): { readonly column: ValueId; readonly steps: number; readonly features: number } {
  if (shape.length !== 2) refuse(`reads a sequence [steps, features], but was given [${shape.join(', ')}]`, 'Let it read such a sequence.');
  const [steps, features] = shape;
  return { column: g.one('reshape', [x], { shape: [steps, 1, features] }), steps, features };
}

export const GlobalAveragePooling1D = defineLayer({
  type: 'GlobalAveragePooling1D',
  config: whole,
  build(site) {
    const { column, features } = asColumn(site);
    const y = site.g.one('globalAvgPool', [column]);
    return site.config.keepdims ? site.g.one('reshape', [y], { shape: [1, features] }) : y;
  },
});

export const GlobalMaxPooling1D = defineLayer({
  type: 'GlobalMaxPooling1D',
  config: whole,
  build(site) {
    const { column, steps, features } = asColumn(site);
    const y = site.g.one('maxPool', [column], { size: [steps, 1] });
    return site.g.one('reshape', [y], { shape: site.config.keepdims ? [1, features] : [features] });
  },
});
