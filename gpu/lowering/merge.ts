// Merges nodes that this device computes in one go, so that a step has fewer dispatches and fewer looks at memory. Unlike the fusion rules
// of runtime/compile/fuse.ts these concern no other device: a merged node keeps the name of its first op and gets operands and
// attributes that only the lowerings of this folder know.

import { GraphEditor } from '../../runtime/compile/edit.ts';
import type { Graph, Node, ValueId } from '../../runtime/ir/graph.ts';
import type { BatchnormAttrs, BnGradFoldAttrs } from '../../runtime/ops/batchnorm.ts';

/** `bnStats` with `fold`: inputs x, gamma, beta; outputs mean, variance, scale, shift. */
export interface StatsMerge {
  readonly fold?: BatchnormAttrs;
}

/**
 * `bnGradStats` with `fold`: inputs dy, x, mean, variance, gamma; outputs those of `bnGradFold`. A `convGradInput` or `depthwiseGrad` with
 * `gradientFold` has the same after its own: inputs (convGradInput: x,) mean, variance, gamma, where x of a depthwiseGrad is its own; outputs as well.
 */
export interface GradientMerge {
  readonly fold?: BnGradFoldAttrs;
  readonly gradientFold?: BnGradFoldAttrs;
}

/** Outputs of `bnGradFold`. */
const FOLDED = 5;

/** The graph with what can be merged merged: for the lowerings, after all passes. */
export function mergeNodes(graph: Graph): Graph {
  const editor = new GraphEditor(graph);
  for (const rule of [foldIntoStatistics, gradientFoldIntoStatistics, statisticsIntoGradient, averagesTogether]) {
    for (const node of [...editor.nodes]) if (editor.nodes.includes(node)) rule(editor, node);
  }
  return editor.finish();
}

/** bnFold(bnStats(x)) → bnStats(x) {fold} */
function foldIntoStatistics(editor: GraphEditor, node: Node): void {
  if (node.op !== 'bnStats') return;
  const [mean, variance] = node.outputs;
  const fold = editor.consumers(mean).find(({ op, inputs }) => op === 'bnFold' && inputs[0] === mean && inputs[1] === variance);
  if (!fold || !areNear(editor, node, fold)) return;
  const [, , gamma, beta] = fold.inputs;
  const attrs = { ...node.attrs, fold: fold.attrs } as Node['attrs'];
  editor.replace([node, fold], [{ ...node, inputs: [...node.inputs, gamma, beta], outputs: [...node.outputs, ...fold.outputs], attrs }]);
}

/** bnGradFold(bnGradStats(dy, x, mean)) → bnGradStats(dy, x, mean) {fold} */
function gradientFoldIntoStatistics(editor: GraphEditor, node: Node): void {
  if (node.op !== 'bnGradStats') return;
  const [dySum, dyxSum] = node.outputs;
  const fold = editor.soleConsumer(dySum);
  if (fold?.op !== 'bnGradFold' || editor.soleConsumer(dyxSum) !== fold || !areNear(editor, node, fold)) return;
  const [, , mean, variance, gamma] = fold.inputs;
  const [dy, x, centre] = node.inputs;
  if (fold.inputs[0] !== dySum || fold.inputs[1] !== dyxSum || mean !== centre) return;
  editor.replace([node, fold], [{ ...node, inputs: [dy, x, mean, variance, gamma], outputs: fold.outputs, attrs: { fold: fold.attrs } }]);
}

/** bnGradStats(convGradInput(…), x, …) {fold} → convGradInput(…) {gradientFold}; so for depthwiseGrad, if x is what it reads anyway */
function statisticsIntoGradient(editor: GraphEditor, node: Node): void {
  const suits = node.op === 'depthwiseGrad' || (node.op === 'convGradInput' && node.attrs.stride === 1);
  if (!suits) return;
  const [dx] = node.outputs;
  const stats = editor.consumers(dx).find(({ op, inputs, attrs }) => op === 'bnGradStats' && inputs[0] === dx && attrs.fold);
  if (!stats || !areNear(editor, node, stats)) return;
  const [, x, mean, variance, gamma] = stats.inputs;
  if (node.op === 'depthwiseGrad' && x !== node.inputs[1]) return;
  const vectors: ValueId[] = [mean, variance, gamma];
  const inputs = [...node.inputs, ...(node.op === 'convGradInput' ? [x] : []), ...vectors];
  const attrs = { ...node.attrs, gradientFold: stats.attrs.fold };
  editor.replace([node, stats], [{ ...node, inputs, outputs: [...node.outputs, ...stats.outputs], attrs }]);
}

/** All movingAverage nodes → one: inputs ok, mean, variance, mean, variance, …; updates likewise */
function averagesTogether(editor: GraphEditor, node: Node): void {
  if (node.op !== 'movingAverage') return;
  const [ok] = node.inputs;
  const all = editor.nodes.filter(({ op, inputs }) => op === 'movingAverage' && inputs[0] === ok);
  if (all.length < 2) return;
  const inputs = [ok, ...all.flatMap((one) => one.inputs.slice(1))];
  editor.replace(all, [{ ...all[0], inputs, updates: all.flatMap(({ updates }) => updates) }]);
}

/** Whether `second` may move up to `first`, or `first` down to it: nothing between reads what the first makes. */
function areNear(editor: GraphEditor, first: Node, second: Node): boolean {
  const between = editor.nodes.slice(editor.nodes.indexOf(first) + 1, editor.nodes.indexOf(second));
  return between.every(({ inputs }) => !inputs.some((id) => first.outputs.includes(id)));
}

/** Inputs and outputs of a gradient without those of the statistics that were merged into it, and those. */
export function splitMerged(node: Node): { inputs: readonly ValueId[]; outputs: readonly ValueId[]; merged?: MergedFold } {
  const fold = (node.attrs as GradientMerge).gradientFold;
  if (!fold) return node;
  const vectors = node.inputs.slice(-3);
  const rest = node.inputs.slice(0, -3);
  const ownX = node.op === 'convGradInput' ? rest.slice(0, -1) : rest;
  const [x] = node.op === 'convGradInput' ? rest.slice(-1) : node.inputs.slice(1);
  return {
    inputs: ownX,
    outputs: node.outputs.slice(0, -FOLDED),
    merged: { fold, x, mean: vectors[0], variance: vectors[1], gamma: vectors[2], outputs: node.outputs.slice(-FOLDED) },
  };
}

export interface MergedFold {
  readonly fold: BnGradFoldAttrs;
  readonly x: ValueId;
  readonly mean: ValueId;
  readonly variance: ValueId;
  readonly gamma: ValueId;
  /** scale, alpha, kappa, dgamma, dbeta. */
  readonly outputs: readonly ValueId[];
}
