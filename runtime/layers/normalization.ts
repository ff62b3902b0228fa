// Normalisation.

import type { ValueId } from '../ir/graph.ts';
import { defineLayer } from './define-layer.ts';
import { initializer } from './initializers.ts';
import { fixed, number, optional, training } from './kinds.ts';
import type { LayerBuilder } from './layer-builder.ts';

/** Also as the float32 that devices compute with: a variance of 0 is divided by it. */
const positive = number('a number above 0', (value) => Math.fround(value) > 0);
const share = number('a number from 0 to 1', (value) => value >= 0 && value <= 1);

export const BatchNormalization = defineLayer({
  type: 'BatchNormalization',
  config: {
    axis: { ...fixed(-1), read: (given: unknown) => (lastAxis(given) ? -1 : undefined) },
    momentum: training(optional(share, 0.99)),
    epsilon: optional(positive, 1e-3),
    center: fixed(true),
    scale: fixed(true),
    betaInitializer: optional(initializer, 'zeros'),
    gammaInitializer: optional(initializer, 'ones'),
    movingMeanInitializer: optional(initializer, 'zeros'),
    movingVarianceInitializer: optional(initializer, 'ones'),
  },
  ignoredKeys: ['renorm_clipping', 'renorm_momentum'],
  variables: (config, [shape]) => {
    const channels = shape.slice(-1);
    return {
      gamma: { shape: channels, initializer: config.gammaInitializer },
      beta: { shape: channels, initializer: config.betaInitializer },
      moving_mean: { shape: channels, initializer: config.movingMeanInitializer, kind: 'statistic' },
      moving_variance: { shape: channels, initializer: config.movingVarianceInitializer, kind: 'statistic' },
    };
  },
  build: ({ g, config, x, vars, path }) => normalized(g, x, vars, path, config.epsilon),
});

/** The last axis of an image, in Keras' two ways of counting: files of Keras 2 have it in a list. */
const lastAxis = (given: unknown): boolean => [-1, 3].includes(Array.isArray(given) && given.length === 1 ? given[0] : given);

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
  epsilon: number,
): ValueId {
  if (!g.trains(path)) {
    const [scale, shift] = g.add('bnFold', [moving_mean, moving_variance, gamma, beta], { epsilon });
    return g.one('normalize', [x, scale, shift]);
  }
  const [y, mean, variance] = g.add('batchnorm', [x, gamma, beta], { epsilon });
  const { outputs } = g;
  let call = path;
  for (let k = 2; Object.hasOwn(outputs, `${call}/mean`); k++) call = `${path}~${k}`;
  g.output(`${call}/mean`, mean);
  g.output(`${call}/variance`, variance);
  return y;
}
