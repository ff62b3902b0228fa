// The larger and the smaller of two tensors to kernels of gpu/kernels/extremes.ts.

import { elementCount } from '../../runtime/ir/graph.ts';
import * as kernels from '../kernels/extremes.ts';
import { lanesFor } from '../kernels/wgsl.ts';
import { mapGroups } from './elementwise.ts';
import { KernelOperands } from './kernel.ts';
import type { Lowerings } from './lowering.ts';

export const extremes = {
  extreme({ args: { a, b }, results: { y }, attrs: { of } }, context) {
    const elements = elementCount(context.spec(y));
    const lanes = lanesFor(elements);
    const operands = new KernelOperands('extreme', context).read('a', a, lanes).read('b', b, lanes).write('y', y, lanes);
    return operands.dispatch(kernels.extreme(elements / lanes, of, lanes), mapGroups(elements / lanes));
  },
  extremeGrad({ args: { dy, a, b }, results: { dx }, attrs: { of, wanted } }, context) {
    const elements = elementCount(context.spec(dx));
    const lanes = lanesFor(elements);
    const operands = new KernelOperands('extremeGrad', context).read('dy', dy, lanes).read('a', a, lanes).read('b', b, lanes);
    return operands.write('dx', dx, lanes).dispatch(kernels.extremeGrad(elements / lanes, of, wanted, lanes), mapGroups(elements / lanes));
  },
} satisfies Partial<Lowerings>;
