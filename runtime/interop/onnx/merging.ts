// ONNX's form of the layers of layers/merging.ts.

import type { Emitter, OnnxRules } from './emitter.ts';

export const merging = {
  Add: { emit: (e, { name }, inputs) => chain(e, 'Add', name, inputs) },
  Multiply: { emit: (e, { name }, inputs) => chain(e, 'Mul', name, inputs) },
  Concatenate: { emit: (e, { name, inputShape }, inputs) => e.node('Concat', name, inputs, { axis: inputShape.length === 2 ? 2 : 1 }) },
} satisfies Partial<OnnxRules>;

/** An operator of two operands over a list, from left to right. */
function chain(e: Emitter, op: string, name: string, [first, ...others]: readonly string[]): string {
  return others.reduce((sum, x, i) => e.node(op, i === others.length - 1 ? name : `${name}/${i + 1}`, [sum, x]), first);
}
