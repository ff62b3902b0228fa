// Merges nodes that this device computes in one go, so that a step has fewer dispatches and fewer looks at memory. Unlike the fusion rules
// of runtime/compile/fuse.ts these concern no other device: what they make are ops of gpu/ops.

import { GraphEditor } from '../../runtime/compile/edit.ts';
import { type Graph, makeNode, type Node, type Results, resultsOf, type ValueId, type Values } from '../../runtime/ir/graph.ts';
import { arrange, type Named } from '../../runtime/ir/signature.ts';
import { type DeviceOpName, gpuOps } from '../ops/index.ts';

const arg = (node: Node, name: string): ValueId => node.args[name] as ValueId;

/** The node as another op, with more operands, results and attributes. */
function become(node: Node, op: DeviceOpName, args: Named<ValueId>, results: Results, attrs: Node['attrs']): Node {
  const { inputs, outputs } = gpuOps[op];
  const ordered = Object.fromEntries(Object.keys(outputs).flatMap((name) => (name in results ? [[name, results[name]]] : [])));
  return makeNode({ ...node, op, args: arrange<ValueId>(op, inputs, args as Values), results: ordered, attrs });
}

/** The graph with what can be merged merged: for the lowerings, after all passes. */
export function mergeNodes(graph: Graph): Graph {
  const editor = new GraphEditor(graph);
  for (const rule of [foldIntoStatistics, gradientFoldIntoStatistics, statisticsIntoGradient, averagesTogether]) {
    for (const node of editor.nodes) if (editor.has(node)) rule(editor, node);
  }
  coefficientsTogether(editor);
  return editor.finish();
}

/** bnFold(bnStats(x)) → bnStatsFold(x) */
function foldIntoStatistics(editor: GraphEditor, node: Node): void {
  if (node.op !== 'bnStats') return;
  const { mean, variance } = resultsOf(node);
  const fold = editor.consumers(mean).find(({ op, args }) => op === 'bnFold' && args.mean === mean && args.variance === variance);
  if (!fold || !editor.areNear(node, fold)) return;
  const { gamma, beta } = fold.args;
  const attrs = { ...node.attrs, ...fold.attrs };
  editor.replace([node, fold], [become(node, 'bnStatsFold', { ...node.args, gamma, beta }, { ...node.results, ...fold.results }, attrs)]);
}

/** bnGradFold(bnGradStats(dy, x, mean)) → bnGradStatsFold(dy, x, mean, …) */
function gradientFoldIntoStatistics(editor: GraphEditor, node: Node): void {
  if (node.op !== 'bnGradStats') return;
  const { dySum, dyxSum } = resultsOf(node);
  const fold = editor.soleConsumer(dySum);
  if (fold?.op !== 'bnGradFold' || editor.soleConsumer(dyxSum) !== fold || !editor.areNear(node, fold)) return;
  const { mean, variance, gamma } = fold.args;
  if (fold.args.dySum !== dySum || fold.args.dyxSum !== dyxSum || mean !== node.args.mean) return;
  const merged = become(node, 'bnGradStatsFold', { ...node.args, variance, gamma }, fold.results, fold.attrs);
  editor.replace([node, fold], [merged]);
}

/** bnGradStatsFold(convGradInput(…), x, …) → convGradInputStats(…, x, …); so for depthwiseGrad, if x is what it reads anyway */
function statisticsIntoGradient(editor: GraphEditor, node: Node): void {
  const isConv = node.op === 'convGradInput' && node.attrs.stride === 1 && node.attrs.groups === undefined;
  if (!isConv && node.op !== 'depthwiseGrad') return;
  const { dx } = resultsOf(node);
  const stats = editor.consumers(dx).find(({ op, args }) => op === 'bnGradStatsFold' && args.dy === dx);
  if (!stats || !editor.areNear(node, stats)) return;
  const { x, mean, variance, gamma } = stats.args;
  if (!isConv && x !== node.args.x) return;
  const { scale, alpha, kappa, dgamma, dbeta } = stats.results;
  const fold = isConv ? stats.results : { foldScale: scale, foldAlpha: alpha, foldKappa: kappa, dgamma, dbeta };
  const args = { ...node.args, x, mean, variance, gamma };
  const op = isConv ? 'convGradInputStats' : 'depthwiseGradMerged';
  editor.replace([node, stats], [become(node, op, args, { ...node.results, ...fold }, { ...node.attrs, ...stats.attrs })]);
}

/** What reads scale, alpha and kappa of a fold: under which names, and as what it reads them as one. */
const READERS: Readonly<Record<string, { readonly as: DeviceOpName; readonly names: readonly [string, string, string] }>> = {
  bnGradApply: { as: 'bnGradApplyTogether', names: ['scale', 'alpha', 'kappa'] },
  depthwiseGrad: { as: 'depthwiseGradMerged', names: ['slope', 'alpha', 'kappa'] },
  depthwiseGradMerged: { as: 'depthwiseGradMerged', names: ['slope', 'alpha', 'kappa'] },
};

/** Names of the results that become one, and of that. */
const MAKERS: Readonly<Record<string, { readonly names: readonly [string, string, string]; readonly one: string }>> = {
  bnGradStatsFold: { names: ['scale', 'alpha', 'kappa'], one: 'coefficients' },
  convGradInputStats: { names: ['scale', 'alpha', 'kappa'], one: 'coefficients' },
  depthwiseGradMerged: { names: ['foldScale', 'foldAlpha', 'foldKappa'], one: 'foldCoefficients' },
};

/** scale, alpha, kappa of a fold → one value, which needs one binding */
function coefficientsTogether(editor: GraphEditor): void {
  for (const { outputs } of editor.nodes) {
    // Others may have been rewritten meanwhile, as a reader: the values stay.
    const node = outputs.length ? editor.producer(outputs[0]) : undefined;
    const maker = node && MAKERS[node.op];
    if (!node || !maker || node.results[maker.names[0]] === undefined) continue;
    const all = maker.names.map((name) => resultsOf(node)[name]);
    const reads = (reader: Node) => READERS[reader.op]?.names.every((name, i) => reader.args[name] === all[i]);
    const readers = [...new Set(all.flatMap((id) => editor.consumers(id)))];
    if (!readers.every(reads) || all.some((id) => editor.isObserved(id))) continue;
    const spec = editor.spec(all[0]);
    const one = editor.temporary(all[0], 'coefficients', { ...spec, shape: [all.length * spec.shape[0]] });
    for (const reader of readers) {
      const { as, names } = READERS[reader.op];
      const args = Object.fromEntries(Object.entries(reader.args).filter(([name]) => !names.includes(name)));
      editor.replace([reader], [become(reader, as, { ...args, coefficients: one }, reader.results, reader.attrs)]);
    }
    const results = Object.fromEntries(Object.entries(node.results).filter(([name]) => !maker.names.includes(name)));
    const op = node.op as DeviceOpName;
    editor.replace([node], [become(node, op, node.args, { ...results, [maker.one]: one }, { ...node.attrs, together: true })]);
  }
}

/** All movingAverage nodes of one momentum → one movingAverages, {whole} if there are no other statistics */
function averagesTogether(editor: GraphEditor, node: Node): void {
  if (node.op !== 'movingAverage') return;
  const { momentum } = node.attrs;
  const all = editor.consumers(arg(node, 'ok')).filter(({ op, attrs }) => op === 'movingAverage' && attrs.momentum === momentum);
  const updates = all.flatMap((each) => each.updates);
  // Those of a layer that is called twice move one after the other.
  if (new Set(updates).size < updates.length) return;
  const whole = editor.statistics.every((id) => updates.includes(id));
  if (all.length < 2 && !whole) return;
  const batch = all.flatMap(({ args }) => [args.mean as ValueId, args.variance as ValueId]);
  const merged = become(node, 'movingAverages', { ok: node.args.ok, batch }, {}, { ...node.attrs, ...(whole && { whole }) });
  editor.replace(all, [{ ...merged, updates }]);
}

/** Statistics that were merged into a gradient: what they are made of, and their results. */
export interface MergedFold {
  readonly epsilon: number;
  readonly pixels: number;
  readonly x: ValueId;
  readonly mean: ValueId;
  readonly variance: ValueId;
  readonly gamma: ValueId;
  /** scale, alpha, kappa; or their coefficients as one. */
  readonly coefficients: readonly ValueId[];
  readonly dgamma: ValueId;
  readonly dbeta: ValueId;
}
