// Framing to calls of asm/kernels/frame.ts.

import { callsOf, type Kernels, type Lowering } from './lowering.ts';

/** Argument blocks of these kernels. */
export const frameKernels = {
  frame: {
    ...{ x: 'ptr', y: 'ptr', height: 'i32', width: 'i32', channels: 'i32' },
    ...{ outHeight: 'i32', outWidth: 'i32', outChannels: 'i32', top: 'i32', left: 'i32', first: 'i32' },
  },
} as const satisfies Kernels;
const call = callsOf(frameKernels);

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
