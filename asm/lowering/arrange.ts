// Tensors beside each other and axes in another order to calls of asm/kernels/arrange.ts.

import { permutedStrides } from '../../runtime/ops/arrange.ts';
import { channels, pixels } from './elementwise.ts';
import { callsOf, type Kernels, type Lowerings } from './lowering.ts';

/** Argument blocks of these kernels. */
export const arrangeKernels = {
  /** `elements` of a part: its channels. */
  concat: { y: 'ptr', pixels: 'i32', channels: 'i32', parts: ['range'] },
  permute: {
    ...{ x: 'ptr', y: 'ptr', size0: 'i32', size1: 'i32', size2: 'i32', size3: 'i32' },
    ...{ stride0: 'i32', stride1: 'i32', stride2: 'i32', stride3: 'i32' },
  },
} as const satisfies Kernels;
const call = callsOf(arrangeKernels);

export const arranging = {
  concat({ args: { parts }, results: { y } }, { spec, address }) {
    return [
      call('concat', {
        ...{ y: address(y), pixels: pixels(spec(y)), channels: channels(spec(y)) },
        parts: parts.map((id) => ({ address: address(id), elements: channels(spec(id)) })),
      }),
    ];
  },
  permute({ args: { x }, results: { y }, attrs: { axes } }, { spec, address }) {
    const {
      sizes: [size0, size1, size2, size3],
      strides: [stride0, stride1, stride2, stride3],
    } = permutedStrides(spec(x).shape, axes);
    return [
      call('permute', { x: address(x), y: address(y), ...{ size0, size1, size2, size3 }, ...{ stride0, stride1, stride2, stride3 } }),
    ];
  },
} satisfies Partial<Lowerings>;
