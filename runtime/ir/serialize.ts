// Stable text of a graph, and its digest: how a checkpoint says which computation its weights belong to. The text that
// people read is in print.ts.

import { sha256 } from '../base/sha256.ts';
import type { Graph } from './graph.ts';

/**
 * JSON, one value or node a line, keys of attributes sorted, operands in the order of their op, attributes at their default left out: equal graphs give equal text. The name of the graph is left
 * out because it computes nothing: two architectures that build the same graph can exchange weights.
 */
export function serializeGraph(graph: Graph): string {
  const lines = (items: readonly unknown[]) =>
    items.length ? `[\n${items.map((item) => `    ${stableJson(item)}`).join(',\n')}\n  ]` : '[]';
  return `{
  "version": 1,
  "inputs": ${stableJson(graph.inputs)},
  "outputs": ${stableJson(graph.outputs)},
  "values": ${lines(graph.values)},
  "nodes": ${lines(graph.nodes.map(({ op, phase, inputs, outputs, updates, attrs, label }) => ({ op, phase, inputs, outputs, updates, attrs, label })))},
  "gradients": ${lines(graph.gradients)}
}
`;
}

/** SHA-256 of the text above, in hexadecimal. */
export const graphDigest = (graph: Graph): string => sha256(serializeGraph(graph));

/** `JSON.stringify` with the keys of every object in alphabetical order. */
function stableJson(value: unknown): string {
  return JSON.stringify(value, (_key, item) =>
    item && typeof item === 'object' && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
}
