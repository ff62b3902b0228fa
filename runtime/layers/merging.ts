// Layers that make one tensor of several.

import { defineLayer } from './define-layer.ts';

export const Add = defineLayer({
  type: 'Add',
  reads: 'list',
  config: {},
  build: ({ g, inputs }) => inputs.slice(1).reduce((sum, x) => g.one('add', [sum, x]), inputs[0]),
});
