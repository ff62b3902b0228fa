// Normalisation.

import { type Converter, IMAGE, type Rules } from './converter.ts';
import { axisOf } from './fold.ts';
import { nameOf } from './names.ts';
import type { NodeView } from './node-view.ts';
import { Value } from './value.ts';

export const normalization: Rules = {
  BatchNormalization(c, node) {
    const x = node.value();
    if (node.integer('training_mode', 0) !== 0 || node.integer('spatial', 1) !== 1) node.refuse('is that of training, or has spatial 0');
    const [epsilon, momentum] = [node.number('epsilon', 1e-5), node.number('momentum', 0.9)];
    const [channels] = x.shape;
    const read = (input: number) => node.vector(input, channels);
    const [gamma, beta, mean, variance] = [read(1), read(2), read(3), read(4)];
    const from = x.shape.length === 3 ? new Value(x.shape, IMAGE, c.image(node, x)) : c.withLast(x, 0);
    const weights = () => ({ gamma, beta, moving_mean: mean, moving_variance: variance });
    return from.map((tensor) => c.layer('BatchNormalization', { epsilon, momentum: within(momentum) }, tensor, weights, nameOf(node)));
  },
  LayerNormalization(c, node) {
    const x = node.value();
    const axis = axisOf(node, node.integer('axis', -1), x.shape.length + 1) - 1;
    if (axis !== x.shape.length - 1)
      node.refuse(`has axis ${axis + 1} of [${['samples', ...x.shape].join(', ')}], and the last one is read`);
    const epsilon = node.number('epsilon', 1e-5);
    node.integer('stash_type', 1);
    const channels = x.shape[axis];
    return layerNormalization(c, node, x, axis, epsilon, {
      gamma: node.vector(1, channels),
      beta: node.optional(2) && node.vector(2, channels),
    });
  },
};

const within = (share: number): number => Math.min(Math.max(share, 0), 1);

interface Affine {
  readonly gamma?: Float32Array;
  readonly beta?: Float32Array;
}

/** Over one axis; what lacks a factor or an addend may get it of the next node. */
export function layerNormalization(c: Converter, node: NodeView, x: Value, axis: number, epsilon: number, { gamma, beta }: Affine): Value {
  const from = c.withLast(x, axis);
  const name = nameOf(node);
  const build = () =>
    c.layer(
      'LayerNormalization',
      { epsilon, scale: gamma !== undefined, center: beta !== undefined },
      from.tensor,
      () => ({ ...(gamma && { gamma }), ...(beta && { beta }) }),
      name,
    );
  if (beta) return new Value(x.shape, from.order, build());
  return new Value(x.shape, from.order, build, {
    made: {
      kind: 'normalized',
      with: (more) => (more.gamma && gamma ? undefined : layerNormalization(c, node, x, axis, epsilon, { gamma, ...more })),
    },
  });
}
