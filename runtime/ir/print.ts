// The text form of a graph: one line a node, for `hybrid inspect` and for tests that compare graphs.

import { type Attrs, formatShape, type Graph, type Node, type ValueId } from './graph.ts';

/** The graph as text, one line a node. */
export function printGraph(graph: Graph): string {
  const lines = [`graph ${graph.name}`];
  for (const [key, id] of Object.entries(graph.inputs)) lines.push(`  input  ${key} = ${describe(graph, id)}`);
  for (const value of graph.values) if (value.role === 'state') lines.push(`  state  ${describe(graph, value.id)} (${value.state})`);
  let phase = '';
  for (const node of graph.nodes) {
    if (node.phase !== phase) lines.push(`  ${(phase = node.phase)}:`);
    lines.push(`    ${printNode(graph, node)}`);
  }
  for (const [key, id] of Object.entries(graph.outputs)) lines.push(`  output ${key} = ${graph.values[id].name}`);
  return `${lines.join('\n')}\n`;
}

export function printNode(graph: Graph, node: Node): string {
  const name = (id: ValueId) => graph.values[id].name;
  const many = (ids: readonly ValueId[]) =>
    ids.length <= 8 ? ids.map(name).join(', ') : `${ids.slice(0, 3).map(name).join(', ')}, … ${ids.length} in all`;
  const made = node.outputs.length ? `${node.outputs.map((id) => describe(graph, id)).join(', ')} = ` : '';
  const updates = node.updates.length ? ` updates ${many(node.updates)}` : '';
  return `${made}${node.op}(${many(node.inputs)})${printAttrs(node.attrs)}${updates}`;
}

const describe = (graph: Graph, id: ValueId): string => {
  const { name, spec } = graph.values[id];
  return `${name}: ${spec.dtype}${formatShape(spec)}`;
};

function printAttrs(attrs: Attrs): string {
  const entries = Object.entries(attrs).filter(([, value]) => value !== undefined && value !== false);
  if (!entries.length) return '';
  const print = (value: unknown): string =>
    Array.isArray(value) ? `[${value.join(', ')}]` : typeof value === 'object' && value ? printAttrs(value as Attrs).trim() : String(value);
  return ` {${entries.map(([key, value]) => (value === true ? key : `${key}: ${print(value)}`)).join(', ')}}`;
}
