// The update phase to calls of asm/kernels/optimizer.ts.

import { invariant } from '../../runtime/base/errors.ts';
import { RANGE_ALIGNMENT } from '../../runtime/compile/plan.ts';
import { byteLength } from '../../runtime/ir/graph.ts';
import { CHUNK } from '../abi/constants.ts';
import { call, type Lowering } from './lowering.ts';

/** Where the next tensor of a flat range of the plan begins: at a whole vector, the padding zero. */
const padded = (end: number): number => Math.ceil(end / RANGE_ALIGNMENT) * RANGE_ALIGNMENT;

export const optimizer = {
  finiteCheck(node, { spec, address, scratch }) {
    // Tensors that follow one another but for padding, such as the gradients, are one range. What lies behind the last of
    // them is somebody else's.
    const ranges: { begin: number; end: number }[] = [];
    for (const id of node.inputs) {
      const begin = address(id);
      const end = begin + byteLength(spec(id), 1);
      const last = ranges.at(-1);
      if (last && padded(last.end) === begin) last.end = end;
      else ranges.push({ begin, end });
    }
    const chunks = ranges.reduce((sum, { begin, end }) => sum + Math.ceil((end - begin) / 4 / CHUNK), 0);
    const flags = scratch(chunks * 4);
    return [
      call('finiteChunks', { flags, ranges: ranges.map(({ begin, end }) => ({ address: begin, elements: (end - begin) / 4 })) }),
      call('finiteMerge', { flags, count: chunks, ok: address(node.outputs[0]) }),
    ];
  },

  adamw(node, { spec, address }) {
    const [ok, counter, ...gradients] = node.inputs;
    const count = gradients.length;
    const ranges = [gradients, node.updates.slice(0, count), node.updates.slice(count, 2 * count), node.updates.slice(2 * count)];
    const starts = ranges.map(([first]) => address(first));
    let elements = 0;
    for (let k = 0; k < count; k++) {
      for (const [r, range] of ranges.entries()) {
        invariant(address(range[k]) === starts[r] + elements * 4, `tensor ${k} of a flat range is not where the plan promises it`);
      }
      elements += padded(byteLength(spec(gradients[k]), 1)) / 4;
    }
    const { beta1, beta2, epsilon } = node.attrs as { beta1: number; beta2: number; epsilon: number };
    const [from, parameters, moments1, moments2] = starts;
    return [
      call('adamw', {
        ok: address(ok),
        counter: address(counter),
        gradients: from,
        parameters,
        moments1,
        moments2,
        elements,
        rest1: 1 - beta1,
        rest2: 1 - beta2,
        epsilon,
        beta1,
        beta2,
      }),
    ];
  },

  countStep(node, { address }) {
    return [call('countStep', { ok: address(node.inputs[0]), counter: address(node.updates[0]) })];
  },
} satisfies Record<string, Lowering>;
