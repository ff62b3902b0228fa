// Pooling to calls of asm/kernels/pool.ts.

import type { TensorSpec } from '../../runtime/ir/graph.ts';
import { poolWindow } from '../../runtime/ops/pool.ts';
import { isHalving, type Window } from '../../runtime/ops/window.ts';
import type { StructValues } from '../abi/fields.ts';
import { channels, pixels } from './elementwise.ts';
import { callsOf, type Kernels, type Lowerings } from './lowering.ts';

/** Argument blocks of these kernels. */
export const poolKernels = {
  globalAvgPool: { x: 'ptr', y: 'ptr', pixels: 'i32', channels: 'i32' },
  globalAvgPoolGrad: { dy: 'ptr', dx: 'ptr', pixels: 'i32', channels: 'i32' },
  maxPool: { x: 'ptr', y: 'ptr', height: 'i32', width: 'i32', channels: 'i32' },
  maxPoolGrad: { dy: 'ptr', x: 'ptr', dx: 'ptr', height: 'i32', width: 'i32', channels: 'i32' },
  maxPoolWindows: { x: 'ptr', y: 'ptr', window: 'poolWindow' },
  maxPoolWindowsGrad: { dy: 'ptr', x: 'ptr', dx: 'ptr', window: 'poolWindow' },
  avgPool: { x: 'ptr', y: 'ptr', window: 'poolWindow' },
  avgPoolGrad: { dy: 'ptr', dx: 'ptr', window: 'poolWindow' },
} as const satisfies Kernels;
const call = callsOf(poolKernels);

const sizes = ({ shape: [height, width, channels] }: TensorSpec) => ({ height, width, channels });

export const pool = {
  globalAvgPool(node, { spec, address }) {
    const [x] = node.inputs;
    return [call('globalAvgPool', { x: address(x), y: address(node.outputs[0]), pixels: pixels(spec(x)), channels: channels(spec(x)) })];
  },
  globalAvgPoolGrad(node, { spec, address }) {
    const [dx] = node.outputs;
    const size = { pixels: pixels(spec(dx)), channels: channels(spec(dx)) };
    return [call('globalAvgPoolGrad', { dy: address(node.inputs[0]), dx: address(dx), ...size })];
  },
  maxPool({ args, results, attrs }, { spec, address }) {
    const [x, y] = [address(args.x), address(results.y)];
    const g = poolWindow(spec(args.x).shape, attrs);
    if (isHalving(g)) return [call('maxPool', { x, y, ...sizes(spec(args.x)) })];
    return [call('maxPoolWindows', { x, y, window: windowOf(spec(args.x), g) })];
  },
  maxPoolGrad({ args, results, attrs }, { spec, address }) {
    const [dy, x, dx] = [address(args.dy), address(args.x), address(results.dx)];
    const g = poolWindow(spec(args.x).shape, attrs);
    if (isHalving(g)) return [call('maxPoolGrad', { dy, x, dx, ...sizes(spec(args.x)) })];
    return [call('maxPoolWindowsGrad', { dy, x, dx, window: windowOf(spec(args.x), g) })];
  },
  avgPool({ args: { x }, results: { y }, attrs }, { spec, address }) {
    return [call('avgPool', { x: address(x), y: address(y), window: windowOf(spec(x), poolWindow(spec(x).shape, attrs)) })];
  },
  avgPoolGrad({ args: { dy }, results: { dx }, attrs: { inputShape, ...attrs } }, { spec, address }) {
    return [call('avgPoolGrad', { dy: address(dy), dx: address(dx), window: windowOf(spec(dx), poolWindow(inputShape, attrs)) })];
  },
} satisfies Partial<Lowerings>;

const windowOf = ({ shape: [height, width, channels] }: TensorSpec, { kernel, stride, pads, out }: Window): StructValues<'poolWindow'> => ({
  ...{ height, width, channels },
  ...{ outHeight: out[0], outWidth: out[1], sizeRows: kernel[0], sizeColumns: kernel[1] },
  ...{ strideRows: stride[0], strideColumns: stride[1], padTop: pads.top, padLeft: pads.left },
});
