// Images in another size to kernels of gpu/kernels/resize.ts.

import { elementCount } from '../../runtime/ir/graph.ts';
import * as kernels from '../kernels/resize.ts';
import { lanesFor } from '../kernels/wgsl.ts';
import { mapGroups } from './elementwise.ts';
import { KernelOperands } from './kernel.ts';
import type { Lowerings } from './lowering.ts';

export const resize = {
  resize({ args: { x }, results: { y }, attrs: { interpolation } }, context) {
    const [from, to] = [context.spec(x), context.spec(y)];
    const lanes = lanesFor(from.shape[2]);
    const operands = new KernelOperands('resize', context).read('x', x, lanes).write('y', y, lanes);
    return operands.dispatch(kernels.resize(from.shape, to.shape, interpolation, lanes), mapGroups(elementCount(to) / lanes));
  },
  resizeGrad({ args: { dy }, results: { dx }, attrs: { interpolation } }, context) {
    const [from, to] = [context.spec(dx), context.spec(dy)];
    const lanes = lanesFor(from.shape[2]);
    const operands = new KernelOperands('resizeGrad', context).read('dy', dy, lanes).write('dx', dx, lanes);
    return operands.dispatch(kernels.resizeGrad(from.shape, to.shape, interpolation, lanes), mapGroups(elementCount(from) / lanes));
  },
} satisfies Partial<Lowerings>;
