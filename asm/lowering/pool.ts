// Pooling to calls of asm/kernels/pool.ts.

import type { TensorSpec } from '../../runtime/ir/graph.ts';
import { channels, pixels } from './elementwise.ts';
import { call, type Lowering } from './lowering.ts';

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
  maxPool(node, { spec, address }) {
    const [x] = node.inputs;
    return [call('maxPool', { x: address(x), y: address(node.outputs[0]), ...sizes(spec(x)) })];
  },
  maxPoolGrad(node, { spec, address }) {
    const [dy, x] = node.inputs;
    return [call('maxPoolGrad', { dy: address(dy), x: address(x), dx: address(node.outputs[0]), ...sizes(spec(x)) })];
  },
} satisfies Record<string, Lowering>;
