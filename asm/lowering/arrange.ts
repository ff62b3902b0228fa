// Tensors beside each other and axes in another order to calls of asm/kernels/arrange.ts.

import { permutedStrides } from '../../runtime/ops/arrange.ts';
import { channels, pixels } from './elementwise.ts';
import { call, type Lowerings } from './lowering.ts';

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
