// Repetition to kernels of gpu/kernels/repeat.ts.

import type { TensorSpec } from '../../runtime/ir/graph.ts';
import * as kernels from '../kernels/repeat.ts';
import { type Lanes, lanesFor } from '../kernels/wgsl.ts';
import { mapGroups } from './elementwise.ts';
import { KernelOperands } from './kernel.ts';
import type { Lowerings } from './lowering.ts';

function sizesOf(
  { shape: [h, w, channels] }: TensorSpec,
  times: readonly [number, number, number],
): { lanes: Lanes; sizes: kernels.Repetition } {
  const lanes = times[2] === 1 ? lanesFor(channels) : 1;
  return { lanes, sizes: { h, w, c: channels / lanes, times } };
}

export const repeat = {
  repeat({ args: { x }, results: { y }, attrs: { times } }, context) {
    const { lanes, sizes } = sizesOf(context.spec(x), times);
    const operands = new KernelOperands('repeat', context).read('x', x, lanes).write('y', y, lanes);
    const accesses = [sizes.h, sizes.w, sizes.c].reduce((product, n, axis) => product * n * times[axis], 1);
    return operands.dispatch(kernels.repeat(sizes), mapGroups(accesses));
  },
  repeatGrad({ args: { dy }, results: { dx }, attrs: { times } }, context) {
    const { lanes, sizes } = sizesOf(context.spec(dx), times);
    const operands = new KernelOperands('repeatGrad', context).read('dy', dy, lanes).write('dx', dx, lanes);
    return operands.dispatch(kernels.repeatGrad(sizes, lanes), mapGroups(sizes.h * sizes.w * sizes.c));
  },
} satisfies Partial<Lowerings>;
