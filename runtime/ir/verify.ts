// Checks every rule that a graph must obey. Runs between all passes, so that a bad graph fails at the pass that made it.

import { HybridError } from '../base/errors.ts';
import { type Graph, type Node, resultsOf } from './graph.ts';
import { arrange, arrangeUpdates, checkAttrs, flatten, inferResults, mapNamed, type Signature } from './signature.ts';
import { formatSpec, sameSpec, type TensorSpec } from './tensor.ts';

/** Throws E_INTERNAL naming the pass, the node and the rule that it breaks. */
export function verify(graph: Graph, ops: Readonly<Record<string, Signature>>, pass: string): void {
  const fail = (message: string): never => {
    throw new HybridError(
      'E_INTERNAL',
      `internal error: graph ${graph.name} after ${pass}: ${message}`,
      'Please report it with the command that caused it.',
    );
  };
  /** Types of the results, after all that the signature says of operands and attributes. */
  const infer = (signature: Signature, { op, args, inputs, updates, attrs }: Node, where: string): Readonly<Record<string, TensorSpec>> => {
    try {
      const arranged = arrange(op, signature.inputs, args);
      if (`${Object.keys(arranged)}` !== `${Object.keys(args)}` || `${flatten(args)}` !== `${inputs}`)
        return fail(
          `${where}: its operands are ${Object.keys(args).join(', ')}, which are not the ${inputs.length} values it reads, in order`,
        );
      arrangeUpdates(signature.updates, updates);
      const kept = checkAttrs(op, signature.attrs, attrs);
      if (Object.keys(kept).length !== Object.keys(attrs).length) return fail(`${where}: an attribute with its default is stored`);
      const specs = mapNamed(args, (id) => graph.values[id].spec);
      return inferResults(op, signature, specs, attrs);
    } catch (error) {
      if (error instanceof HybridError && error.code === 'E_INTERNAL') throw error;
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
    const made = Object.keys(node.results);
    if (`${made}` !== `${Object.keys(specs)}` || `${Object.values(node.results)}` !== `${node.outputs}`)
      fail(`${where} has results ${made.join(', ') || 'none'} where its op makes ${Object.keys(specs).join(', ') || 'none'}`);
    for (const [key, id] of Object.entries(resultsOf(node))) {
      if (!sameSpec(specs[key], graph.values[id].spec))
        fail(`${where}: ${name(id)} is ${formatSpec(graph.values[id].spec)} where its op makes ${formatSpec(specs[key])}`);
    }
  }
  for (const [key, id] of Object.entries(graph.outputs)) if (!defined.has(id)) fail(`output ${key} is ${name(id)}, which nothing makes`);
  for (const { parameter, gradient } of graph.gradients) {
    if (graph.values[parameter]?.state !== 'parameter') fail(`${name(parameter)} has a gradient but is not a parameter`);
    if (!defined.has(gradient)) fail(`the gradient of ${name(parameter)} is ${name(gradient)}, which nothing makes`);
    if (!sameSpec(graph.values[parameter].spec, graph.values[gradient].spec)) fail(`the gradient of ${name(parameter)} has another shape`);
  }
}
