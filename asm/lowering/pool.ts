// Pooling to calls of asm/kernels/pool.ts.

import { channels, pixels } from './elementwise.ts';
import type { Lowering } from './lowering.ts';

export const pool = {
  globalAvgPool(node, { spec, address }) {
    const [x] = node.inputs;
    return [{ kernel: 'globalAvgPool', args: [address(x), address(node.outputs[0]), pixels(spec(x)), channels(spec(x))] }];
  },
  globalAvgPoolGrad(node, { spec, address }) {
    const [dx] = node.outputs;
    return [{ kernel: 'globalAvgPoolGrad', args: [address(node.inputs[0]), address(dx), pixels(spec(dx)), channels(spec(dx))] }];
  },
  maxPool(node, { spec, address }) {
    const [x] = node.inputs;
    return [{ kernel: 'maxPool', args: [address(x), address(node.outputs[0]), ...spec(x).shape] }];
  },
  maxPoolGrad(node, { spec, address }) {
    const [dy, x] = node.inputs;
    return [{ kernel: 'maxPoolGrad', args: [address(dy), address(x), address(node.outputs[0]), ...spec(x).shape] }];
  },
} satisfies Record<string, Lowering>;
