// The update phase to calls of asm/kernels/optimizer.ts.

import { invariant } from '../../runtime/base/errors.ts';
import { RANGE_ALIGNMENT } from '../../runtime/compile/plan.ts';
import { byteLength } from '../../runtime/ir/graph.ts';
import { f32, type Lowering, type Word } from './lowering.ts';

/** Elements of a chunk: CHUNK of asm/lib/chunks.ts. */
const CHUNK = 16384;

/** An f64 as two words. */
const f64 = (value: number): Word[] => [...new Int32Array(new Float64Array([value]).buffer)];

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
    const words = ranges.flatMap(({ begin, end }) => [begin, (end - begin) / 4]);
    const chunks = ranges.reduce((sum, { begin, end }) => sum + Math.ceil((end - begin) / 4 / CHUNK), 0);
    const flags = scratch(chunks * 4);
    return [
      { kernel: 'finiteChunks', args: [flags, ranges.length, ...words] },
      { kernel: 'finiteMerge', args: [flags, chunks, address(node.outputs[0])] },
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
    const constants = [f32(1 - beta1), f32(1 - beta2), f32(epsilon), ...f64(beta1), ...f64(beta2)];
    return [{ kernel: 'adamw', args: [address(ok), address(counter), ...starts, elements, ...constants] }];
  },

  countStep(node, { address }) {
    return [{ kernel: 'countStep', args: [address(node.inputs[0]), address(node.updates[0])] }];
  },
} satisfies Record<string, Lowering>;
