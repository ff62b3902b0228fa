// Activation functions in ONNX's operators.

import type { ActivationName } from '../../layers/activations.ts';
import type { Emitter } from './emitter.ts';

export const activate = (e: Emitter, activation: ActivationName, x: string, name: string): string => ACTIVATIONS[activation](e, x, name);

const ACTIVATIONS: Readonly<Record<ActivationName, (e: Emitter, x: string, name: string) => string>> = {
  linear: (_e, x) => x,
  // Of the last layer: an ONNX file gives logits.
  softmax: (_e, x) => x,
  relu: (e, x, name) => e.node('Relu', `${name}/relu`, [x]),
  gelu(e, x, name) {
    // x/√2, erf, + 1, · x, · 1/2 in this order is the form that ONNX Runtime knows and replaces by one kernel.
    const divided = e.node('Div', `${name}/gelu/div`, [x, e.scalar('gelu/sqrt2', Math.SQRT2)]);
    const erf = e.node('Erf', `${name}/gelu/erf`, [divided]);
    const plusOne = e.node('Add', `${name}/gelu/add`, [erf, e.scalar('gelu/one', 1)]);
    const product = e.node('Mul', `${name}/gelu/mul`, [x, plusOne]);
    return e.node('Mul', `${name}/gelu`, [product, e.scalar('gelu/half', 0.5)]);
  },
};
