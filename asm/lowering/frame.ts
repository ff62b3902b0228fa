// Framing to calls of asm/kernels/frame.ts.

import { call, type Lowering } from './lowering.ts';

export const framing = {
  frame(node, { spec, address }) {
    const [x] = node.inputs;
    const [y] = node.outputs;
    const [height, width, channels] = spec(x).shape;
    const [outHeight, outWidth, outChannels] = spec(y).shape;
    const [top, left, first] = node.attrs.offset as readonly number[];
    const sizes = { height, width, channels, outHeight, outWidth, outChannels, top, left, first };
    return [call('frame', { x: address(x), y: address(y), ...sizes })];
  },
} satisfies Record<string, Lowering>;
