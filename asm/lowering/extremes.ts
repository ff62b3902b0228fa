// The larger and the smaller of two tensors to calls of asm/kernels/extremes.ts.

import { elementCount } from '../../runtime/ir/graph.ts';
import { callsOf, type Kernels, type Lowerings } from './lowering.ts';

/** Argument blocks of these kernels. */
export const extremesKernels = {
  extreme: { a: 'ptr', b: 'ptr', y: 'ptr', elements: 'i32', minimum: 'flag' },
  /** `ofB`: the gradient for b. */
  extremeGrad: { dy: 'ptr', a: 'ptr', b: 'ptr', dx: 'ptr', elements: 'i32', minimum: 'flag', ofB: 'flag' },
} as const satisfies Kernels;
const call = callsOf(extremesKernels);

export const extremes = {
  extreme({ args: { a, b }, results: { y }, attrs: { of } }, { spec, address }) {
    return [call('extreme', { a: address(a), b: address(b), y: address(y), elements: elementCount(spec(y)), minimum: of === 'minimum' })];
  },
  extremeGrad({ args: { dy, a, b }, results: { dx }, attrs: { of, wanted } }, { spec, address }) {
    const operands = { dy: address(dy), a: address(a), b: address(b), dx: address(dx) };
    return [call('extremeGrad', { ...operands, elements: elementCount(spec(dx)), minimum: of === 'minimum', ofB: wanted === 'b' })];
  },
} satisfies Partial<Lowerings>;
