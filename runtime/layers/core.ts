// Layers that are neither convolution, pooling, normalisation nor merging.

import { ACTIVATIONS, activation } from './activations.ts';
import { finish } from './convolution.ts';
import { alongLast, defineLayer } from './define-layer.ts';
import { initializer } from './initializers.ts';
import {
  fixed,
  flag,
  type Kind,
  lastAxis,
  noiseShape,
  number,
  numbers,
  optional,
  orNone,
  rate,
  sampleAxes,
  sampleShape,
  targetShape,
  training,
  whole,
} from './kinds.ts';
import { sizeOf } from './layer.ts';

export const InputLayer = defineLayer({
  type: 'InputLayer',
  reads: 'nothing',
  config: { shape: sampleShape },
  build: ({ g, config }) => g.images(config.shape),
});

/** Of the bytes of the images, or of what other layers compute; with one number or one for each channel. */
export const Rescaling = defineLayer({
  type: 'Rescaling',
  reads: 'bytes',
  config: { scale: numbers, offset: optional(numbers, 0) },
  build(site) {
    const { g, config, x } = site;
    const { scale, offset } = config;
    for (const [name, values] of Object.entries({ scale, offset }))
      if (Array.isArray(values) && ![1, site.shape[site.shape.length - 1]].includes(values.length))
        site.refuse(
          `has a ${name} of ${values.length} numbers for ${site.shape[site.shape.length - 1]} channels`,
          'Give one for each channel.',
        );
    if (g.spec(x).dtype === 'u8' && typeof scale === 'number' && typeof offset === 'number')
      return g.one('rescale', [x], offset === 0 ? { scale } : { scale, offset });
    return g.one('affine', { x: g.floats(x) }, { scale, offset });
  },
});

export const Dense = defineLayer({
  type: 'Dense',
  config: {
    units: whole(),
    activation: optional(activation, 'linear'),
    useBias: optional(flag, true),
    kernelInitializer: optional(initializer, 'glorot_uniform'),
    biasInitializer: optional(initializer, 'zeros'),
  },
  variables: ({ units, useBias, kernelInitializer, biasInitializer }, [shape]) => ({
    kernel: { shape: [shape.at(-1) ?? 0, units], initializer: kernelInitializer },
    ...(useBias && { bias: { shape: [units], initializer: biasInitializer } }),
  }),
  build(site) {
    const { g, x, vars, shape } = site;
    // Over the last axis: a 1×1 convolution of the others as pixels.
    const features = shape[shape.length - 1];
    const image = shape.length === 1 || shape.length === 3 ? shape : [sizeOf(shape) / features, 1, features];
    const pixels = image === shape ? x : g.one('reshape', [x], { shape: image });
    const y = finish(site, g.one('conv', [pixels, vars.kernel], { stride: 1, padding: 'valid' }));
    return image === shape ? y : g.one('reshape', [y], { shape: [...shape.slice(0, -1), site.config.units] });
  },
});

export const Activation = defineLayer({
  type: 'Activation',
  config: { activation },
  build: ({ g, config, x }) => ACTIVATIONS[config.activation](g, x),
});

const notNegative = number('a number from 0 on', (value) => value >= 0);

export const ReLU = defineLayer({
  type: 'ReLU',
  config: {
    maxValue: optional({ ...notNegative, reduced: (value) => value } as Kind<number | null, number | null, false>, null),
    negativeSlope: optional(notNegative, 0),
    threshold: optional(notNegative, 0),
  },
  build({ g, config, x }) {
    const { maxValue, negativeSlope: slope, threshold } = config;
    const limit = maxValue === null ? {} : { limit: maxValue };
    // The gradient of most is told by their result: x need not be kept.
    if (threshold > 0 || maxValue === 0 || (slope > 0 && maxValue !== null)) return g.one('rectifier', [x], { slope, threshold, ...limit });
    if (slope > 0) return g.one('leakyRelu', [x], { slope });
    return maxValue === null ? g.one('relu', [x]) : g.one('clippedRelu', [x], limit);
  },
});

export const LeakyReLU = defineLayer({
  type: 'LeakyReLU',
  config: { negativeSlope: optional({ ...notNegative, key: 'negative_slope', earlierKeys: ['alpha'] }, 0.3) },
  build: ({ g, config, x }) => g.one('leakyRelu', [x], { slope: config.negativeSlope }),
});

export const ELU = defineLayer({
  type: 'ELU',
  config: {
    alpha: optional(
      number('a number above 0', (value) => value > 0),
      1,
    ),
  },
  build: ({ g, config, x }) => g.one('elu', [x], { alpha: config.alpha }),
});

/** Slopes below 0 that are trained: one for each element, or one for all along the axes that share it. */
export const PReLU = defineLayer({
  type: 'PReLU',
  config: { alphaInitializer: optional(initializer, 'zeros'), sharedAxes: orNone(sampleAxes) },
  variables: ({ alphaInitializer, sharedAxes }, [shape]) => ({
    alpha: {
      shape: shape.map((n, axis) => (sharedAxes?.includes(axis + 1) ? 1 : n)),
      initializer: alphaInitializer,
      ...(shape.length > 1 && { flat: true as const }),
    },
  }),
  build({ g, config, x, vars, shape, refuse }) {
    const shared = shape.map((_, axis) => config.sharedAxes?.includes(axis + 1) ?? false);
    // One slope for each channel, or for each element of a sample.
    const byChannel = shared.slice(0, -1).every(Boolean) && !shared[shape.length - 1];
    if (!byChannel && shared.some(Boolean))
      return refuse(`shares axes [${config.sharedAxes}] of [${shape.join(', ')}]`, 'Share none, or all but that of the channels.');
    const below = g.one('affine', { x: g.one('relu', [g.one('affine', { x }, { scale: -1 })]) }, { scale: -1 });
    const list = byChannel ? below : g.one('reshape', { x: below }, { shape: [sizeOf(shape)] });
    const sloped = g.one('mul', { a: list, b: vars.alpha });
    return g.one('add', [g.one('relu', [x]), byChannel ? sloped : g.one('reshape', { x: sloped }, { shape })]);
  },
});

/** Over the last axis. */
export const Softmax = defineLayer({
  type: 'Softmax',
  config: { axis: lastAxis },
  build(site) {
    alongLast(site);
    return ACTIVATIONS.softmax(site.g, site.x);
  },
});

export const Reshape = defineLayer({
  type: 'Reshape',
  config: { targetShape },
  build(site) {
    const { g, config, x, shape } = site;
    const size = sizeOf(shape);
    const known = sizeOf(config.targetShape.filter((n) => n > 0));
    const sizes = config.targetShape.map((n) => (n === -1 ? size / known : n));
    if (sizeOf(sizes) !== size || !sizes.every(Number.isInteger))
      site.refuse(
        `makes [${config.targetShape.join(', ')}] of [${shape.join(', ')}], which has ${size} elements`,
        'Give sizes of as many elements; one may be -1.',
      );
    return g.one('reshape', [x], { shape: sizes });
  },
});

export const Flatten = defineLayer({
  type: 'Flatten',
  config: { dataFormat: fixed('channels_last') },
  build: ({ g, x, shape }) => g.one('reshape', [x], { shape: [sizeOf(shape)] }),
});

/** Where `noiseShape` has a 1, elements along that axis are kept or dropped together; its first number is that of the samples. */
export const Dropout = defineLayer({
  type: 'Dropout',
  config: { rate: training(rate), noiseShape: training(orNone(noiseShape)) },
  draws: ({ rate }) => rate > 0,
  build(site) {
    const { g, config, x, shape } = site;
    const { rate, noiseShape } = config;
    const shared = noiseShape?.slice(1).map((n, axis) => n ?? shape[axis]);
    if (shared && (shared.length !== shape.length || shared.length > 3 || !shared.every((n, axis) => n === 1 || n === shape[axis])))
      site.refuse(`has noiseShape [${noiseShape}] for [${shape.join(', ')}]`, 'Give null, then 1 or the size of each axis.');
    return g.dropout(x, rate, shared);
  },
});

/** Drops whole channels. */
export const SpatialDropout2D = defineLayer({
  type: 'SpatialDropout2D',
  config: { rate: training(rate), dataFormat: fixed('channels_last') },
  draws: ({ rate }) => rate > 0,
  build: ({ g, config, x, shape }) => g.dropout(x, config.rate, [1, 1, shape[2]]),
});
