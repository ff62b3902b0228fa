// Known numbers to calls of asm/kernels/constants.ts.

import { elementCount } from '../../runtime/ir/graph.ts';
import { affineCoefficients } from '../../runtime/ops/constants.ts';
import { call, type Lowerings } from './lowering.ts';

export const constants = {
  affine({ args: { x }, results: { y }, attrs }, { spec, address }) {
    return [call('affine', { x: address(x), y: address(y), elements: elementCount(spec(x)), coefficients: affineCoefficients(attrs) })];
  },
  fill({ results: { y }, attrs: { value } }, { spec, address }) {
    const { perSample } = spec(y);
    return [call('fill', { y: address(y), elements: elementCount(spec(y)), value, perSample })];
  },
} satisfies Partial<Lowerings>;
