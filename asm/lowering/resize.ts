// Images in another size to calls of asm/kernels/resize.ts.

import type { TensorSpec } from '../../runtime/ir/graph.ts';
import type { Interpolation } from '../../runtime/ops/resize.ts';
import { callsOf, type Kernels, type Lowerings } from './lowering.ts';

/** Argument blocks of these kernels: sizes of what is resized, and of the result. */
export const resizeKernels = {
  resize: {
    ...{ x: 'ptr', y: 'ptr', height: 'i32', width: 'i32', channels: 'i32', newHeight: 'i32', newWidth: 'i32' },
    ...{ rowScale: 'f32', columnScale: 'f32', bilinear: 'i32' },
  },
  resizeGrad: {
    ...{ x: 'ptr', y: 'ptr', height: 'i32', width: 'i32', channels: 'i32', newHeight: 'i32', newWidth: 'i32' },
    ...{ rowScale: 'f32', columnScale: 'f32', bilinear: 'i32' },
  },
} as const satisfies Kernels;
const call = callsOf(resizeKernels);

function sizesOf({ shape: [height, width, channels] }: TensorSpec, { shape }: TensorSpec, interpolation: Interpolation) {
  const [newHeight, newWidth] = shape;
  return {
    ...{ height, width, channels, newHeight, newWidth, bilinear: interpolation === 'bilinear' ? 1 : 0 },
    ...{ rowScale: Math.fround(height / newHeight), columnScale: Math.fround(width / newWidth) },
  };
}

export const resize = {
  resize({ args: { x }, results: { y }, attrs: { interpolation } }, { spec, address }) {
    return [call('resize', { x: address(x), y: address(y), ...sizesOf(spec(x), spec(y), interpolation) })];
  },
  resizeGrad({ args: { dy }, results: { dx }, attrs: { interpolation } }, { spec, address }) {
    return [call('resizeGrad', { x: address(dx), y: address(dy), ...sizesOf(spec(dx), spec(dy), interpolation) })];
  },
} satisfies Partial<Lowerings>;
