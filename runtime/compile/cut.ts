// Cuts a forward graph in two at the value behind which all that is trained lies: what is in front of it is the same for an image in every
// step, and need be computed once. What is behind it takes the value as its input `features`.

import { type Graph, makeNode, type Node, type Value, type ValueId } from '../ir/graph.ts';
import { mapNamed } from '../ir/signature.ts';
import { sameSpec } from '../ir/tensor.ts';
import { opTable } from '../ops/index.ts';

/** Name of the input that stands for the value. */
const FEATURES = 'features';

/** The two parts of a graph. */
export interface CutGraph {
  /** From images to the value, its output `logits`. */
  readonly before: Graph;
  /** From `features` to the outputs of the graph. */
  readonly after: Graph;
}

/**
 * The name of the last value of a forward graph that is a function of an image and of what no step changes, and through which alone the outputs
 * depend on images; or why there is none, as the end of a sentence. `trained`: names of the parameters that are.
 */
export function lastFixed(graph: Graph, trained: ReadonlySet<string>): { readonly name: string } | string {
  const { values, nodes, outputs } = graph;
  // Statistics of a batch are moved by its steps.
  const isMoved = ({ name }: Value) => `${name.replace(/\/vars\/\d+$/, '')}/mean` in outputs;
  const fixed = new Set(
    values.flatMap((value) => {
      const isFixed =
        value.role === 'input' ? value.name === 'images' : value.role === 'state' && !trained.has(value.name) && !isMoved(value);
      return isFixed ? [value.id] : [];
    }),
  );
  const ofImages = new Set<ValueId>(Object.entries(graph.inputs).flatMap(([name, id]) => (name === 'images' ? [id] : [])));
  const front = new Set<ValueId>();
  for (const { inputs, outputs: made } of nodes) {
    const isFixed = inputs.every((id) => fixed.has(id));
    const seesImages = inputs.some((id) => ofImages.has(id));
    for (const id of made) {
      if (isFixed) fixed.add(id);
      if (isFixed && seesImages) ofImages.add(id);
    }
    if (!isFixed) for (const id of inputs) if (ofImages.has(id)) front.add(id);
  }
  for (const id of Object.values(outputs)) if (ofImages.has(id)) front.add(id);
  const [value, ...more] = [...front].map((id) => values[id]);
  if (value === undefined) return 'nothing that is trained sees images';
  if (more.length > 0) return `what is trained reads ${front.size} results of what is frozen`;
  if (value.role === 'input') return 'the first layer is trained';
  if (value.spec.dtype !== 'f32' || !value.spec.perSample) return `${value.name} is nothing to keep`;
  return { name: value.name };
}

/** Cuts the graph at a value of that name; null where it has none, or images reach its outputs on other ways too. */
export function cutGraph(graph: Graph, name: string): CutGraph | null {
  const at = graph.values.find((value) => value.name === name);
  if (at?.role !== 'temporary' || graph.values.some((value) => value.name === FEATURES)) return null;
  const before = part(graph, { logits: at.id });
  const after = part(graph, graph.outputs, at);
  const isView = after.nodes.some(({ op, inputs }) => opTable[op].traits?.view && inputs.includes(after.inputs[FEATURES]));
  // A view of what a batch brings would be of memory that other graphs read.
  return 'images' in after.inputs || !(FEATURES in after.inputs) || isView ? null : { before, after };
}

/** Whether two cuts are at a value of one type. */
export const areAlike = (one: CutGraph, other: CutGraph): boolean => sameSpec(featuresOf(one), featuresOf(other));

/** Type of the value. */
export const featuresOf = ({ after }: CutGraph) => after.values[after.inputs[FEATURES]].spec;

/** What the outputs need of a graph, where `given` is an input of it; all of its state, because the graphs of a model agree on it. */
function part(graph: Graph, outputs: Graph['outputs'], given?: Value): Graph {
  const wanted = new Set(Object.values(outputs));
  const nodes: Node[] = [];
  for (const node of [...graph.nodes].reverse()) {
    if (!node.outputs.some((id) => wanted.has(id) && id !== given?.id)) continue;
    nodes.unshift(node);
    for (const id of node.inputs) wanted.add(id);
  }
  const made = new Set(nodes.flatMap(({ outputs: results }) => results));
  const kept = graph.values.filter(
    ({ id, role }) => role === 'state' || id === given?.id || (role === 'input' ? wanted.has(id) : made.has(id)),
  );
  const ids = new Map(kept.map(({ id }, index) => [id, index]));
  const now = (id: ValueId): ValueId => ids.get(id) as ValueId;
  const values = kept.map(
    (value, id): Value => (value.id === given?.id ? { ...value, id, name: FEATURES, role: 'input' } : { ...value, id }),
  );
  return {
    name: graph.name,
    values,
    nodes: nodes.map((node) =>
      makeNode({
        ...node,
        args: mapNamed(node.args, now),
        results: Object.fromEntries(Object.entries(node.results).map(([key, id]) => [key, id === undefined ? undefined : now(id)])),
      }),
    ),
    inputs: Object.fromEntries(values.flatMap(({ id, name, role }) => (role === 'input' ? [[name, id]] : []))),
    outputs: Object.fromEntries(Object.entries(outputs).map(([key, id]) => [key, now(id)])),
    gradients: [],
  };
}
