// A step of Muon with a matrix to kernels of gpu/kernels/muon.ts.

import { ceilTo } from '../../runtime/base/units.ts';
import { elementCount } from '../../runtime/ir/graph.ts';
import { type MatrixConstants, matrixRate, matrixSizes } from '../../runtime/optim/muon.ts';
import * as kernels from '../kernels/muon.ts';
import { CHECK_GROUPS } from '../kernels/optimizer.ts';
import { foldedGroups } from '../kernels/wgsl.ts';
import { KernelOperands } from './kernel.ts';
import type { Dispatch, LoweringContext, Lowerings, Operand } from './lowering.ts';
import { strided } from './optimizer.ts';
import { tileFor } from './product-tile.ts';

export const matrixUpdates = {
  muon({ args: { ok, gradient, scale }, updates: [parameter, moment], attrs }, context) {
    const constants = attrs as unknown as MatrixConstants;
    const { rate = 1, decay = 1 } = attrs;
    const { shape } = context.spec(gradient);
    const elements = elementCount(context.spec(gradient));
    const { rows, columns } = matrixSizes(shape);
    const [length, side] = [Math.max(rows, columns), Math.min(rows, columns)];
    const stride = ceilTo(side, 4);
    const sizes = { length, side, stride, transposed: rows < columns };
    const isScaled = scale !== undefined;
    const groups = strided(elements, CHECK_GROUPS);
    const count = groups(1)[0];
    const sums = context.scratch(ceilTo(4 * count, 16));
    const size = context.scratch(16);
    const [first, second] = [length, length].map((n) => context.scratch(4 * n * stride));
    const [gram, polynomial] = [stride, stride].map((n) => context.scratch(4 * n * stride));
    const overElements = (n: number): Dispatch['workgroups'] => {
      const folded = foldedGroups(n, kernels.MATRIX_INVOCATIONS);
      return () => folded;
    };
    const dispatches = [
      ...new KernelOperands('muonMomentum', context)
        .read('ok', ok)
        .read('gradient', gradient)
        .read('scale', scale)
        .write('moment', moment)
        .raw('sums', sums, 'read_write')
        .dispatch(kernels.muonMomentum(elements, constants, isScaled), groups),
      ...new KernelOperands('muonLength', context)
        .raw('sums', sums, 'read')
        .raw('size', size, 'read_write')
        .dispatch(kernels.muonLength(count), () => [1, 1, 1]),
      ...new KernelOperands('muonNormalize', context)
        .read('gradient', constants.nesterov ? gradient : undefined)
        .read('scale', constants.nesterov ? scale : undefined)
        .read('moment', moment)
        .raw('size', size, 'read')
        .raw('x', first, 'read_write')
        .dispatch(kernels.muonNormalize(sizes, constants, isScaled), overElements(length * stride)),
    ];
    for (let step = 0; step < constants.steps; step++) {
      const [x, y] = step % 2 === 0 ? [first, second] : [second, first];
      dispatches.push(
        ...gramOf(x, length, stride, gram, false, context),
        ...gramOf(gram, stride, stride, polynomial, true, context),
        ...multiplied(x, length, stride, polynomial, y, context),
      );
    }
    return [
      ...dispatches,
      ...new KernelOperands('muonApply', context)
        .read('ok', ok)
        .raw('x', constants.steps % 2 === 0 ? first : second, 'read')
        .write('w', parameter)
        .dispatch(kernels.muonApply(sizes, { rate, decay, size: matrixRate(shape, constants.rmsRate) }), overElements(elements)),
    ];
  },
} satisfies Partial<Lowerings>;

/** The tile of a product [rows, stride], and its workgroups. No race: these products are a small part of a step. */
function cut(rows: number, depth: number, stride: number, { limits, features }: LoweringContext) {
  const { tile } = tileFor({ product: 'muon', rows, depth, columns: stride }, { limits, features });
  const workgroups = (): [number, number, number] => [Math.ceil(stride / tile.bn), Math.ceil(rows / tile.bm), 1];
  return { tile, workgroups };
}

function gramOf(x: Operand, length: number, stride: number, y: Operand, polynomial: boolean, context: LoweringContext): Dispatch[] {
  const { tile, workgroups } = cut(stride, length, stride, context);
  const lanes = kernels.matrixLanes(tile);
  return new KernelOperands('muonGram', context)
    .raw('x', x, 'read', lanes)
    .raw('y', y, 'read_write', lanes)
    .dispatch(kernels.muonGram(length, stride, tile, polynomial), workgroups);
}

function multiplied(x: Operand, length: number, stride: number, right: Operand, y: Operand, context: LoweringContext): Dispatch[] {
  const { tile, workgroups } = cut(length, stride, stride, context);
  const lanes = kernels.matrixLanes(tile);
  return new KernelOperands('muonMultiply', context)
    .raw('x', x, 'read', lanes)
    .raw('right', right, 'read', lanes)
    .raw('y', y, 'read_write', lanes)
    .dispatch(kernels.muonMultiply(length, stride, tile), workgroups);
}
