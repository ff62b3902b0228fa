// Checks every rule that a graph must obey. Runs between all passes, so that a bad graph fails at the pass that made it.

import { HybridError } from '../base/errors.ts';
import type { Graph, Node, ShapeRule, TensorSpec } from './graph.ts';

/** Throws E_INTERNAL naming the pass, the node and the rule that it breaks. */
export function verify(graph: Graph, ops: Readonly<Record<string, ShapeRule>>, pass: string): void {
  const fail = (message: string): never => {
    throw new HybridError(
      'E_INTERNAL',
      `internal error: graph ${graph.name} after ${pass}: ${message}`,
      'Please report it with the command that caused it.',
    );
  };
  const infer = (rule: ShapeRule, { inputs, attrs }: Node, where: string): TensorSpec[] => {
    const specs = inputs.map((id) => graph.values[id].spec);
    try {
      return rule.infer(specs, attrs);
    } catch (error) {
      return fail(`${where}: ${(error as Error).message}`);
    }
  };
  const name = (id: number) => graph.values[id]?.name ?? `value ${id}`;

  const names = new Set<string>();
  for (const [index, value] of graph.values.entries()) {
    if (value.id !== index) fail(`value ${value.name} has id ${value.id} at position ${index}`);
    if (names.has(value.name)) fail(`two values are called ${value.name}`);
    names.add(value.name);
    if (value.spec.shape.some((n) => !Number.isSafeInteger(n) || n < 1)) fail(`${value.name} has shape [${value.spec.shape}]`);
    if ((value.role === 'state') !== (value.state !== undefined)) fail(`${value.name} is ${value.role} with kind ${value.state}`);
  }

  const defined = new Set(graph.values.filter((value) => value.role !== 'temporary').map((value) => value.id));
  let updating = false;
  for (const [index, node] of graph.nodes.entries()) {
    const where = `node ${index} (${node.label}/${node.op})`;
    const rule = ops[node.op] ?? fail(`${where}: no op is called ${node.op}`);
    for (const id of [...node.inputs, ...node.updates]) if (!defined.has(id)) fail(`${where} reads ${name(id)} before it is made`);
    for (const id of node.outputs) {
      if (graph.values[id]?.role !== 'temporary') fail(`${where} writes ${name(id)}, which is not a temporary`);
      if (defined.has(id)) fail(`${where} makes ${name(id)} a second time`);
      defined.add(id);
    }
    // State changes only in the update phase, which comes last: a dropped step leaves no trace.
    if (node.phase === 'update') updating = true;
    else if (updating) fail(`${where} of phase ${node.phase} comes after an update`);
    for (const id of node.updates) {
      if (graph.values[id].role !== 'state') fail(`${where} updates ${name(id)}, which is not state`);
      if (node.phase !== 'update') fail(`${where} updates ${name(id)} in phase ${node.phase}`);
    }
    const specs = infer(rule, node, where);
    if (specs.length !== node.outputs.length) fail(`${where} has ${node.outputs.length} outputs where its op makes ${specs.length}`);
    for (const [i, id] of node.outputs.entries()) {
      if (!sameSpec(specs[i], graph.values[id].spec))
        fail(`${where}: ${name(id)} is ${formatSpec(graph.values[id].spec)} where its op makes ${formatSpec(specs[i])}`);
    }
  }
  for (const [key, id] of Object.entries(graph.outputs)) if (!defined.has(id)) fail(`output ${key} is ${name(id)}, which nothing makes`);
  for (const { parameter, gradient } of graph.gradients) {
    if (graph.values[parameter]?.state !== 'parameter') fail(`${name(parameter)} has a gradient but is not a parameter`);
    if (!defined.has(gradient)) fail(`the gradient of ${name(parameter)} is ${name(gradient)}, which nothing makes`);
    if (!sameSpec(graph.values[parameter].spec, graph.values[gradient].spec)) fail(`the gradient of ${name(parameter)} has another shape`);
  }
}

export const sameSpec = (a: TensorSpec, b: TensorSpec): boolean =>
  a.dtype === b.dtype && a.perSample === b.perSample && a.shape.length === b.shape.length && a.shape.every((n, i) => n === b.shape[i]);

/** A type as it is written in messages: `f32[n; 8, 8, 3]`. */
export const formatSpec = (spec: TensorSpec): string => `${spec.dtype}[${spec.perSample ? 'n; ' : ''}${spec.shape.join(', ')}]`;
