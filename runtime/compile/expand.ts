// Replaces batch normalisation, which models and autodiff treat as one op, by the steps that devices run and fusion works
// on: statistics, folding them with gamma and beta into scale and shift, and one pass that applies them.

import type { Graph, Node, TensorSpec } from '../ir/graph.ts';
import { GraphEditor } from './edit.ts';

export function expand(graph: Graph): Graph {
  const editor = new GraphEditor(graph);
  for (const node of graph.nodes) {
    if (node.op === 'batchnorm') expandForward(editor, node);
    else if (node.op === 'batchnormGrad') expandBackward(editor, node);
  }
  return editor.finish();
}

function expandForward(editor: GraphEditor, node: Node): void {
  const [x, gamma, beta] = node.inputs;
  const [y, mean, variance] = node.outputs;
  const channels = editor.spec(mean);
  const scale = editor.temporary(y, 'scale', channels);
  const shift = editor.temporary(y, 'shift', channels);
  const common = { phase: node.phase, updates: [], label: node.label };
  editor.replace(
    [node],
    [
      { ...common, op: 'bnStats', inputs: [x], outputs: [mean, variance], attrs: { from: 'input', pixels: pixels(editor.spec(x)) } },
      { ...common, op: 'bnFold', inputs: [mean, variance, gamma, beta], outputs: [scale, shift], attrs: { epsilon: node.attrs.epsilon } },
      { ...common, op: 'normalize', inputs: [x, scale, shift], outputs: [y], attrs: {} },
    ],
  );
}

function expandBackward(editor: GraphEditor, node: Node): void {
  const [dy, x, gamma, mean, variance] = node.inputs;
  const [dx, dgamma, dbeta] = node.outputs;
  const channels = editor.spec(mean);
  const [dySum, dyxSum, scale, alpha, kappa] = ['dySum', 'dyxSum', 'scale', 'alpha', 'kappa'].map((suffix) =>
    editor.temporary(dx, suffix, channels),
  );
  const common = { phase: node.phase, updates: [], label: node.label };
  const attrs = { epsilon: node.attrs.epsilon, pixels: pixels(editor.spec(x)) };
  editor.replace(
    [node],
    [
      { ...common, op: 'bnGradStats', inputs: [dy, x, mean], outputs: [dySum, dyxSum], attrs: {} },
      {
        ...common,
        op: 'bnGradFold',
        inputs: [dySum, dyxSum, mean, variance, gamma],
        outputs: [scale, alpha, kappa, dgamma, dbeta],
        attrs,
      },
      { ...common, op: 'bnGradApply', inputs: [dy, x, scale, alpha, kappa], outputs: [dx], attrs: {} },
    ],
  );
}

/** Pixels of a sample: all axes but the channels. */
const pixels = (spec: TensorSpec): number => spec.shape.slice(0, -1).reduce((product, n) => product * n, 1);
