// Layers that make one tensor of several.

import { defineLayer } from './define-layer.ts';
import { fixed } from './kinds.ts';

export const Add = defineLayer({
  type: 'Add',
  reads: 'list',
  config: {},
  build: ({ g, inputs }) => inputs.slice(1).reduce((sum, x) => g.one('add', [sum, x]), inputs[0]),
});

/** Of tensors of one shape. */
export const Multiply = defineLayer({
  type: 'Multiply',
  reads: 'list',
  config: {},
  build: ({ g, inputs }) => inputs.slice(1).reduce((a, b) => g.one('mul', { a, b }), inputs[0]),
});

/** By channels, the last axis. */
export const Concatenate = defineLayer({
  type: 'Concatenate',
  reads: 'list',
  config: { axis: { ...fixed(-1), read: (given: unknown) => (given === -1 || given === 3 ? -1 : undefined) } },
  build({ g, inputs, refuse }) {
    const shapes = inputs.map((id) => g.spec(id).shape);
    const [first] = shapes;
    if (!shapes.every((shape) => shape.length === first.length && `${shape.slice(0, -1)}` === `${first.slice(0, -1)}`))
      refuse(`reads [${shapes.join('] and [')}], which differ before the last axis`, 'Give it tensors that differ in channels alone.');
    const pixels = first.length === 3 ? first.slice(0, 2) : [first.slice(0, -1).reduce((product, n) => product * n, 1), 1];
    const channels = shapes.map((shape) => shape[shape.length - 1]);
    const total = channels.reduce((sum, n) => sum + n, 0);
    const parts = inputs.map((id, i) => {
      const x = first.length === 3 ? id : g.one('reshape', [id], { shape: [...pixels, channels[i]] });
      const before = channels.slice(0, i).reduce((sum, n) => sum + n, 0);
      return g.one('frame', { x }, { offset: [0, 0, before], shape: [...pixels, total] });
    });
    const y = parts.slice(1).reduce((sum, part) => g.one('add', [sum, part]), parts[0]);
    return first.length === 3 ? y : g.one('reshape', [y], { shape: [...first.slice(0, -1), total] });
  },
});
