// Cases of the ops of batch normalisation.

import {
  affine,
  bnGradApplyInputs,
  channelCount,
  forActivations,
  large,
  NORMALIZE_EPILOGUES,
  type OpFamily,
  partialsOf,
  pixelsOf,
  STATISTICS,
  vector,
  x,
} from '../support/op-case.ts';
import { fixed, samples, uniform } from '../support/tensors.ts';

export const family = {
  batchnorm: {
    maker: ({ g, parameter }, x) =>
      g.add('batchnorm', { x, gamma: parameter(channelCount(g, x)), beta: parameter(channelCount(g, x)) }, { epsilon: 0.1 }).y,
  },
  bnStats: {
    cases: () => [
      ...STATISTICS.map(([rows, shape]) => ({
        name: `${rows} × [${shape}] from input`,
        rows,
        inputs: [x(rows, shape)],
        attrs: { from: 'input', pixels: pixelsOf(shape) },
      })),
      ...STATISTICS.map(([rows, shape]) => ({
        name: `${rows} × [${shape}] from partials`,
        rows,
        inputs: [partialsOf(x(rows, shape))],
        attrs: { from: 'partials', pixels: pixelsOf(shape) },
      })),
    ],
    large: () => [
      {
        name: 'a mean far from zero',
        rows: 9,
        inputs: [samples(9, [7, 7, 6], uniform(1, 999.5, 1000.5))],
        attrs: { from: 'input', pixels: 49 },
      },
      { name: 'a constant', rows: 9, inputs: [samples(9, [7, 7, 6], () => 0.1)], attrs: { from: 'input', pixels: 49 } },
    ],
  },
  bnFold: {
    cases: () =>
      [1, 16, 33].map((channels) => ({
        name: `[${channels}]`,
        rows: 1,
        inputs: [vector([channels], 1), vector([channels], 2, 0, 2), vector([channels], 3), vector([channels], 4)],
        attrs: { epsilon: 1e-3 },
      })),
    maker: ({ g, parameter, statistic }, x) => {
      const c = channelCount(g, x);
      const operands = { mean: statistic(c), variance: statistic(c), gamma: parameter(c), beta: parameter(c) };
      const { scale, shift } = g.add('bnFold', operands, { epsilon: 0.1 });
      return g.one('normalize', { x, scale, shift });
    },
  },
  bnFoldGrad: {
    cases: () =>
      [1, 16, 33].map((channels) => ({
        name: `[${channels}]`,
        rows: 2,
        inputs: [vector([channels], 1), vector([channels], 2), vector([channels], 3), vector([channels], 4, 0, 2)],
        attrs: { epsilon: 1e-3 },
      })),
  },
  normalize: {
    cases: () =>
      ['', ' with residual', ' with residual and its scale']
        .flatMap((what, operands) =>
          forActivations((rows, shape) => ({
            inputs: [
              ...[x(rows, shape), vector(shape, 2), vector(shape, 3)],
              ...[[], [x(rows, shape, 4)], [x(rows, shape, 4), ...Object.values(affine(shape))]][operands],
            ],
            attrs: {},
          })).map((one) => ({ ...one, name: `${one.name}${what}` })),
        )
        .concat(
          NORMALIZE_EPILOGUES.flatMap((epilogue) =>
            STATISTICS.map(([rows, shape]) => ({
              name: `${rows} × [${shape}] ${JSON.stringify(epilogue)}`,
              rows,
              inputs: [x(rows, shape), vector(shape, 2), vector(shape, 3), x(rows, shape, 4)],
              attrs: { epilogue },
            })),
          ),
        ),
    large: () => [
      {
        name: 'chunks',
        rows: 9,
        inputs: [large(9, [16, 17, 37]), fixed([37], uniform(2)), fixed([37], uniform(3)), large(9, [16, 17, 37], 4)],
        attrs: {},
      },
      {
        name: 'chunks and blocks, GELU',
        rows: 9,
        inputs: [large(9, [16, 17, 37]), fixed([37], uniform(2)), fixed([37], uniform(3)), large(9, [16, 17, 37], 4)],
        attrs: { epilogue: { activation: 'gelu', derivative: true } },
      },
      {
        name: 'chunks, the residual scaled',
        rows: 9,
        inputs: [large(9, [16, 17, 37]), large(9, [16, 17, 37], 4)].flatMap((x) => [x, fixed([37], uniform(2)), fixed([37], uniform(3))]),
        attrs: {},
      },
    ],
    maker: ({ g, parameter }, x) => g.one('normalize', { x, scale: parameter(channelCount(g, x)), shift: parameter(channelCount(g, x)) }),
  },
  bnGradStats: {
    cases: () =>
      STATISTICS.map(([rows, shape]) => ({
        name: `${rows} × [${shape}]`,
        rows,
        inputs: [x(rows, shape, 5), x(rows, shape), vector(shape, 2)],
        attrs: {},
      })),
  },
  bnGradFold: {
    cases: () =>
      [1, 16, 33].map((channels) => ({
        name: `[${channels}]`,
        rows: 3,
        inputs: [vector([channels], 1), vector([channels], 2), vector([channels], 3), vector([channels], 4, 0, 2), vector([channels], 5)],
        attrs: { epsilon: 1e-3, pixels: 35 },
      })),
  },
  bnGradApply: {
    cases: () =>
      [{}, { biasGrad: true }, { derivative: true }, { derivative: true, biasGrad: true }].flatMap(({ derivative, biasGrad }) =>
        STATISTICS.map(([rows, shape]) => ({
          name: `${rows} × [${shape}] ${JSON.stringify({ derivative, biasGrad })}`,
          rows,
          inputs: [...bnGradApplyInputs(rows, shape), ...(derivative ? [x(rows, shape, 10)] : [])],
          attrs: { biasGrad },
        })),
      ),
  },
} satisfies OpFamily;
