// Layer normalisation to kernels of gpu/kernels/layernorm.ts.

import { elementCount } from '../../runtime/ir/graph.ts';
import { channelsOf, pixelsOf } from '../../runtime/ops/check.ts';
import * as kernels from '../kernels/layernorm.ts';
import { tileSums } from '../kernels/tiles.ts';
import { mapGroups } from './elementwise.ts';
import { KernelOperands } from './kernel.ts';
import type { Lowerings } from './lowering.ts';
import { mergeTiles, sumsScratch, tileGroups, tilesOf } from './tiles.ts';

export const layernorm = {
  layernorm({ args: { x, gamma, beta }, results: { y }, attrs: { epsilon } }, context) {
    const { shape } = context.spec(x);
    const pixels = pixelsOf(shape);
    return new KernelOperands('layernorm', context)
      .read('x', x)
      .vectors({ gamma, beta }, 1)
      .write('y', y)
      .dispatch(kernels.layernorm(pixels, channelsOf(shape), epsilon), mapGroups(pixels));
  },
  layernormGrad({ args: { dy, x, gamma }, results: { dx, dgamma, dbeta }, attrs: { epsilon } }, context) {
    const spec = context.spec(x);
    const pixels = pixelsOf(spec.shape);
    const products = context.scratch(Math.ceil((context.capacity * elementCount(spec) * 4) / 16) * 16);
    const { shape, lanes, tiles } = tilesOf(spec, context.capacity);
    const sums = sumsScratch(context, tiles, 2, shape, lanes);
    return [
      ...new KernelOperands('layernormGrad', context)
        .read('dy', dy)
        .read('x', x)
        .vectors({ gamma }, 1)
        .write('dx', dx)
        .raw('products', products, 'read_write')
        .dispatch(kernels.layernormGrad(pixels, channelsOf(spec.shape), epsilon), mapGroups(pixels)),
      ...new KernelOperands('layernormSums', context)
        .raw('products', products, 'read', lanes)
        .read('dy', dy, lanes)
        .raw('sums', sums, 'read_write', lanes)
        .dispatch(
          tileSums({ shape, lanes, loads: { product: 'products(at)', slope: 'dy(at)' }, terms: ['product', 'slope'] }),
          tileGroups(shape),
        ),
      ...mergeTiles(sums, [dgamma, dbeta], shape.samples, lanes, context),
    ];
  },
} satisfies Partial<Lowerings>;
