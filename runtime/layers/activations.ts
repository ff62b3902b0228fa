// Activation functions by Keras' names: what each adds to a graph. Layers with a setting `activation`, and those that are one, read this table,
// which follows from that of the ops (runtime/ops/activations.ts).

import type { GraphBuilder, ValueId } from '../ir/graph.ts';
import { ACTIVATION_NAMES, type Activation, ACTIVATIONS as FORMULAS, type KerasName } from '../ops/activations.ts';
import type { Kind } from './kinds.ts';

/** An activation function. */
export type ActivationName = 'linear' | 'softmax' | KerasName;

/** The op of each, by all of its names. */
const OPS = new Map(ACTIVATION_NAMES.flatMap((op) => FORMULAS[op].keras.map((name) => [name, op] as const)));

const NAMES = ['linear', ...ACTIVATION_NAMES.flatMap((op) => FORMULAS[op].keras.slice(0, 1)), 'softmax'] as ActivationName[];

/** The op of an activation that works element by element; undefined: it computes nothing, or is softmax. */
export const activationOp = (name: ActivationName): Activation | undefined => OPS.get(name);

export const ACTIVATIONS = Object.fromEntries(
  NAMES.map((name) => {
    const op = name === 'softmax' ? name : activationOp(name);
    // What a model ends with is left to the loss: it computes logits.
    return [name, (g: GraphBuilder, x: ValueId) => (op && (g as { end?: string }).end !== name ? g.one(op, [x]) : x)];
  }),
) as Readonly<Record<ActivationName, (g: GraphBuilder, x: ValueId) => ValueId>>;

/** Its name; in a file also a function of Keras' as an object with that name. */
export const activation: Kind<ActivationName, ActivationName, false> = {
  expected: NAMES.join(', '),
  read: (given) => {
    const name = typeof given === 'object' && given !== null ? (given as { config?: unknown }).config : given;
    const op = OPS.get(name as string);
    return op ? (FORMULAS[op].keras[0] as ActivationName) : NAMES.find((known) => known === name);
  },
};
