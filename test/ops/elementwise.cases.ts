// Cases of the ops that work element by element, but for activations.

import { channelCount, EXACT, forActivations, large, type OpFamily, vector, x } from '../support/op-case.ts';
import { fixed, integers, samples, uniform } from '../support/tensors.ts';

export const family = {
  rescale: {
    cases: () =>
      [{ scale: 1 / 255 }, { scale: 1 / 128, offset: -127 / 128 }].flatMap((attrs) =>
        forActivations((rows, shape) => ({ inputs: [samples(rows, shape, integers(1, 256), 'u8')], attrs })),
      ),
    large: () => [{ name: 'chunks', rows: 7, inputs: [samples(7, [32, 33, 3], integers(1, 256), 'u8')], attrs: { scale: 1 / 255 } }],
    tolerance: EXACT,
  },
  bias: {
    cases: () => forActivations((rows, shape) => ({ inputs: [x(rows, shape), vector(shape, 2)], attrs: {} })),
    large: () => [{ name: 'chunks', rows: 9, inputs: [large(9, [16, 17, 64]), fixed([64], uniform(2))], attrs: {} }],
    tolerance: EXACT,
    maker: ({ g, parameter }, x) => g.one('bias', { x, b: parameter(channelCount(g, x)) }),
  },
  biasGrad: {
    cases: () => forActivations((rows, shape) => ({ inputs: [x(rows, shape)], attrs: {} })),
    large: () => [{ name: 'tiles', rows: 9, inputs: [large(9, [16, 17, 36])], attrs: {} }],
  },
  add: {
    cases: () => forActivations((rows, shape) => ({ inputs: [x(rows, shape), x(rows, shape, 2)], attrs: {} })),
    tolerance: EXACT,
    maker: ({ g }, a, b) => g.one('add', { a, b }),
  },
  subtract: {
    cases: () => forActivations((rows, shape) => ({ inputs: [x(rows, shape), x(rows, shape, 2)], attrs: {} })),
    large: () => [{ name: 'chunks', rows: 9, inputs: [large(9, [16, 17, 36]), x(9, [16, 17, 36], 2)], attrs: {} }],
    tolerance: EXACT,
    maker: ({ g }, a, b) => g.one('subtract', { a, b }),
  },
  addParameters: {
    cases: () =>
      [[1], [33, 5], [3, 3, 7, 130]].map((shape) => ({
        name: `[${shape}]`,
        rows: 3,
        inputs: [fixed(shape, uniform(1)), fixed(shape, uniform(2))],
        attrs: {},
      })),
  },
  mul: {
    cases: () => [
      ...forActivations((rows, shape) => ({ inputs: [x(rows, shape), x(rows, shape, 2)], attrs: {} })),
      ...forActivations((rows, shape) => ({ inputs: [x(rows, shape), vector(shape, 2)], attrs: {} })).map((one) => ({
        ...one,
        name: `${one.name} by channels`,
      })),
    ],
    maker: ({ g, draw, parameter }, a, b) => g.one('mul', { a, b: draw(2) ? b : parameter(channelCount(g, a)) }),
  },
  dropout: {
    cases: () =>
      [0, 0.3, 0.5].flatMap((rate) =>
        forActivations((rows, shape) => ({
          inputs: [x(rows, shape), samples(rows, [], (n) => 49_999 - 7 * n, 'i32')],
          attrs: { rate, purpose: 16 },
          step: { epoch: 3, seed: 0x1234567890abcdefn },
        })).map((one) => ({ ...one, name: `${one.name} rate ${rate}` })),
      ),
    tolerance: EXACT,
    maker: ({ g, draw, samples }, x) => g.one('dropout', { x, samples }, { rate: 0.3, purpose: 16 + draw(9) }),
  },
  reshape: {
    maker: ({ g }, x) => {
      const [h, w, c] = g.spec(x).shape;
      return g.one('reshape', { x }, { shape: [w, h, c] });
    },
  },
} satisfies OpFamily;
