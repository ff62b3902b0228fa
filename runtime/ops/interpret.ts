// Runs a graph by the reference loops of its ops: the reference device, and what self-tests compare with.

import { type Op, runReferenceOf } from '../ir/define-op.ts';
import { elementCount, type Graph, type Phase, type TensorSpec, type ValueId } from '../ir/graph.ts';
import type { ReferenceTensor } from '../ir/op.ts';
import type { StepScalars } from '../ir/step.ts';
import { opTable } from './index.ts';

/** The values of a run: inputs and state before it, everything after it. */
export type Environment = Map<ValueId, ReferenceTensor>;

/**
 * Runs the nodes of these phases, adding their outputs to `environment`. State that they update is changed in place. `table` has ops besides
 * those of all devices.
 */
export function interpret(
  graph: Graph,
  environment: Environment,
  step: StepScalars,
  phases: readonly Phase[],
  table: Readonly<Record<string, Op>> = opTable,
): void {
  const get = (id: ValueId) => environment.get(id) as ReferenceTensor;
  for (const node of graph.nodes) {
    if (!phases.includes(node.phase)) continue;
    for (const id of node.outputs) environment.set(id, zeros(graph.values[id].spec, step.rows));
    runReferenceOf(table[node.op], node, get, step);
  }
}

export function zeros(spec: TensorSpec, rows: number): ReferenceTensor {
  const length = elementCount(spec) * (spec.perSample ? rows : 1);
  const data = spec.dtype === 'f32' ? new Float64Array(length) : spec.dtype === 'u8' ? new Uint8Array(length) : new Int32Array(length);
  return { shape: spec.perSample ? [rows, ...spec.shape] : spec.shape, data };
}
