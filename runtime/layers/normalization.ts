// Normalisation.

import type { ValueId } from '../ir/graph.ts';
import { defineLayer } from './define-layer.ts';
import { initializer } from './initializers.ts';
import { fixed, flag, number, numbers, optional, orNone, rate, training, whole } from './kinds.ts';
import type { LayerBuilder } from './layer-builder.ts';

/** Also as the float32 that devices compute with: a variance of 0 is divided by it. */
const positive = number('a number above 0', (value) => Math.fround(value) > 0);
const share = number('a number from 0 to 1', (value) => value >= 0 && value <= 1);

export const BatchNormalization = defineLayer({
  type: 'BatchNormalization',
  config: {
    axis: { ...fixed(-1), read: (given: unknown) => (lastAxis(given) ? -1 : undefined) },
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
  ignoredKeys: ['renorm_clipping', 'renorm_momentum'],
  variables: (config, [shape]) => {
    const channels = shape.slice(-1);
    return {
      ...(config.scale && { gamma: { shape: channels, initializer: config.gammaInitializer } }),
      ...(config.center && { beta: { shape: channels, initializer: config.betaInitializer } }),
      moving_mean: { shape: channels, initializer: config.movingMeanInitializer, kind: 'statistic' },
      moving_variance: { shape: channels, initializer: config.movingVarianceInitializer, kind: 'statistic' },
    };
  },
  build: ({ g, config, x, vars, path, shape }) => normalized(g, x, { ...vars, ...affineOf(g, vars, shape) }, path, config),
});

/** The last axis of an image, in Keras' two ways of counting: files of Keras 2 have it in a list. */
const lastAxis = (given: unknown): boolean => [-1, 3].includes(Array.isArray(given) && given.length === 1 ? given[0] : given);

/** Gamma and beta, ones and zeros where a layer has none. */
function affineOf(g: LayerBuilder, { gamma, beta }: Partial<Record<'gamma' | 'beta', ValueId>>, shape: readonly number[]) {
  const constant = (value: number) => g.one('fill', {}, { shape: shape.slice(-1), value, parameter: true });
  return { gamma: gamma ?? constant(1), beta: beta ?? constant(0) };
}

/** Over the channels of each pixel. */
export const LayerNormalization = defineLayer({
  type: 'LayerNormalization',
  config: {
    axis: { ...fixed(-1), read: (given: unknown) => (lastAxis(given) ? -1 : undefined) },
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
  build: ({ g, config, x, vars, shape }) => g.one('layernorm', { x, ...affineOf(g, vars, shape) }, { epsilon: config.epsilon }),
});

/** Keras' least deviation. */
const LEAST_DEVIATION = 1e-7;

/** With mean and variance that are given, or with those of its weights, which Keras' `adapt` has measured: training does not change them. */
export const Normalization = defineLayer({
  type: 'Normalization',
  config: {
    axis: { ...fixed([-1]), read: (given: unknown) => (lastAxis(given) ? ([-1] as const) : undefined) },
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
  build({ g, config, x, vars, shape, refuse }) {
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
