// Convolutions.

import type { ValueId } from '../ir/graph.ts';
import { ACTIVATIONS, activation } from './activations.ts';
import { defineLayer, type Site } from './define-layer.ts';
import { type Initializer, initializer } from './initializers.ts';
import { choice, fixed, flag, optional, type Pair, pair, whole } from './kinds.ts';

/** What all convolutions can be told, in the order in which Keras writes it. */
const WINDOW = {
  kernelSize: pair,
  strides: optional(pair, [1, 1]),
  padding: optional(choice('valid', 'same'), 'valid'),
};
const GRID = {
  dataFormat: fixed('channels_last'),
  dilationRate: optional(pair, [1, 1]),
};
const ENDING = {
  activation: optional(activation, 'linear'),
  useBias: optional(flag, true),
};
const glorot = optional(initializer, 'glorot_uniform');
const biasInitializer = optional(initializer, 'zeros');

/** The variable of `finish`, where there is one. */
const biasOf = ({ useBias, biasInitializer }: { useBias: boolean; biasInitializer: Initializer }, units: number) =>
  useBias && { bias: { shape: [units], initializer: biasInitializer } };

export const Conv2D = defineLayer({
  type: 'Conv2D',
  config: {
    filters: whole(),
    ...WINDOW,
    ...GRID,
    groups: optional(whole(), 1),
    ...ENDING,
    kernelInitializer: glorot,
    biasInitializer,
  },
  variables: (config, [shape]) => ({
    kernel: {
      shape: [...config.kernelSize, (shape.at(-1) ?? 0) / config.groups, config.filters],
      initializer: config.kernelInitializer,
    },
    ...biasOf(config, config.filters),
  }),
  build(site) {
    const { g, config, x, vars } = site;
    const { kernelSize, strides, padding, dilationRate, groups, filters } = config;
    fits(site, spanOf(kernelSize, dilationRate), padding);
    if (filters % groups !== 0)
      site.refuse(`has ${filters} filters in ${groups} groups`, 'Give a number of filters that the groups divide.');
    const attrs = { stride: shortest(strides), padding, dilation: shortest(dilationRate) };
    const channels = site.shape[2];
    if (groups === 1 || groups !== channels) return finish(site, g.one('conv', [x, vars.kernel], { ...attrs, groups }));
    // A group for each channel: depthwise, with as many kernels a channel as there are filters for it.
    const repeated = filters === channels ? x : g.one('repeat', { x }, { times: [1, 1, filters / channels] });
    return finish(site, g.one('depthwiseWindows', { x: repeated, w: vars.kernel }, attrs));
  },
  // A window of one pixel never reaches over the edge.
  reduced: (config) => (`${config.kernelSize}` === '1,1' ? { ...config, padding: 'valid' } : config),
});

/** Of the class that convolutions have in common there: one group, and an initialiser that nothing is drawn with. */
const KERAS_2 = { ignoredKeys: ['kernel_initializer'], neutral: { groups: 1 } };

export const DepthwiseConv2D = defineLayer({
  type: 'DepthwiseConv2D',
  config: {
    ...WINDOW,
    depthMultiplier: optional(whole(), 1),
    ...GRID,
    ...ENDING,
    depthwiseInitializer: glorot,
    biasInitializer,
  },
  ...KERAS_2,
  variables: (config, [shape]) => {
    const { kernelSize, depthMultiplier, depthwiseInitializer } = config;
    const channels = shape.at(-1) ?? 0;
    return {
      kernel: { shape: [...kernelSize, channels, depthMultiplier], initializer: depthwiseInitializer },
      ...biasOf(config, channels * depthMultiplier),
    };
  },
  build(site) {
    return finish(site, depthwise(site, site.vars.kernel));
  },
});

/** A depthwise convolution, and a 1×1 one of what it makes. */
export const SeparableConv2D = defineLayer({
  type: 'SeparableConv2D',
  config: {
    filters: whole(),
    ...WINDOW,
    ...GRID,
    depthMultiplier: optional(whole(), 1),
    ...ENDING,
    depthwiseInitializer: glorot,
    pointwiseInitializer: glorot,
    biasInitializer,
  },
  ...KERAS_2,
  variables: (config, [shape]) => {
    const { filters, kernelSize, depthMultiplier, depthwiseInitializer, pointwiseInitializer } = config;
    const channels = shape.at(-1) ?? 0;
    return {
      depthwise_kernel: { shape: [...kernelSize, channels, depthMultiplier], initializer: depthwiseInitializer },
      pointwise_kernel: { shape: [1, 1, channels * depthMultiplier, filters], initializer: pointwiseInitializer },
      ...biasOf(config, filters),
    };
  },
  build(site) {
    const { g, vars } = site;
    return finish(site, g.one('conv', [depthwise(site, vars.depthwise_kernel), vars.pointwise_kernel], { stride: 1, padding: 'valid' }));
  },
});

interface DepthwiseConfig {
  readonly kernelSize: Pair;
  readonly strides: Pair;
  readonly padding: 'valid' | 'same';
  readonly dilationRate: Pair;
  readonly depthMultiplier: number;
}

function depthwise(site: Site<DepthwiseConfig>, kernel: ValueId): ValueId {
  const { g, config, x } = site;
  const { kernelSize, strides, padding, dilationRate, depthMultiplier } = config;
  fits(site, spanOf(kernelSize, dilationRate), padding);
  const isPlain = kernelSize[0] === kernelSize[1] && `${[strides, dilationRate, padding, depthMultiplier]}` === '1,1,1,1,same,1';
  if (isPlain) return g.one('depthwise', [x, kernel]);
  const repeated = depthMultiplier === 1 ? x : g.one('repeat', { x }, { times: [1, 1, depthMultiplier] });
  return g.one('depthwiseWindows', { x: repeated, w: kernel }, { stride: shortest(strides), padding, dilation: shortest(dilationRate) });
}

/** Rows and columns that a window spans. */
const spanOf = (kernel: Pair, dilation: Pair): Pair => [(kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1];

/** One number where both are equal. */
const shortest = (both: Pair): number | Pair => (both[0] === both[1] ? both[0] : both);

/** Refuses windows that are larger than the image. */
export function fits({ shape, refuse }: Site<unknown>, [height, width]: Pair, padding: 'valid' | 'same'): void {
  if (shape.length !== 3)
    refuse(
      `reads an image [height, width, channels], but was given [${shape.join(', ')}]`,
      'Let it read a layer before Flatten or pooling.',
    );
  const [h, w] = shape;
  if (padding === 'valid' && (height > h || width > w))
    refuse(
      `has a window of ${height}×${width}, which does not fit into its input of ${h}×${w} pixels`,
      'Use larger images, or an architecture that reduces them less.',
    );
}

/** Bias and activation, where there are any. */
export function finish({ g, config, vars }: Site<{ useBias: boolean; activation: keyof typeof ACTIVATIONS }>, y: ValueId): ValueId {
  const biased = config.useBias ? g.one('bias', [y, vars.bias]) : y;
  return ACTIVATIONS[config.activation](g, biased);
}
