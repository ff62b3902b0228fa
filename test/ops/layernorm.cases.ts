// Cases of layer normalisation.

import { channelCount, type OpFamily, STATISTICS, vector, x } from '../support/op-case.ts';

export const family = {
  layernorm: {
    cases: () =>
      STATISTICS.map(([rows, shape]) => ({
        name: `${rows} × [${shape}]`,
        rows,
        inputs: [x(rows, shape), vector(shape, 2, 0.5, 1.5), vector(shape, 3)],
        attrs: { epsilon: 1e-3 },
      })),
    maker: ({ g, parameter }, x) => {
      const channels = channelCount(g, x);
      return g.one('layernorm', { x, gamma: parameter(channels), beta: parameter(channels) }, { epsilon: 0.1 });
    },
  },
  layernormGrad: {
    cases: () =>
      STATISTICS.map(([rows, shape]) => ({
        name: `${rows} × [${shape}]`,
        rows,
        inputs: [x(rows, shape, 5), x(rows, shape), vector(shape, 2, 0.5, 1.5)],
        attrs: { epsilon: 1e-3 },
      })),
  },
} satisfies OpFamily;
