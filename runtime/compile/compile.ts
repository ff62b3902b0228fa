// The order of the passes. `prepare` is what every device does to a graph before it lowers it.

import type { Graph } from '../ir/graph.ts';
import { verify } from '../ir/verify.ts';
import { ops } from '../ops/index.ts';
import { differentiate } from './autodiff.ts';
import { expand } from './expand.ts';
import { fuse } from './fuse.ts';
import { addCalibration, addUpdate } from './optimize.ts';

/** A forward graph in training mode → the graph of a training step: forward, backward, update. */
export function trainingGraph(forward: Graph): Graph {
  verify(forward, ops, 'building');
  const differentiated = differentiate(forward);
  verify(differentiated, ops, 'autodiff');
  const updating = addUpdate(differentiated);
  verify(updating, ops, 'optimize');
  return updating;
}

/** A forward graph in training mode → the graph that only moves the moving statistics. */
export function calibrationGraph(forward: Graph): Graph {
  const graph = addCalibration(forward);
  verify(graph, ops, 'optimize');
  return graph;
}

/** Expanded and fused, ready to be planned. */
export function compileGraph(graph: Graph, { withoutRules = [] }: { withoutRules?: readonly string[] } = {}): Graph {
  const expanded = expand(graph);
  verify(expanded, ops, 'expand');
  const { graph: fused } = fuse(expanded, withoutRules);
  verify(fused, ops, 'fuse');
  return fused;
}
