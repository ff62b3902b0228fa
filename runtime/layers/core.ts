// Layers that are neither convolution, pooling, normalisation nor merging.

import { ACTIVATIONS, activation } from './activations.ts';
import { finish } from './convolution.ts';
import { defineLayer } from './define-layer.ts';
import { initializer } from './initializers.ts';
import { fixed, flag, number, optional, rate, sampleShape, training, whole } from './kinds.ts';
import { sizeOf } from './layer.ts';

export const InputLayer = defineLayer({
  type: 'InputLayer',
  reads: 'nothing',
  config: { shape: sampleShape },
  build: ({ g, config }) => g.images(config.shape),
});

/** Of the bytes of the images. */
export const Rescaling = defineLayer({
  type: 'Rescaling',
  reads: 'bytes',
  config: { scale: number(), offset: optional(number(), 0) },
  build(site) {
    const { g, config, x } = site;
    if (config.offset !== 0) site.refuse(`has offset ${config.offset}`, 'Only rescaling by a factor is built.');
    return g.one('rescale', [x], { scale: config.scale });
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
    if (shape.length !== 1)
      site.refuse(`reads [features], but was given [${shape.join(', ')}]`, 'Put Flatten or a global pooling before it.');
    return finish(site, g.one('conv', [x, vars.kernel], { stride: 1, padding: 'valid' }));
  },
});

export const Activation = defineLayer({
  type: 'Activation',
  config: { activation },
  build: ({ g, config, x }) => ACTIVATIONS[config.activation](g, x),
});

export const Flatten = defineLayer({
  type: 'Flatten',
  config: { dataFormat: fixed('channels_last') },
  build: ({ g, x, shape }) => g.one('reshape', [x], { shape: [sizeOf(shape)] }),
});

export const Dropout = defineLayer({
  type: 'Dropout',
  config: { rate: training(rate) },
  draws: ({ rate }) => rate > 0,
  build: ({ g, config, x }) => g.dropout(x, config.rate),
});
