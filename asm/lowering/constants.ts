// Known numbers to calls of asm/kernels/constants.ts.

import { elementCount } from '../../runtime/ir/graph.ts';
import { affineCoefficients } from '../../runtime/ops/constants.ts';
import { callsOf, type Kernels, type Lowerings } from './lowering.ts';

/** Argument blocks of these kernels. */
export const constantsKernels = {
  affine: { x: 'ptr', y: 'ptr', elements: 'i32', coefficients: ['coefficients'] },
  fill: { y: 'ptr', elements: 'i32', value: 'f32', perSample: 'flag' },
} as const satisfies Kernels;
const call = callsOf(constantsKernels);

export const constants = {
  affine({ args: { x }, results: { y }, attrs }, { spec, address }) {
    return [call('affine', { x: address(x), y: address(y), elements: elementCount(spec(x)), coefficients: affineCoefficients(attrs) })];
  },
  fill({ results: { y }, attrs: { value } }, { spec, address }) {
    const { perSample } = spec(y);
    return [call('fill', { y: address(y), elements: elementCount(spec(y)), value, perSample })];
  },
} satisfies Partial<Lowerings>;
