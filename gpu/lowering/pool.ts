// Pooling to kernels of gpu/kernels/pool.ts.

import type { TensorSpec } from '../../runtime/ir/graph.ts';
import { channelsOf, pixelsOf } from '../../runtime/ops/check.ts';
import * as kernels from '../kernels/pool.ts';
import { type Lanes, lanesFor } from '../kernels/wgsl.ts';
import { mapGroups } from './elementwise.ts';
import { KernelOperands } from './kernel.ts';
import type { Lowerings } from './lowering.ts';

function image({ shape }: TensorSpec): { lanes: Lanes; pixels: number; channels: number; shape: kernels.PoolShape } {
  const lanes = lanesFor(channelsOf(shape));
  const channels = channelsOf(shape) / lanes;
  return { lanes, pixels: pixelsOf(shape), channels, shape: { h: shape[0], w: shape[1], c: channels } };
}

export const pool = {
  globalAvgPool(node, context) {
    const [x] = node.inputs;
    const { lanes, pixels, channels } = image(context.spec(x));
    const operands = new KernelOperands('globalAvgPool', context).read('x', x, lanes).write('y', node.outputs[0], lanes);
    return operands.dispatch(kernels.globalAvgPool(pixels, channels, lanes), mapGroups(channels));
  },
  globalAvgPoolGrad(node, context) {
    const [dx] = node.outputs;
    const { lanes, pixels, channels } = image(context.spec(dx));
    const operands = new KernelOperands('globalAvgPoolGrad', context).read('dy', node.inputs[0], lanes).write('dx', dx, lanes);
    return operands.dispatch(kernels.globalAvgPoolGrad(pixels, channels), mapGroups(pixels * channels));
  },
  maxPool(node, context) {
    const [x] = node.inputs;
    const [y] = node.outputs;
    const { lanes, shape } = image(context.spec(x));
    const operands = new KernelOperands('maxPool', context).read('x', x, lanes).write('y', y, lanes);
    return operands.dispatch(kernels.maxPool(shape, lanes), mapGroups(image(context.spec(y)).pixels * shape.c));
  },
  maxPoolGrad(node, context) {
    const [dy, x] = node.inputs;
    const { lanes, pixels, shape } = image(context.spec(x));
    const operands = new KernelOperands('maxPoolGrad', context)
      .read('dy', dy, lanes)
      .read('x', x, lanes)
      .write('dx', node.outputs[0], lanes);
    return operands.dispatch(kernels.maxPoolGrad(shape, lanes), mapGroups(pixels * shape.c));
  },
} satisfies Partial<Lowerings>;
