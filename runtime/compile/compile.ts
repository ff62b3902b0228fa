// The order of the passes. `prepare` is what every device does to a graph before it lowers it.

import { refuseUnknownOptions } from '../base/kinds.ts';
import type { Graph } from '../ir/graph.ts';
import { verify } from '../ir/verify.ts';
import { ops } from '../ops/index.ts';
import { groupParameters, type ParameterGroup } from '../optim/groups.ts';
import { type OptimizerName, type OptimizerOptions, optimizerOf } from '../optim/index.ts';
import { differentiate } from './autodiff.ts';
import { expand } from './expand.ts';
import { fuse } from './fuse.ts';
import { matrixParameters } from './matrices.ts';
import { addCalibration, addUpdate } from './optimize.ts';

/** How parameters are trained. */
export interface UpdateOptions {
  /** AdamW by default. */
  readonly optimizer?: OptimizerName | OptimizerOptions;
  /** Groups of parameters with factors of their own, or frozen. */
  readonly groups?: readonly ParameterGroup[];
  /** Length of all gradients together, beyond which they are made shorter; 0, the default: any. */
  readonly clipNorm?: number;
}

/**
 * A forward graph in training mode → the graph of a training step: forward, backward, update.
 * @throws HybridError E_USAGE for an optimizer that there is not, and groups that leave nothing to train.
 */
export function trainingGraph(forward: Graph, options: UpdateOptions = {}): Graph {
  refuseUnknownOptions<UpdateOptions>(options, { optimizer: true, groups: true, clipNorm: true }, 'trainingGraph');
  const { optimizer, groups, clipNorm } = options;
  verify(forward, ops, 'building');
  const parameters = forward.values
    .filter(({ state }) => state === 'parameter')
    .map(({ id, name, spec: { shape } }) => ({ id, name, shape }));
  const one = optimizerOf(optimizer);
  const { trained, runs, matrices } = groupParameters(parameters, groups, one.rule.matrices && matrixParameters(forward));
  const differentiated = differentiate(
    forward,
    'loss',
    trained.map(({ id }) => id),
  );
  verify(differentiated, ops, 'autodiff');
  const updating = addUpdate(differentiated, one, runs, clipNorm, matrices);
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
export function compileGraph(graph: Graph, options: { readonly withoutRules?: readonly string[] } = {}): Graph {
  refuseUnknownOptions(options, { withoutRules: true }, 'compileGraph');
  const { withoutRules = [] } = options;
  const expanded = expand(graph);
  verify(expanded, ops, 'expand');
  const { graph: fused } = fuse(expanded, withoutRules);
  verify(fused, ops, 'fuse');
  return fused;
}
