// Cases of the larger and the smaller of two tensors.

import { forActivations, type OpFamily, x } from '../support/op-case.ts';
import { integers, samples } from '../support/tensors.ts';

export const family = {
  extreme: {
    cases: () =>
      (['maximum', 'minimum'] as const).flatMap((of) =>
        forActivations((rows, shape) => ({ inputs: [x(rows, shape), x(rows, shape, 2)], attrs: { of } })).map((one) => ({
          ...one,
          name: `${one.name} ${of}`,
        })),
      ),
    maker: ({ g, draw }, a, b) => g.one('extreme', { a, b }, { of: draw(2) ? 'maximum' : 'minimum' }),
  },
  extremeGrad: {
    cases: () =>
      (['maximum', 'minimum'] as const).flatMap((of) =>
        (['a', 'b'] as const).flatMap((wanted) =>
          // Few different values: ties.
          forActivations((rows, shape) => ({
            inputs: [x(rows, shape, 5), samples(rows, shape, integers(12, 3)), samples(rows, shape, integers(13, 3))],
            attrs: { of, wanted },
          })).map((one) => ({ ...one, name: `${one.name} ${of} ${wanted}` })),
        ),
      ),
  },
} satisfies OpFamily;
