// Activation functions by Keras' names: what each adds to a graph. Layers with a setting `activation`, and those that are one, read this table.

import type { GraphBuilder, ValueId } from '../ir/graph.ts';
import type { Kind } from './kinds.ts';

export const ACTIVATIONS = {
  linear: (_g, x) => x,
  relu: (g, x) => g.one('relu', [x]),
  gelu: (g, x) => g.one('gelu', [x]),
  // Of the last layer only, where the loss does it: a model computes logits.
  softmax: (_g, x) => x,
} as const satisfies Record<string, (g: GraphBuilder, x: ValueId) => ValueId>;

/** An activation function. */
export type ActivationName = keyof typeof ACTIVATIONS;

const NAMES = Object.keys(ACTIVATIONS) as ActivationName[];

/** Its name; in a file also a function of Keras' as an object with that name. */
export const activation: Kind<ActivationName, ActivationName, false> = {
  expected: NAMES.join(', '),
  read: (given) => {
    const name = typeof given === 'object' && given !== null ? (given as { config?: unknown }).config : given;
    return NAMES.find((known) => known === name);
  },
};
