// The update phase to calls of asm/kernels/optimizer.ts.

import type { Constants } from '../../runtime/base/constants.ts';
import { invariant } from '../../runtime/base/errors.ts';
import { RANGE_ALIGNMENT } from '../../runtime/compile/plan.ts';
import { byteLength, type ValueId } from '../../runtime/ir/graph.ts';
import { runsOf } from '../../runtime/ops/optimizer.ts';
import { type ConstantsOf, type FlatName, ofEach, type SlotOf, slotsOf } from '../../runtime/optim/index.ts';
import type { OptimizerRule } from '../../runtime/optim/rule.ts';
import { CHUNK } from '../abi/constants.ts';
import type { ValuesOf } from '../abi/fields.ts';
import { callsOf, type Kernels, type Lowering, type LoweringContext } from './lowering.ts';

/** Argument blocks of these kernels. */
const table = {
  finiteChunks: { flags: 'ptr', ranges: ['range'] },
  finiteMerge: { flags: 'ptr', count: 'i32', ok: 'ptr' },
  squareChunks: { sums: 'ptr', ranges: ['range'] },
  squareMerge: { sums: 'ptr', count: 'i32', norm: 'f64', scale: 'ptr' },
  countStep: { ok: 'ptr', counter: 'ptr' },
} as const satisfies Kernels;

/** The kernel of an optimizer: flat ranges of the trained parameters, what the rule keeps, its constants, and the groups of parameters. */
type UpdateFields<N extends FlatName> = {
  readonly [K in 'ok' | 'counter' | 'gradients' | 'parameters']: 'ptr';
} & { readonly scale: 'ptr?' } & { readonly [S in SlotOf<N>]: 'ptr?' } & {
  readonly [C in keyof ConstantsOf<N>]: ConstantsOf<N>[C] extends boolean ? 'flag' : 'f64';
} & { readonly groups: readonly ['parameterGroup'] };

const updates = ofEach(({ slots, constants }) => ({
  ...{ ok: 'ptr', counter: 'ptr', gradients: 'ptr', scale: 'ptr?', parameters: 'ptr' },
  ...Object.fromEntries(slots.map((slot) => [slot, 'ptr?'])),
  ...Object.fromEntries(Object.entries(constants).map(([name, { usual }]) => [name, typeof usual === 'boolean' ? 'flag' : 'f64'])),
  groups: ['parameterGroup'],
})) as unknown as { readonly [N in FlatName]: UpdateFields<N> };

export const optimizerKernels = { ...table, ...updates };
const call = callsOf(optimizerKernels);

/** Where the next tensor of a flat range of the plan begins: at a whole vector, the padding zero. */
const padded = (end: number): number => Math.ceil(end / RANGE_ALIGNMENT) * RANGE_ALIGNMENT;

/**
 * Memory of tensors: those that follow one another but for padding, such as the gradients, are one range. What lies behind the last of them is
 * somebody else's.
 */
function rangesOf(ids: readonly ValueId[], { spec, address }: LoweringContext) {
  const ranges: { begin: number; end: number }[] = [];
  for (const id of ids) {
    const begin = address(id);
    const end = begin + byteLength(spec(id), 1);
    const last = ranges.at(-1);
    if (last && padded(last.end) === begin) last.end = end;
    else ranges.push({ begin, end });
  }
  return {
    ranges: ranges.map(({ begin, end }) => ({ address: begin, elements: (end - begin) / 4 })),
    chunks: ranges.reduce((sum, { begin, end }) => sum + Math.ceil((end - begin) / 4 / CHUNK), 0),
  };
}

export const optimizer = {
  finiteCheck(node, context) {
    const { ranges, chunks } = rangesOf(node.inputs, context);
    const flags = context.scratch(chunks * 4);
    return [call('finiteChunks', { flags, ranges }), call('finiteMerge', { flags, count: chunks, ok: context.address(node.outputs[0]) })];
  },

  gradientScale(node, context) {
    const { ranges, chunks } = rangesOf(node.inputs, context);
    const sums = context.scratch(chunks * 8);
    const scale = context.address(node.outputs[0]);
    return [call('squareChunks', { sums, ranges }), call('squareMerge', { sums, count: chunks, norm: node.attrs.norm as number, scale })];
  },

  ...ofEach(lowerUpdate),

  countStep(node, { address }) {
    return [call('countStep', { ok: address(node.inputs[0]), counter: address(node.updates[0]) })];
  },
} satisfies Record<string, Lowering>;

interface UpdateOperands {
  readonly ok: ValueId;
  readonly counter: ValueId;
  readonly gradients: readonly ValueId[];
  readonly scale?: ValueId;
}

/** An optimizer's op to its kernel, over whole flat ranges. */
function lowerUpdate(rule: OptimizerRule): Lowering {
  return (node, { spec, address }) => {
    const { ok, counter, gradients, scale } = node.args as unknown as UpdateOperands;
    const constants = node.attrs as Constants;
    const slots = slotsOf(rule, constants);
    const count = gradients.length;
    const ranges = [gradients, ...[undefined, ...slots].map((_, r) => node.updates.slice(r * count, (r + 1) * count))];
    const starts = ranges.map(([first]) => address(first));
    const ends: number[] = [];
    for (const [k, id] of gradients.entries()) {
      const begin = ends.at(-1) ?? 0;
      for (const [r, range] of ranges.entries())
        invariant(address(range[k]) === starts[r] + begin, `tensor ${k} of a flat range is not where the plan promises it`);
      ends.push(begin + padded(byteLength(spec(id), 1)));
    }
    let end = 0;
    const groups = runsOf(node.attrs, count).map(({ count: members, rate, decay }) => {
      const begin = end === 0 ? 0 : ends[end - 1];
      end += members;
      return { elements: (ends[end - 1] - begin) / 4, rate, decay };
    });
    const [from, parameters, ...kept] = starts;
    const args = {
      ...{
        ok: address(ok),
        counter: address(counter),
        gradients: from,
        scale: scale === undefined ? undefined : address(scale),
        parameters,
      },
      ...Object.fromEntries(rule.slots.map((slot, s) => [slot, kept[s]])),
      ...Object.fromEntries(Object.keys(rule.constants).map((name) => [name, constants[name]])),
      groups,
    };
    return [call(rule.name as FlatName, args as unknown as ValuesOf<(typeof optimizerKernels)[FlatName]>)];
  };
}
