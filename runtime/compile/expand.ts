// Replaces ops that no device has kernels for, such as batch normalisation, which models and autodiff treat as one op, by the nodes that their
// definitions name: what devices run and fusion works on.

import { type Graph, makeNode, type Node, type ValueId } from '../ir/graph.ts';
import { arrange, checkAttrs, inferResults, mapNamed } from '../ir/signature.ts';
import { opTable } from '../ops/index.ts';
import { GraphEditor } from './edit.ts';

export function expand(graph: Graph): Graph {
  const editor = new GraphEditor(graph);
  for (const node of graph.nodes) if (opTable[node.op].expand) expandNode(editor, node);
  return editor.finish();
}

function expandNode(editor: GraphEditor, node: Node): void {
  const nodes: Node[] = [];
  const { phase, label } = node;
  opTable[node.op].expand?.(
    {
      spec: (id) => editor.spec(id),
      add(op, given, attrs = {}, into = {}) {
        const signature = opTable[op];
        const args = arrange<ValueId>(op, signature.inputs, given);
        const checked = checkAttrs(op, signature.attrs, attrs);
        const specs = inferResults(
          op,
          signature,
          mapNamed(args, (id) => editor.spec(id)),
          checked,
        );
        // What is left without a name is named after the first result of the whole.
        const results = Object.fromEntries(
          Object.entries(specs).map(([name, spec]) => [name, into[name] ?? editor.temporary(node.outputs[0], name, spec)]),
        );
        nodes.push(makeNode({ op, phase, label, args, results, attrs: checked }));
        return results;
      },
    },
    node,
  );
  editor.replace([node], nodes);
}
