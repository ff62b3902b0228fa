// Tensors beside each other and axes in another order to kernels of gpu/kernels/arrange.ts.

import { elementCount } from '../../runtime/ir/graph.ts';
import { permutedStrides } from '../../runtime/ops/arrange.ts';
import { channelsOf, pixelsOf } from '../../runtime/ops/check.ts';
import * as kernels from '../kernels/arrange.ts';
import { lanesFor } from '../kernels/wgsl.ts';
import { mapGroups } from './elementwise.ts';
import { KernelOperands } from './kernel.ts';
import type { Lowerings } from './lowering.ts';

export const arranging = {
  concat({ args: { parts }, results: { y } }, context) {
    const { shape } = context.spec(y);
    const pixels = pixelsOf(shape);
    const channels = parts.map((id) => channelsOf(context.spec(id).shape));
    const lanes = channels.every((n) => lanesFor(n) === 4) ? 4 : 1;
    return parts.flatMap((id, k) => {
      const first = channels.slice(0, k).reduce((sum, n) => sum + n, 0);
      const c = channels[k] / lanes;
      return new KernelOperands('concat', context)
        .read('x', id, lanes)
        .write('y', y, lanes)
        .dispatch(kernels.concatPart(pixels, c, first / lanes, channelsOf(shape) / lanes), mapGroups(pixels * c));
    });
  },
  permute({ args: { x }, results: { y }, attrs: { axes } }, context) {
    const { sizes, strides } = permutedStrides(context.spec(x).shape, axes);
    return new KernelOperands('permute', context)
      .read('x', x)
      .write('y', y)
      .dispatch(kernels.permute(sizes, strides), mapGroups(elementCount(context.spec(y))));
  },
} satisfies Partial<Lowerings>;
