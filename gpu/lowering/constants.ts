// Known numbers to kernels of gpu/kernels/constants.ts.

import { elementCount } from '../../runtime/ir/graph.ts';
import { affineCoefficients } from '../../runtime/ops/constants.ts';
import * as kernels from '../kernels/constants.ts';
import { MAP_INVOCATIONS } from '../kernels/elementwise.ts';
import { foldedGroups, lanesFor } from '../kernels/wgsl.ts';
import { mapGroups } from './elementwise.ts';
import { KernelOperands } from './kernel.ts';
import type { Lowerings } from './lowering.ts';

export const constants = {
  affine({ args: { x }, results: { y }, attrs }, context) {
    const coefficients = affineCoefficients(attrs);
    const elements = elementCount(context.spec(x));
    const lanes = coefficients.length === 1 ? lanesFor(elements) : 1;
    const operands = new KernelOperands('affine', context).read('x', x, lanes).write('y', y, lanes);
    return operands.dispatch(kernels.affine(elements / lanes, coefficients), mapGroups(elements / lanes));
  },
  fill({ results: { y }, attrs: { value } }, context) {
    const spec = context.spec(y);
    const elements = elementCount(spec);
    if (!spec.perSample) {
      const groups = foldedGroups(elements, MAP_INVOCATIONS);
      return new KernelOperands('fill', context).write('y', y).dispatch(kernels.fillAll(elements, value), () => groups);
    }
    const lanes = lanesFor(elements);
    const operands = new KernelOperands('fill', context).write('y', y, lanes);
    return operands.dispatch(kernels.fillSamples(elements / lanes, value, lanes), mapGroups(elements / lanes));
  },
} satisfies Partial<Lowerings>;
