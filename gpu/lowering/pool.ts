// Pooling to kernels of gpu/kernels/pool.ts.

import type { TensorSpec } from '../../runtime/ir/graph.ts';
import { channelsOf, pixelsOf } from '../../runtime/ops/check.ts';
import { poolWindow } from '../../runtime/ops/pool.ts';
import { isHalving } from '../../runtime/ops/window.ts';
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
  maxPool({ args: { x }, results: { y }, attrs }, context) {
    const { lanes, channels, shape } = image(context.spec(x));
    const operands = new KernelOperands('maxPool', context).read('x', x, lanes).write('y', y, lanes);
    const window = poolWindow(context.spec(x).shape, attrs);
    const text = isHalving(window) ? kernels.maxPool(shape, lanes) : kernels.poolWindows(window, channels, 'max', lanes);
    return operands.dispatch(text, mapGroups(image(context.spec(y)).pixels * channels));
  },
  maxPoolGrad({ args: { dy, x }, results: { dx }, attrs }, context) {
    const { lanes, pixels, channels, shape } = image(context.spec(x));
    const operands = new KernelOperands('maxPoolGrad', context).read('dy', dy, lanes).read('x', x, lanes).write('dx', dx, lanes);
    const window = poolWindow(context.spec(x).shape, attrs);
    const text = isHalving(window) ? kernels.maxPoolGrad(shape, lanes) : kernels.poolWindowsGrad(window, channels, 'max', lanes);
    return operands.dispatch(text, mapGroups(pixels * channels));
  },
  avgPool({ args: { x }, results: { y }, attrs }, context) {
    const { lanes, channels } = image(context.spec(x));
    const operands = new KernelOperands('avgPool', context).read('x', x, lanes).write('y', y, lanes);
    const text = kernels.poolWindows(poolWindow(context.spec(x).shape, attrs), channels, 'avg', lanes);
    return operands.dispatch(text, mapGroups(image(context.spec(y)).pixels * channels));
  },
  avgPoolGrad({ args: { dy }, results: { dx }, attrs: { inputShape, ...attrs } }, context) {
    const { lanes, pixels, channels } = image(context.spec(dx));
    const operands = new KernelOperands('avgPoolGrad', context).read('dy', dy, lanes).write('dx', dx, lanes);
    const text = kernels.poolWindowsGrad(poolWindow(inputShape, attrs), channels, 'avg', lanes);
    return operands.dispatch(text, mapGroups(pixels * channels));
  },
} satisfies Partial<Lowerings>;
