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
 * `together`: the outputs scale, alpha and kappa are one, [3C]; who reads it names it three times.
 */
export interface GradientMerge {
  readonly fold?: BnGradFoldAttrs;
  readonly gradientFold?: BnGradFoldAttrs;
  readonly together?: boolean;
}

/** A `movingAverage` of all statistics that there are: it reads and updates whole flat ranges. */
export interface AverageMerge {
  readonly whole?: boolean;
}

/** Outputs of `bnGradFold`, and how many of them are coefficients. */
const FOLDED = 5;
const COEFFICIENTS = 3;

/** The graph with what can be merged merged: for the lowerings, after all passes. */
export function mergeNodes(graph: Graph): Graph {
  const editor = new GraphEditor(graph);
  for (const rule of [foldIntoStatistics, gradientFoldIntoStatistics, statisticsIntoGradient, averagesTogether]) {
    for (const node of [...editor.nodes]) if (editor.nodes.includes(node)) rule(editor, node);
  }
  coefficientsTogether(editor);
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

/** scale, alpha, kappa of a fold → one value, which needs one binding */
function coefficientsTogether(editor: GraphEditor): void {
  const attrsOf = (node: Node) => node.attrs as GradientMerge;
  const coefficientsOf = ({ outputs }: Node) => outputs.slice(outputs.length - FOLDED, outputs.length - FOLDED + COEFFICIENTS);
  const isApart = (node: Node): boolean => {
    const { fold, gradientFold, together } = attrsOf(node);
    if (together || !(gradientFold || (fold && node.op === 'bnGradStats'))) return false;
    const all = coefficientsOf(node);
    const readers = all.flatMap((id) => editor.consumers(id));
    return readers.every(({ op, inputs }) => ['bnGradApply', 'depthwiseGrad'].includes(op) && all.every((id) => inputs.includes(id)));
  };
  for (let node = editor.nodes.find(isApart); node; node = editor.nodes.find(isApart)) {
    const all = coefficientsOf(node);
    const [channels] = editor.spec(all[0]).shape;
    const one = editor.temporary(all[0], 'coefficients', { ...editor.spec(all[0]), shape: [COEFFICIENTS * channels] });
    for (const reader of editor.consumers(all[0]))
      editor.replace([reader], [{ ...reader, inputs: reader.inputs.map((id) => (all.includes(id) ? one : id)) }]);
    const outputs = node.outputs.flatMap((id) => (id === all[0] ? [one] : all.includes(id) ? [] : [id]));
    editor.replace([node], [{ ...node, outputs, attrs: { ...node.attrs, together: true } }]);
  }
}

/** All movingAverage nodes → one {whole}, if there are no other statistics: inputs ok, mean, variance, mean, variance, …; updates likewise */
function averagesTogether(editor: GraphEditor, node: Node): void {
  if (node.op !== 'movingAverage') return;
  const [ok] = node.inputs;
  const all = editor.nodes.filter(({ op, inputs }) => op === 'movingAverage' && inputs[0] === ok);
  const updates = all.flatMap((each) => each.updates);
  const whole = editor.statistics.every((id) => updates.includes(id));
  if (all.length < 2 && !whole) return;
  const inputs = [ok, ...all.flatMap((each) => each.inputs.slice(1))];
  editor.replace(all, [{ ...all[0], inputs, updates, attrs: { whole } satisfies AverageMerge }]);
}

/** Whether `second` may move up to `first`, or `first` down to it: nothing between reads what the first makes. */
function areNear(editor: GraphEditor, first: Node, second: Node): boolean {
  const between = editor.nodes.slice(editor.nodes.indexOf(first) + 1, editor.nodes.indexOf(second));
  return between.every(({ inputs }) => !inputs.some((id) => first.outputs.includes(id)));
}

/** Inputs and outputs of a gradient without those of the statistics that were merged into it, and those. */
export function splitMerged(node: Node): { inputs: readonly ValueId[]; outputs: readonly ValueId[]; merged?: MergedFold } {
  const { gradientFold: fold, together } = node.attrs as GradientMerge;
  if (!fold) return node;
  const folded = together ? FOLDED - COEFFICIENTS + 1 : FOLDED;
  const vectors = node.inputs.slice(-3);
  const rest = node.inputs.slice(0, -3);
  const ownX = node.op === 'convGradInput' ? rest.slice(0, -1) : rest;
  const [x] = node.op === 'convGradInput' ? rest.slice(-1) : node.inputs.slice(1);
  return {
    inputs: ownX,
    outputs: node.outputs.slice(0, -folded),
    merged: { fold, x, mean: vectors[0], variance: vectors[1], gamma: vectors[2], outputs: node.outputs.slice(-folded) },
  };
}

export interface MergedFold {
  readonly fold: BnGradFoldAttrs;
  readonly x: ValueId;
  readonly mean: ValueId;
  readonly variance: ValueId;
  readonly gamma: ValueId;
  /** scale, alpha, kappa, dgamma, dbeta; or their coefficients as one, dgamma, dbeta. */
  readonly outputs: readonly ValueId[];
}
