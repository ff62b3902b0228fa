// Framing to kernels of gpu/kernels/frame.ts.

import * as kernels from '../kernels/frame.ts';
import { type Lanes, lanesFor } from '../kernels/wgsl.ts';
import { mapGroups } from './elementwise.ts';
import { KernelOperands } from './kernel.ts';
import type { Lowerings } from './lowering.ts';

export const framing = {
  frame(node, context) {
    const [x] = node.inputs;
    const [y] = node.outputs;
    const [from, to] = [context.spec(x).shape, context.spec(y).shape];
    const { offset } = node.attrs;
    // Vectors of channels where images and their places come in them.
    const lanes = Math.min(lanesFor(from[2]), lanesFor(to[2]), lanesFor(Math.abs(offset[2]) || to[2])) as Lanes;
    const inLanes = ([height, width, channels]: readonly number[]) => [height, width, channels / lanes];
    const operands = new KernelOperands('frame', context).read('x', x, lanes).write('y', y, lanes);
    const [height, width, channels] = inLanes(to);
    return operands.dispatch(kernels.frame(inLanes(from), inLanes(to), inLanes(offset), lanes), mapGroups(height * width * channels));
  },
} satisfies Partial<Lowerings>;
