// Normalisation.

import type { ValueId } from '../ir/graph.ts';
import { alongLast, defineLayer } from './define-layer.ts';
import { initializer } from './initializers.ts';
import { fixed, flag, type Kind, lastAxis, number, numbers, optional, orNone, rate, training, whole } from './kinds.ts';
import { sizeOf } from './layer.ts';
import type { LayerBuilder } from './layer-builder.ts';

/** Also as the float32 that devices compute with: a variance of 0 is divided by it. */
const positive = number('a number above 0', (value) => Math.fround(value) > 0);
const share = number('a number from 0 to 1', (value) => value >= 0 && value <= 1);

export const BatchNormalization = defineLayer({
  type: 'BatchNormalization',
  hasMode: true,
  config: {
    axis: lastAxis,
    /** Null: that of the run. */
    momentum: training(orNone(share)),
    epsilon: optional(positive, 1e-3),
    center: optional(flag, true),
    scale: optional(flag, true),
    betaInitializer: optional(initializer, 'zeros'),
    gammaInitializer: optional(initializer, 'ones'),
    movingMeanInitializer: optional(initializer, 'zeros'),
    movingVarianceInitializer: optional(initializer, 'ones'),
  },
  // Without renorm the two say nothing; over several devices, which keras-config.ts tells of, is the same on one.
  ignoredKeys: ['renorm_clipping', 'renorm_momentum', 'synchronized'],
  variables: (config, [shape]) => {
    const channels = shape.slice(-1);
    return {
      ...(config.scale && { gamma: { shape: channels, initializer: config.gammaInitializer } }),
      ...(config.center && { beta: { shape: channels, initializer: config.betaInitializer } }),
      moving_mean: { shape: channels, initializer: config.movingMeanInitializer, kind: 'statistic' },
      moving_variance: { shape: channels, initializer: config.movingVarianceInitializer, kind: 'statistic' },
    };
  },
  build(site) {
    const { g, config, x, vars, path, shape } = site;
    alongLast(site);
    return normalized(g, x, { ...vars, ...affineOf(g, vars, shape) }, path, config);
  },
});

/** The last axis, or several in a list. */
const lastAxes: Kind<number | readonly number[], number | readonly number[], true> = {
  expected: 'an axis, or a list of axes, counted from the end (-1) or from the samples (0)',
  read: (given) => {
    const axes = [given].flat() as unknown[];
    if (axes.length === 0 || !axes.every((axis) => Number.isSafeInteger(axis) && axis !== 0)) return undefined;
    return axes.length === 1 ? (axes[0] as number) : (axes as number[]);
  },
  fallback: () => -1,
  '~optional': true,
};

const groupCount: Kind<number, number, false> = {
  expected: 'a whole number from 1 on, or -1 for as many as there are channels',
  read: (given) => (given === -1 || (Number.isSafeInteger(given) && (given as number) >= 1) ? (given as number) : undefined),
};

/** Gamma and beta, ones and zeros where a layer has none. */
function affineOf(g: LayerBuilder, { gamma, beta }: Partial<Record<'gamma' | 'beta', ValueId>>, shape: readonly number[]) {
  const constant = (value: number) => g.one('fill', {}, { shape: shape.slice(-1), value, parameter: true });
  return { gamma: gamma ?? constant(1), beta: beta ?? constant(0) };
}

/** Over the channels of each pixel, or over the last axes of the image, all of them together. */
export const LayerNormalization = defineLayer({
  type: 'LayerNormalization',
  config: {
    axis: lastAxes,
    epsilon: optional(positive, 1e-3),
    center: optional(flag, true),
    scale: optional(flag, true),
    betaInitializer: optional(initializer, 'zeros'),
    gammaInitializer: optional(initializer, 'ones'),
  },
  variables(config, [shape]) {
    const own = shape.slice(countOfAxes(config.axis, shape));
    const flat = own.length > 1 && { flat: true as const };
    return {
      ...(config.scale && { gamma: { shape: own, initializer: config.gammaInitializer, ...flat } }),
      ...(config.center && { beta: { shape: own, initializer: config.betaInitializer, ...flat } }),
    };
  },
  build({ g, config, x, vars, shape, refuse }) {
    const from = countOfAxes(config.axis, shape);
    if (from === undefined)
      return refuse(`has axis [${[config.axis].flat()}] for [${shape.join(', ')}]`, 'Give the last axes of a sample, all from one on.');
    const own = shape.slice(from);
    const whole = own.length === 1 ? shape : [...(from > 0 ? shape.slice(0, from) : [1]), sizeOf(own)];
    const image = own.length === 1 ? x : g.one('reshape', { x }, { shape: whole.length === 2 ? [whole[0], 1, whole[1]] : whole });
    const y = g.one('layernorm', { x: image, ...affineOf(g, vars, whole) }, { epsilon: config.epsilon });
    return own.length === 1 ? y : g.one('reshape', { x: y }, { shape });
  },
});

/** Where the axes that are normalised begin, counted without the samples; undefined: they are not the last ones. */
function countOfAxes(axis: number | readonly number[], shape: readonly number[]): number | undefined {
  const axes = [axis]
    .flat()
    .map((one) => (one < 0 ? one + shape.length : one - 1))
    .sort((a, b) => a - b);
  const [from] = axes;
  return from >= 0 && axes.length === shape.length - from && axes.every((one, k) => one === from + k) ? from : undefined;
}

/** Over the pixels and so many channels that follow one another; -1: as many groups as channels. */
export const GroupNormalization = defineLayer({
  type: 'GroupNormalization',
  config: {
    groups: optional(groupCount, 32),
    axis: lastAxis,
    epsilon: optional(positive, 1e-3),
    center: optional(flag, true),
    scale: optional(flag, true),
    betaInitializer: optional(initializer, 'zeros'),
    gammaInitializer: optional(initializer, 'ones'),
  },
  variables: (config, [shape]) => ({
    ...(config.scale && { gamma: { shape: shape.slice(-1), initializer: config.gammaInitializer } }),
    ...(config.center && { beta: { shape: shape.slice(-1), initializer: config.betaInitializer } }),
  }),
  build(site) {
    const { g, config, x, vars, shape, refuse } = site;
    alongLast(site);
    const channels = shape[shape.length - 1];
    const groups = config.groups === -1 ? channels : config.groups;
    if (channels % groups !== 0) return refuse(`has ${groups} groups for ${channels} channels`, 'Give a number that divides the channels.');
    const [pixels, each] = [sizeOf(shape) / channels, channels / groups];
    // Groups become pixels, whose channels are all that belongs to them.
    const apart = g.one('permute', { x: g.one('reshape', { x }, { shape: [pixels, groups, each] }) }, { axes: [1, 0, 2] });
    const image = g.one('reshape', { x: apart }, { shape: [groups, 1, pixels * each] });
    const normal = g.one('layernorm', { x: image, ...affineOf(g, {}, [pixels * each]) }, { epsilon: config.epsilon });
    const back = g.one('permute', { x: g.one('reshape', { x: normal }, { shape: [groups, pixels, each] }) }, { axes: [1, 0, 2] });
    const y = g.one('reshape', { x: back }, { shape });
    const scaled = config.scale ? g.one('mul', { a: y, b: vars.gamma }) : y;
    return config.center ? g.one('bias', [scaled, vars.beta]) : scaled;
  },
});

/** Keras' least deviation. */
const LEAST_DEVIATION = 1e-7;

/** With mean and variance that are given, or with those of its weights, which Keras' `adapt` has measured: training does not change them. */
export const Normalization = defineLayer({
  type: 'Normalization',
  config: {
    axis: { ...lastAxis, write: (axis: number) => [axis] },
    invert: fixed(false),
    mean: orNone(numbers),
    variance: orNone(numbers),
  },
  variables: ({ mean }, [shape]) =>
    mean === null
      ? {
          mean: { shape: shape.slice(-1), initializer: 'zeros', kind: 'statistic' },
          variance: { shape: shape.slice(-1), initializer: 'ones', kind: 'statistic' },
          count: { shape: [], initializer: 'zeros', kind: 'statistic' },
        }
      : {},
  build(site) {
    const { g, config, x, vars, shape, refuse } = site;
    alongLast(site);
    if ((config.mean === null) !== (config.variance === null)) refuse('has one of mean and variance', 'Give both, or none.');
    if (config.mean === null) {
      const operands = { mean: vars.mean, variance: vars.variance, ...affineOf(g, {}, shape) };
      const { scale, shift } = g.add('bnFold', operands, { epsilon: LEAST_DEVIATION ** 2 });
      return g.one('normalize', { x, scale, shift });
    }
    const [means, variances] = [[config.mean].flat(), [config.variance as number | readonly number[]].flat()];
    if (![1, shape[shape.length - 1]].includes(means.length) || means.length !== variances.length)
      refuse(
        `has ${means.length} means and ${variances.length} variances for ${shape[shape.length - 1]} channels`,
        'Give one of each for each channel.',
      );
    const scale = variances.map((variance) => 1 / Math.max(Math.sqrt(variance), LEAST_DEVIATION));
    const offset = means.map((mean, c) => -mean * scale[c] || 0);
    return g.one('affine', { x }, means.length === 1 ? { scale: scale[0], offset: offset[0] } : { scale, offset });
  },
});

/** A factor for each channel, as Keras' ConvNeXt has it. */
export const LayerScale = defineLayer({
  type: 'LayerScale',
  module: 'keras.src.applications.convnext',
  config: { initValues: number(), projectionDim: whole() },
  variables: ({ initValues, projectionDim }) => ({
    gamma: { shape: [projectionDim], initializer: { type: 'Constant', settings: { value: initValues } } },
  }),
  build({ g, config, x, vars, shape, refuse }) {
    if (config.projectionDim !== shape[shape.length - 1])
      refuse(`has ${config.projectionDim} factors for ${shape[shape.length - 1]} channels`, 'Give projectionDim the number of channels.');
    return g.one('mul', { a: x, b: vars.gamma });
  },
});

/** In training, samples become 0 as a whole, as Keras' ConvNeXt has it. */
export const StochasticDepth = defineLayer({
  type: 'StochasticDepth',
  module: 'keras.src.applications.convnext',
  config: { dropPathRate: training(rate) },
  draws: ({ dropPathRate }) => dropPathRate > 0,
  build: ({ g, config, x, shape }) =>
    g.dropout(
      x,
      config.dropPathRate,
      shape.map(() => 1),
    ),
});

/**
 * Over rows and pixels. In training with the statistics of the batch, which become the outputs `<path>/mean` and `<path>/variance`, of the k-th
 * call of a layer `<path>~k/mean` and so on: by these names the update finds what the moving statistics move towards, call by call as in Keras. In
 * inference, and where the layer is frozen, the moving statistics are folded into scale and shift.
 */
function normalized(
  g: LayerBuilder,
  x: ValueId,
  { gamma, beta, moving_mean, moving_variance }: Readonly<Record<'gamma' | 'beta' | 'moving_mean' | 'moving_variance', ValueId>>,
  path: string,
  { epsilon, momentum }: { readonly epsilon: number; readonly momentum: number | null },
): ValueId {
  if (!g.trains(path)) {
    const [scale, shift] = g.add('bnFold', [moving_mean, moving_variance, gamma, beta], { epsilon });
    return g.one('normalize', [x, scale, shift]);
  }
  const [y, mean, variance] = g.add('batchnorm', [x, gamma, beta], { epsilon, momentum: momentum ?? undefined });
  const { outputs } = g;
  let call = path;
  for (let k = 2; Object.hasOwn(outputs, `${call}/mean`); k++) call = `${path}~${k}`;
  g.output(`${call}/mean`, mean);
  g.output(`${call}/variance`, variance);
  return y;
}
