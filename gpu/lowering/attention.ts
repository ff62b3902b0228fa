// Products of matrices of each sample, and softmax, to kernels of gpu/kernels/attention.ts.

import { elementCount } from '../../runtime/ir/graph.ts';
import { type ProductSizes, productSizes } from '../../runtime/ops/attention.ts';
import { channelsOf, pixelsOf } from '../../runtime/ops/check.ts';
import * as kernels from '../kernels/attention.ts';
import { mapGroups } from './elementwise.ts';
import { KernelOperands } from './kernel.ts';
import type { Lowerings } from './lowering.ts';

export const attention = {
  matmul({ args: { a, b }, results: { y }, attrs: { transposed } }, context) {
    const sizes = productSizes(context.spec(a).shape, context.spec(b).shape, transposed) as ProductSizes;
    return new KernelOperands('matmul', context)
      .read('a', a)
      .read('b', b)
      .write('y', y)
      .dispatch(kernels.matmul(sizes, transposed), mapGroups(elementCount(context.spec(y))));
  },
  softmax({ args: { x }, results: { y } }, context) {
    const { shape } = context.spec(x);
    const operands = new KernelOperands('softmax', context).read('x', x).write('y', y);
    return operands.dispatch(kernels.softmax(pixelsOf(shape), channelsOf(shape)), mapGroups(pixelsOf(shape)));
  },
  softmaxGrad({ args: { dy, y }, results: { dx } }, context) {
    const { shape } = context.spec(y);
    const operands = new KernelOperands('softmaxGrad', context).read('dy', dy).read('y', y).write('dx', dx);
    return operands.dispatch(kernels.softmaxGrad(pixelsOf(shape), channelsOf(shape)), mapGroups(pixelsOf(shape)));
  },
} satisfies Partial<Lowerings>;
