// Reverse-mode differentiation on the graph: adds, for every parameter that the loss depends on, the nodes that compute
// its gradient. The rules are the ops' own (runtime/ops); this file only walks and sums.

import { invariant } from '../base/errors.ts';
import { type Graph, GraphBuilder, type ValueId } from '../ir/graph.ts';
import type { OpDefinition } from '../ir/op.ts';
import { ops } from '../ops/index.ts';

/**
 * The graph with a backward phase behind its forward phase. `loss` names the output to differentiate, a mean over the rows; `trained` are the
 * parameters that get a gradient, in the order of these: nothing is computed that only others need.
 */
export function differentiate(graph: Graph, loss = 'loss', trained: readonly ValueId[] = parametersOf(graph)): Graph {
  const g = GraphBuilder.from(graph, ops);
  g.phase = 'backward';
  const table: Readonly<Record<string, OpDefinition>> = ops;

  // Only values that depend on a parameter need a gradient: the image does not, nor does what is made from it alone.
  const dependent = new Set(trained);
  for (const node of graph.nodes) {
    if (node.inputs.some((id) => dependent.has(id)) && table[node.op].gradient) for (const id of node.outputs) dependent.add(id);
  }

  const gradients = new Map<ValueId, ValueId>();
  const lossId = graph.outputs[loss];
  invariant(lossId !== undefined, `graph ${graph.name} has no output ${loss}`);

  for (const node of [...graph.nodes].reverse()) {
    const seeded = node.outputs.includes(lossId);
    const dOutputs = node.outputs.map((id) => gradients.get(id) ?? null);
    if (!seeded && dOutputs.every((id) => id === null)) continue;
    const wanted = node.inputs.map((id) => dependent.has(id));
    if (!wanted.includes(true)) continue;
    const rule = table[node.op].gradient;
    invariant(rule, `${node.op} cannot be differentiated`);
    g.label = node.label;
    const dInputs = rule(g, node, dOutputs, wanted);
    for (const [i, id] of node.inputs.entries()) {
      const d = dInputs[i];
      if (d === null || !wanted[i]) continue;
      const before = gradients.get(id);
      gradients.set(id, before === undefined ? d : g.one('add', [before, d]));
    }
  }

  const gradientOf = new Map<ValueId, ValueId>();
  for (const parameter of trained) {
    const gradient = gradients.get(parameter);
    invariant(gradient !== undefined, `the loss does not depend on ${graph.values[parameter].name}`);
    gradientOf.set(parameter, gradient);
    g.gradients.push({ parameter, gradient });
  }
  return renameGradients(g.finish(), gradientOf);
}

const parametersOf = (graph: Graph): ValueId[] => graph.values.flatMap(({ id, state }) => (state === 'parameter' ? [id] : []));

/** Gives the gradient of a parameter the name it is read by: `gradients/<parameter>`. */
function renameGradients(graph: Graph, gradientOf: ReadonlyMap<ValueId, ValueId>): Graph {
  const names = new Map([...gradientOf].map(([parameter, gradient]) => [gradient, `gradients/${graph.values[parameter].name}`]));
  return { ...graph, values: graph.values.map((value) => ({ ...value, name: names.get(value.id) ?? value.name })) };
}
