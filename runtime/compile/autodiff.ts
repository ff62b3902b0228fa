// Reverse-mode differentiation on the graph: adds, for every parameter that the loss depends on, the nodes that compute
// its gradient. The rules are the ops' own (runtime/ops); this file only walks and sums.

import { HybridError, invariant } from '../base/errors.ts';
import { type Graph, GraphBuilder, type Node, resultsOf, type ValueId } from '../ir/graph.ts';
import { opTable } from '../ops/index.ts';

/**
 * The graph with a backward phase behind its forward phase. `loss` names the output to differentiate, a mean over the rows; `trained` are the
 * parameters that get a gradient, in the order of these: nothing is computed that only others need.
 */
export function differentiate(graph: Graph, loss = 'loss', trained: readonly ValueId[] = parametersOf(graph)): Graph {
  const g = GraphBuilder.from(graph, opTable);
  g.phase = 'backward';

  // Only values that depend on a parameter need a gradient: the image does not, nor does what is made from it alone.
  const dependent = new Set(trained);
  for (const node of graph.nodes) {
    if (!node.inputs.some((id) => dependent.has(id))) continue;
    for (const id of node.outputs) if (graph.values[id].spec.dtype === 'f32') dependent.add(id);
  }

  const gradients = new Map<ValueId, ValueId>();
  const lossId = graph.outputs[loss];
  invariant(lossId !== undefined, `graph ${graph.name} has no output ${loss}`);

  for (const node of [...graph.nodes].reverse()) {
    const seeded = node.outputs.includes(lossId);
    if (!seeded && !node.outputs.some((id) => gradients.has(id))) continue;
    if (!node.inputs.some((id) => dependent.has(id))) continue;
    g.label = node.label;
    const d = inputGradients(
      g,
      node,
      (id) => gradients.get(id),
      (id) => dependent.has(id),
    );
    for (const [i, id] of node.inputs.entries()) {
      const gradient = d[i];
      if (gradient === null) continue;
      const before = gradients.get(id);
      const sum = g.spec(id).perSample ? 'add' : 'addParameters';
      gradients.set(id, before === undefined ? gradient : g.one(sum, { a: before, b: gradient }));
    }
  }

  const gradientOf = new Map<ValueId, ValueId>();
  for (const parameter of trained) {
    const { name } = graph.values[parameter];
    const gradient = gradients.get(parameter);
    if (gradient === undefined)
      throw new HybridError(
        'E_USAGE',
        `the loss does not depend on the parameter ${name}`,
        'Use it in the forward pass, or do not declare it.',
      );
    const other = [...gradientOf].find(([, id]) => id === gradient)?.[0];
    invariant(other === undefined, `${name} and ${graph.values[other ?? 0].name} have one gradient`);
    gradientOf.set(parameter, gradient);
    g.gradients.push({ parameter, gradient });
  }
  return renameGradients(g.finish(), gradientOf);
}

const parametersOf = (graph: Graph): ValueId[] => graph.values.flatMap(({ id, state }) => (state === 'parameter' ? [id] : []));

/**
 * Adds the nodes that compute the gradients of a node's operands from those of its results, by the rule of its op. In the order of its inputs; null
 * where none is wanted. Throws E_USAGE where one is, and the op has no rule for it.
 */
export function inputGradients(
  g: GraphBuilder,
  node: Node,
  gradientOf: (result: ValueId) => ValueId | undefined,
  isWanted: (input: ValueId) => boolean,
): (ValueId | null)[] {
  const op = opTable[node.op];
  const where = node.label ? `${node.op} (${node.label})` : node.op;
  const d: Record<string, ValueId> = {};
  for (const [name, id] of Object.entries(resultsOf(node))) {
    const gradient = gradientOf(id);
    if (gradient !== undefined) d[name] = gradient;
  }
  const rule = op.gradient?.(g, { args: node.args, results: node.results, attrs: node.attrs, label: node.label, d });
  const through = Object.keys(d).filter((name) => name !== Object.keys(op.outputs)[0] && !op.traits?.differentiable?.includes(name));
  return Object.entries(node.args).flatMap(([name, values]) =>
    [values].flat().map((id, k) => {
      if (!isWanted(id as ValueId)) return null;
      const gradient = rule?.[name];
      if (!gradient || through.length) {
        const what = through.length ? `its result ${through.join(', ')}` : 'it';
        throw new HybridError(
          'E_USAGE',
          `the gradient of ${g.values[id as ValueId].name} cannot be computed: ${where} has no gradient for its operand ${name} through ${what}`,
          'Put no trained parameter in front of it, or use ops that have a gradient: docs/ops.md says which have.',
        );
      }
      return gradient(k);
    }),
  );
}

/** Gives the gradient of a parameter the name it is read by: `gradients/<parameter>`. */
function renameGradients(graph: Graph, gradientOf: ReadonlyMap<ValueId, ValueId>): Graph {
  const names = new Map([...gradientOf].map(([parameter, gradient]) => [gradient, `gradients/${graph.values[parameter].name}`]));
  return { ...graph, values: graph.values.map((value) => ({ ...value, name: names.get(value.id) ?? value.name })) };
}
