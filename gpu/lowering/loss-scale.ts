// Loss scaling: where activations' gradients pass through f16, whose smallest numbers are 6e-8, the gradient of the loss is multiplied by a
// power of two, so that small ones do not vanish, and the gradients of the parameters are divided by it as they are stored. Both are
// exact. Where a gradient then is not finite the scale was too large: the step changes nothing and the scale is halved; after
// many good steps it is doubled.
//
// The scale lives on the GPU among the state, so that no step waits for the host, and checkpoints have it: two integers, both zero at the start.

import { type Graph, makeNode, type Value } from '../../runtime/ir/graph.ts';

/** Name of the state: the exponent of the scale, from INITIAL_EXPONENT, and the good steps since it changed. */
export const LOSS_SCALE = 'optimizer/loss_scale';
/** 2^15: of the scales from 2^12 to 2^16 that keep gradients of 1e-6 as exact as large ones, one that leaves room on either side. */
export const INITIAL_EXPONENT = 15;
/** Gradients below 2^-48 vanish at this scale, and none that matters is as small. (The lowest is 1: what is not finite there is no matter of the scale.) */
export const MOST_EXPONENT = 24;
/** Good steps after which the scale is doubled. */
export const GROWTH_INTERVAL = 2000;

/** Whether `scaleLoss` made the graph. */
export const isLossScaled = (graph: Graph): boolean => graph.outputs.overflow !== undefined;

/**
 * The graph of a training step with its loss scaled: the gradient of the loss and the finite check are the scaled ones of gpu/ops, and there
 * is an output `overflow`. Other graphs stay as they are.
 */
export function scaleLoss(graph: Graph): Graph {
  if (graph.gradients.length === 0) return graph;
  const id = graph.values.length;
  const scale: Value = { id, name: LOSS_SCALE, spec: { dtype: 'i32', shape: [2], perSample: false }, role: 'state', state: 'scale' };
  const overflow: Value = { id: id + 1, name: 'overflow', spec: { dtype: 'i32', shape: [1], perSample: false }, role: 'temporary' };
  const nodes = graph.nodes.map((node) => {
    if (node.op === 'softmaxCrossEntropyGrad') return makeNode({ ...node, op: 'softmaxCrossEntropyGradScaled' });
    if (node.op === 'finiteCheck')
      return makeNode({ ...node, op: 'finiteCheckScaled', results: { ...node.results, overflow: overflow.id }, updates: [scale.id] });
    return node;
  });
  return { ...graph, nodes, values: [...graph.values, scale, overflow], outputs: { ...graph.outputs, overflow: overflow.id } };
}
