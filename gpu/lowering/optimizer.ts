// The update phase to kernels of gpu/kernels/optimizer.ts. The gradients of finiteCheck and gradientScale, and the tensors of an optimizer are those of the
// plan's flat ranges, all of them in order, so that each op is one kernel over whole ranges.

import type { Constants } from '../../runtime/base/constants.ts';
import { byteLength, elementCount, type ValueId } from '../../runtime/ir/graph.ts';
import { runsOf } from '../../runtime/ops/optimizer.ts';
import { type FlatName, ofEach, slotsOf } from '../../runtime/optim/index.ts';
import type { OptimizerRule } from '../../runtime/optim/rule.ts';
import * as kernels from '../kernels/optimizer.ts';
import type { GpuNode } from '../ops/index.ts';
import { KernelOperands } from './kernel.ts';
import { GROWTH_INTERVAL, INITIAL_EXPONENT, MOST_EXPONENT } from './loss-scale.ts';
import type { Dispatch, LoweringContext, Lowerings } from './lowering.ts';
import { RANGE_ALIGNMENT } from './storage.ts';

/** Accesses of the ranges, about: their padding is not known here, and kernels stride over what there is. */
const elements = (ids: readonly number[], { spec }: LoweringContext): number => ids.reduce((sum, id) => sum + elementCount(spec(id)), 0);

const SCALE_RULES: kernels.ScaleRules = { initial: INITIAL_EXPONENT, most: MOST_EXPONENT, interval: GROWTH_INTERVAL };

/** Workgroups of a kernel that strides over a range, `most` at most. */
export const strided = (accesses: number, most: number): Dispatch['workgroups'] => {
  const groups = [Math.min(most, Math.max(1, Math.ceil(accesses / kernels.UPDATE_INVOCATIONS))), 1, 1] as const;
  return () => groups;
};

export const optimizer = {
  finiteCheck: ({ args: { loss, gradients = [] }, results: { ok } }, context) => lowerFiniteCheck(loss, gradients, { ok }, context),

  finiteCheckScaled: ({ args: { loss, gradients = [] }, results: { ok, overflow }, updates: [scale] }, context) =>
    lowerFiniteCheck(loss, gradients, { ok, overflow, scale }, context),

  gradientScale({ args: { gradients }, results: { scale }, attrs: { norm } }, context) {
    const groups = strided(elements(gradients, context), kernels.CHECK_GROUPS);
    const count = groups(1)[0];
    const sums = context.scratch(Math.ceil(count / 4) * 16);
    return [
      ...new KernelOperands('squareGroups', context)
        .raw('gradients', { range: 'gradients' }, 'read', 1)
        .raw('sums', sums, 'read_write', 1)
        .dispatch(kernels.squareGroups, groups),
      ...new KernelOperands('squareMerge', context)
        .raw('sums', sums, 'read', 1)
        .write('scale', scale)
        .dispatch(kernels.squareMerge(count, norm as number), () => [1, 1, 1]),
    ];
  },

  ...ofEach(lowerUpdate),

  countStep(node, context) {
    return new KernelOperands('countStep', context)
      .read('ok', node.args.ok)
      .write('counter', node.updates[0])
      .dispatch(kernels.countStep, () => [1, 1, 1]);
  },
} satisfies Partial<Lowerings>;

/** With `scale` the loss scale moves, too. */
function lowerFiniteCheck(
  loss: ValueId,
  gradients: readonly ValueId[],
  { ok, overflow, scale }: { readonly ok: ValueId; readonly overflow?: ValueId; readonly scale?: ValueId },
  context: LoweringContext,
): Dispatch[] {
  const rules = scale === undefined ? undefined : SCALE_RULES;
  const groups = gradients.length ? strided(elements(gradients, context), kernels.CHECK_GROUPS) : undefined;
  const count = groups?.(1)[0] ?? 0;
  const merge = new KernelOperands('finiteMerge', context)
    .raw('loss', { value: loss }, 'read', 1, 'u32')
    .write('ok', ok)
    .write('overflow', overflow)
    .write('scale', scale);
  if (!groups) return merge.dispatch(kernels.finiteMerge(0, rules), () => [1, 1, 1]);
  const flags = context.scratch(Math.ceil(count / 4) * 16);
  return [
    ...new KernelOperands('finiteGroups', context)
      .raw('gradients', { range: 'gradients' }, 'read', 1, 'u32')
      .raw('flags', flags, 'read_write', 1, 'u32')
      .dispatch(kernels.finiteGroups, groups),
    ...merge.raw('flags', flags, 'read', 1, 'u32').dispatch(kernels.finiteMerge(count, rules), () => [1, 1, 1]),
  ];
}

/** An optimizer's op to its kernel, over whole flat ranges. */
function lowerUpdate(rule: OptimizerRule) {
  return (node: GpuNode<FlatName>, context: LoweringContext): Dispatch[] => {
    const { ok, counter, gradients, scale } = node.args;
    const constants = node.attrs as unknown as Constants;
    const padded = (id: number) => Math.ceil(byteLength(context.spec(id), 1) / RANGE_ALIGNMENT) * (RANGE_ALIGNMENT / 4);
    let members = 0;
    let end = 0;
    const groups = runsOf(node.attrs, gradients.length).map(({ count, rate, decay }) => {
      const begin = end;
      for (const last = members + count; members < last; members++) end += padded(gradients[members]);
      return { begin, end, rate, decay };
    });
    const operands = new KernelOperands(rule.name, context)
      .read('ok', ok)
      .read('counter', counter)
      .raw('g', { range: 'gradients' }, 'read', 1)
      .read('scale', scale)
      .raw('w', { range: 'parameters' }, 'read_write', 1);
    for (const slot of slotsOf(rule, constants)) operands.raw(slot, { range: `slot:${slot}` }, 'read_write', 1);
    const text = kernels.update(rule.name as FlatName, constants, groups, scale !== undefined);
    return operands.dispatch(text, strided(elements(gradients, context), 4096));
  };
}
