// Layers that make one tensor of several. Sizes along an axis are equal or 1, which stands for all.

import type { ValueId } from '../ir/graph.ts';
import { defineLayer, type Site } from './define-layer.ts';
import type { Kind } from './kinds.ts';

/** The operands, each in the shape that all have together. */
function broadcast({ g, inputs, refuse }: Site<unknown>): ValueId[] {
  const shapes = inputs.map((id) => g.spec(id).shape);
  const [first] = shapes;
  const target = first.map((_, axis) => shapes.reduce((most, shape) => Math.max(most, shape[axis]), 1));
  const fits = shapes.every((shape) => shape.length === first.length && shape.every((n, axis) => n === 1 || n === target[axis]));
  if (!fits || (first.length > 3 && !shapes.every((shape) => `${shape}` === `${first}`)))
    refuse(
      `reads [${shapes.map((shape) => shape.join(', ')).join('] and [')}], which do not go together`,
      'Give it tensors of one shape, or of size 1 along an axis.',
    );
  return inputs.map((id) => g.repeated(id, target));
}

const pairwise = (site: Site<unknown>, join: (a: ValueId, b: ValueId) => ValueId): ValueId => broadcast(site).reduce(join);

export const Add = defineLayer({
  type: 'Add',
  reads: 'list',
  config: {},
  build: (site) => pairwise(site, (a, b) => site.g.one('add', [a, b])),
});

/** The first less the second. */
export const Subtract = defineLayer({
  type: 'Subtract',
  reads: 'list',
  config: {},
  build(site) {
    const { g, inputs, refuse } = site;
    if (inputs.length !== 2) refuse(`reads two tensors, but was given ${inputs.length}`, 'Subtract one from another.');
    const [a, b] = broadcast(site);
    return g.one('subtract', { a, b });
  },
});

export const Multiply = defineLayer({
  type: 'Multiply',
  reads: 'list',
  config: {},
  build: (site) => pairwise(site, (a, b) => site.g.one('mul', { a, b })),
});

/** The mean of them. */
export const Average = defineLayer({
  type: 'Average',
  reads: 'list',
  config: {},
  build: (site) => site.g.one('affine', { x: pairwise(site, (a, b) => site.g.one('add', [a, b])) }, { scale: 1 / site.inputs.length }),
});

export const Maximum = defineLayer({
  type: 'Maximum',
  reads: 'list',
  config: {},
  build: (site) => pairwise(site, (a, b) => site.g.one('extreme', { a, b }, { of: 'maximum' })),
});

export const Minimum = defineLayer({
  type: 'Minimum',
  reads: 'list',
  config: {},
  build: (site) => pairwise(site, (a, b) => site.g.one('extreme', { a, b }, { of: 'minimum' })),
});

/** An axis, counted from the samples or from the end. */
const axis: Kind<number, number, true> = {
  expected: 'a whole number: the axis, counted from the samples, which are 0, or from the end, which is -1',
  read: (given) => (Number.isSafeInteger(given) && given !== 0 ? (given as number) : undefined),
  fallback: () => -1,
};

/** Beside each other, by channels unless another axis is given. */
export const Concatenate = defineLayer({
  type: 'Concatenate',
  reads: 'list',
  config: { axis },
  build({ g, config, inputs, refuse }) {
    const shapes = inputs.map((id) => g.spec(id).shape);
    const [first] = shapes;
    const along = config.axis < 0 ? first.length + config.axis : config.axis - 1;
    const others = (shape: readonly number[]) => `${shape.map((n, k) => (k === along ? '' : n))}`;
    if (!(along >= 0 && along < first.length)) refuse(`has axis ${config.axis}, and reads [${first.join(', ')}]`, 'Give one of its axes.');
    if (!shapes.every((shape) => shape.length === first.length && others(shape) === others(first)))
      refuse(
        `reads [${shapes.map((shape) => shape.join(', ')).join('] and [')}], which differ along other axes than ${config.axis}`,
        'Give it tensors that differ along that axis alone.',
      );
    // What comes before the axis are pixels, and the rest is channels.
    const pixels = first.slice(0, along).reduce((product, n) => product * n, 1);
    const parts = inputs.map((id, k) => {
      const { shape } = g.spec(id);
      if (along === 2 && shape.length === 3) return id;
      const channels = shapes[k].slice(along).reduce((product, n) => product * n, 1);
      return g.one('reshape', { x: id }, { shape: [pixels, 1, channels] });
    });
    const y = g.one('concat', { parts });
    if (along === 2 && first.length === 3) return y;
    const total = shapes.reduce((sum, shape) => sum + shape[along], 0);
    return g.one('reshape', { x: y }, { shape: first.map((n, k) => (k === along ? total : n)) });
  },
  // The last axis has two numbers.
  reduced: (config) => (config.axis === 3 ? { axis: -1 } : config),
});
