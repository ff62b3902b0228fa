// Which parameters an optimizer that knows matrices takes for such: the weights of products and convolutions, their last axis by all others together.
// Not the weights of those that make the logits, whose columns are classes and no directions of one space; nor where every channel is convolved by itself,
// because there nothing is mixed. It is said of the ops, so that models of layers and those that are graphs are treated alike.

import type { Graph, Node, ValueId } from '../ir/graph.ts';
import { opTable } from '../ops/index.ts';

/** Names of these parameters of a forward graph. One that is used several times has to be a matrix everywhere. */
export function matrixParameters({ nodes, values, outputs }: Graph): ReadonlySet<string> {
  const makers = new Map(nodes.flatMap((node) => node.outputs.map((id) => [id, node] as const)));
  const weightsOf = ({ op, args }: Node): ValueId | undefined => {
    const { matrix } = opTable[op].traits ?? {};
    const id = matrix === undefined ? undefined : (args[matrix] as ValueId);
    return id !== undefined && values[id].state === 'parameter' ? id : undefined;
  };
  const no = new Set<ValueId>();
  // From the end, through all that has no weights of its own.
  const seen = new Set<ValueId>();
  const front = [outputs.loss ?? outputs.logits];
  for (let id = front.pop(); id !== undefined; id = front.pop()) {
    const node = makers.get(id);
    if (seen.has(id) || !node) continue;
    seen.add(id);
    const weights = weightsOf(node);
    if (weights !== undefined) no.add(weights);
    else for (const input of node.inputs) front.push(input);
  }
  for (const node of nodes) {
    const weights = weightsOf(node);
    if (weights === undefined) continue;
    const inputs = values[weights].spec.shape.at(-2);
    if ((node.attrs.groups as number | undefined) !== undefined && inputs === 1) no.add(weights);
  }
  return new Set(nodes.flatMap((node) => weightsOf(node) ?? []).flatMap((id) => (no.has(id) ? [] : [values[id].name])));
}
