// ONNX's form of the layers of layers/merging.ts.

import type { Emitter, OnnxRules } from './emitter.ts';

export const merging = {
  Add: { emit: (e, { name }, inputs) => chain(e, 'Add', name, inputs) },
  Multiply: { emit: (e, { name }, inputs) => chain(e, 'Mul', name, inputs) },
  Subtract: { emit: (e, { name }, inputs) => e.node('Sub', name, inputs) },
  Average: {
    emit: (e, { name, inputs: { length } }, inputs) =>
      e.node('Mul', `${name}/mean`, [chain(e, 'Add', name, inputs), e.scalar(`${name}/share`, 1 / length)]),
  },
  Maximum: { emit: (e, { name }, inputs) => chain(e, 'Max', name, inputs) },
  Minimum: { emit: (e, { name }, inputs) => chain(e, 'Min', name, inputs) },
  Concatenate: {
    emit(e, { name, inputShape, config }, inputs) {
      const axis = config.axis < 0 ? inputShape.length + config.axis : config.axis - 1;
      // Images have their channels first.
      return e.node('Concat', name, inputs, { axis: inputShape.length === 3 ? [2, 3, 1][axis] : axis + 1 });
    },
  },
} satisfies Partial<OnnxRules>;

/** An operator of two operands over a list, from left to right. */
function chain(e: Emitter, op: string, name: string, [first, ...others]: readonly string[]): string {
  return others.reduce((sum, x, i) => e.node(op, i === others.length - 1 ? name : `${name}/${i + 1}`, [sum, x]), first);
}
