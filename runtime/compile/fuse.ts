// Fusion: a short closed list of named rules. Each recognises one exact pattern and moves the work of a node into the
// epilogue (or the input side) of its neighbour, which saves one pass over an activation tensor in each direction.
// Every rule can be switched off; without any the program computes the same, only slower.
//
// The rules ask what an op is and what it takes (its traits, runtime/ir/define-op.ts), never for its name.

import type { Part, Traits } from '../ir/define-op.ts';
import { type Graph, makeNode, type Node, type NodeParts, type ValueId, type Values } from '../ir/graph.ts';
import { arrange, type Named } from '../ir/signature.ts';
import type { Epilogue } from '../ops/epilogue.ts';
import { opTable } from '../ops/index.ts';
import { GraphEditor } from './edit.ts';

/** A fusion rule, by the name that switches it off. */
export interface FusionRule {
  readonly name: string;
  /** Before and after, for `hybrid inspect` and ARCHITECTURE.md. */
  readonly pattern: string;
  /** Rewrites one occurrence that starts at `node`; false where there is none. */
  apply(editor: GraphEditor, node: Node): boolean;
}

const traits = ({ op }: Node): Traits => opTable[op].traits ?? {};
const is = (node: Node | undefined, part: Part): node is Node => node !== undefined && traits(node).is === part;
const takesAfter = (node: Node, part: Part): boolean => traits(node).epilogue?.includes(part) === true;
/** Where operands of the part go, if the op takes it before its operand `name`. */
const takesBefore = (node: Node, name: string, part: Part) => traits(node).prologue?.[name]?.[part];
/** Name of the operand by which the node reads a value, if it reads it by no other. */
function soleOperand(node: Node, id: ValueId): string | undefined {
  const names = Object.entries(node.args).filter(([, values]) => [values].flat().includes(id));
  return names.length === 1 ? names[0][0] : undefined;
}
const arg = (node: Node, name: string): ValueId => node.args[name] as ValueId;
const epilogueOf = (node: Node): Epilogue => (node.attrs.epilogue as Epilogue | undefined) ?? {};
const withEpilogue = (node: Node, change: Epilogue): Node['attrs'] => ({ ...node.attrs, epilogue: { ...epilogueOf(node), ...change } });
/** The first result of a node, and the node with another in its place. */
const first = (node: Node): ValueId => node.outputs[0];
const withFirst = ({ results }: Node, id: ValueId): Node['results'] => ({ ...results, [Object.keys(results)[0]]: id });

/** The node with these changes, everything in declared order. */
function change(node: Node, { args, results, ...others }: Partial<Omit<NodeParts, 'args'>> & { readonly args?: Named<ValueId> }): Node {
  const op = others.op ?? node.op;
  const { inputs, outputs } = opTable[op];
  const ordered = { ...node.results, ...results };
  return makeNode({
    ...node,
    ...others,
    args: arrange(op, inputs, (args ?? node.args) as Values),
    results: Object.fromEntries(Object.keys(outputs).flatMap((name) => (name in ordered ? [[name, ordered[name]]] : []))),
  });
}

/** add(y of node, r) → node(…, residual: r) */
function takeResidual(editor: GraphEditor, node: Node): boolean {
  if (!takesAfter(node, 'add') || node.args.residual !== undefined || node.attrs.epilogue) return false;
  const add = editor.soleConsumer(first(node));
  if (!is(add, 'add')) return false;
  const [a, b] = add.inputs;
  const residual = a === first(node) ? b : a;
  if (residual === first(node)) return false;
  editor.replace([node, add], [change(node, { args: { ...node.args, residual }, results: withFirst(node, first(add)) })]);
  return true;
}

/** In the order in which they are tried: later rules build on the epilogues that earlier ones made. */
export const FUSION_RULES: readonly FusionRule[] = [
  {
    name: 'rescale-into-conv',
    pattern: 'conv(rescale(u8)) → conv(u8) {inputScale}, and its weight gradient likewise',
    apply(editor, node) {
      // Zeros around the image would not be those of what was rescaled.
      if (!is(node, 'rescale') || node.attrs.offset !== undefined) return false;
      const rescaled = first(node);
      const readers = editor.consumers(rescaled);
      const into = (reader: Node) => takesBefore(reader, soleOperand(reader, rescaled) ?? '', 'rescale');
      if (editor.isObserved(rescaled) || !readers.length || !readers.every(into)) return false;
      for (const reader of readers) {
        const name = soleOperand(reader, rescaled) as string;
        const attrs = { ...reader.attrs };
        for (const [own, theirs] of Object.entries(into(reader) ?? {})) attrs[own] = node.attrs[theirs];
        editor.replace([reader], [change(reader, { args: { ...reader.args, [name]: node.inputs[0] }, attrs })]);
      }
      editor.replace([node], []);
      return true;
    },
  },
  {
    name: 'bias-into-epilogue',
    pattern: 'bias(conv(x, w), b) → conv(x, w, b)',
    apply(editor, node) {
      // An epilogue of its author's own comes before what follows the node.
      if (!takesAfter(node, 'bias') || node.args.bias !== undefined || node.attrs.epilogue) return false;
      const bias = editor.soleConsumer(first(node));
      if (!is(bias, 'bias')) return false;
      editor.replace([node, bias], [change(node, { args: { ...node.args, bias: arg(bias, 'b') }, results: withFirst(node, first(bias)) })]);
      return true;
    },
  },
  {
    name: 'residual-into-normalize',
    pattern: 'add(normalize(x, scale, shift), r) → normalize(x, scale, shift, r)',
    apply: (editor, node) => is(node, 'normalize') && takeResidual(editor, node),
  },
  {
    name: 'activation-into-epilogue',
    pattern:
      'gelu(conv(…)) → conv(…) {activation, derivative}, and so for depthwise and normalize; geluGrad reads the stored derivative instead of evaluating erf again',
    apply(editor, node) {
      if (!takesAfter(node, 'activation') || node.attrs.epilogue) return false;
      const u = first(node);
      if (editor.isObserved(u)) return false;
      const readers = editor.consumers(u);
      const forward = readers.filter((reader) => is(reader, 'activation'));
      const backward = readers.filter(
        (reader) => is(reader, 'activationGrad') && reader.attrs.from === 'input' && soleOperand(reader, u) === 'x',
      );
      if (forward.length !== 1 || forward.length + backward.length !== readers.length) return false;
      const [activation] = forward;
      const stored: Record<string, ValueId> = {};
      if (backward.length) {
        stored.derivative = editor.temporary(first(activation), 'derivative', editor.spec(u));
        for (const reader of backward) {
          const attrs = { ...reader.attrs, from: 'derivative' };
          editor.replace([reader], [change(reader, { args: { ...reader.args, x: stored.derivative }, attrs })]);
        }
      }
      const parameters = activation.attrs as Epilogue['parameters'];
      const attrs = withEpilogue(node, {
        activation: activation.op as Epilogue['activation'],
        ...(Object.keys(activation.attrs).length ? { parameters } : {}),
        ...(backward.length ? { derivative: true } : {}),
      });
      editor.replace([node, activation], [change(node, { results: { ...withFirst(node, first(activation)), ...stored }, attrs })]);
      return true;
    },
  },
  {
    name: 'statistics-into-epilogue',
    pattern: 'bnStats(conv(…)) → bnStats(partials of conv(…) {stats}) {from: partials}',
    apply(editor, node) {
      if (!takesAfter(node, 'statistics') || epilogueOf(node).stats) return false;
      const y = first(node);
      const stats = editor.consumers(y).find((reader) => is(reader, 'statistics') && reader.attrs.from === 'input');
      if (!stats) return false;
      const channels = editor.spec(y).shape.at(-1) as number;
      const partials = editor.temporary(y, 'partials', { dtype: 'f32', shape: [2, channels], perSample: true });
      editor.replace([node], [change(node, { results: { partials }, attrs: withEpilogue(node, { stats: true }) })]);
      editor.replace([stats], [change(stats, { args: { x: partials }, attrs: { ...stats.attrs, from: 'partials' } })]);
      return true;
    },
  },
  {
    name: 'normalize-into-depthwise',
    pattern: 'depthwise(normalize(x, scale, shift)) → depthwise(x, …, scale, shift); its weight gradient and a residual likewise',
    apply(editor, node) {
      if (!is(node, 'normalize') || node.inputs.length !== 3 || node.attrs.epilogue) return false;
      const y = first(node);
      const into = (reader: Node) => {
        const prologue = takesBefore(reader, soleOperand(reader, y) ?? '', 'normalize');
        return prologue && Object.keys(prologue).every((own) => reader.args[own] === undefined) ? prologue : undefined;
      };
      // Where one reader needs y stored, the others may as well read it; and for a residual alone nothing is won.
      const readers = editor.consumers(y);
      const wins = readers.some((reader) => soleOperand(reader, y) === 'x');
      if (editor.isObserved(y) || !wins || !readers.every(into)) return false;
      for (const reader of readers) {
        const args: Record<string, Values[string]> = { ...reader.args, [soleOperand(reader, y) as string]: arg(node, 'x') };
        for (const [own, theirs] of Object.entries(into(reader) ?? {})) args[own] = node.args[theirs];
        editor.replace([reader], [change(reader, { args })]);
      }
      editor.replace([node], []);
      return true;
    },
  },
  {
    name: 'activation-gradient-into-bn-gradient',
    pattern: 'geluGrad(bnGradApply(…), derivative) → bnGradApply(…, derivative)',
    apply(editor, node) {
      if (!takesAfter(node, 'activationGrad') || node.args.derivative !== undefined || node.attrs.biasGrad) return false;
      const grad = editor.soleConsumer(first(node));
      if (!is(grad, 'activationGrad') || grad.attrs.from !== 'derivative' || soleOperand(grad, first(node)) !== 'dy') return false;
      const args = { ...node.args, derivative: arg(grad, 'x') };
      editor.replace([node, grad], [change(node, { args, results: withFirst(node, first(grad)) })]);
      return true;
    },
  },
  {
    name: 'bias-gradient-into-bn-gradient',
    pattern: 'biasGrad(bnGradApply(…)) → second result of bnGradApply(…) {biasGrad}',
    apply(editor, node) {
      if (!takesAfter(node, 'biasGrad') || node.attrs.biasGrad) return false;
      const biasGrad = editor.consumers(first(node)).find((reader) => is(reader, 'biasGrad'));
      if (!biasGrad) return false;
      editor.replace([biasGrad], []);
      editor.replace([node], [change(node, { results: { dbias: first(biasGrad) }, attrs: { ...node.attrs, biasGrad: true } })]);
      return true;
    },
  },
  {
    name: 'depthwise-gradients-together',
    pattern: 'depthwiseGradInput(dy, w), depthwiseGradWeight(x, dy) → depthwiseGrad(dy, x, w)',
    apply(editor, node) {
      const { together } = traits(node);
      if (!together) return false;
      const shared = arg(node, together.on);
      // That of the same layer: of another the kernel may have another size.
      const other = editor
        .consumers(shared)
        .find(
          (reader) =>
            reader.op === together.other &&
            soleOperand(reader, shared) === together.on &&
            `${editor.spec(arg(reader, 'w')).shape}` === `${node.attrs.weightShape}`,
        );
      if (!other || !(editor.areNear(other, node) || editor.areNear(node, other))) return false;
      const { weightShape: _, ...attrs } = node.attrs;
      const args = { ...other.args, ...node.args };
      const results = { ...other.results, ...node.results };
      editor.replace([other, node], [change(node, { op: together.as, args, results, attrs })]);
      return true;
    },
  },
  {
    name: 'bn-gradient-into-depthwise-gradient',
    pattern: 'depthwiseGrad(bnGradApply(…, derivative), …) → depthwiseGrad(…, activation, slope, …), with the gradient of the bias',
    apply(editor, node) {
      if (!is(node, 'normalizeGrad') || node.args.derivative === undefined) return false;
      const du = first(node);
      const grad = editor.soleConsumer(du);
      const name = grad && soleOperand(grad, du);
      const into = grad && name && takesBefore(grad, name, 'normalizeGrad');
      if (!grad || !into) return false;
      const args: Record<string, Values[string]> = { ...grad.args, [name]: arg(node, 'dy') };
      for (const [own, theirs] of Object.entries(into)) args[own] = node.args[theirs];
      const { [Object.keys(node.results)[0]]: _, ...others } = node.results;
      const attrs = { ...grad.attrs, ...(node.attrs.biasGrad ? { biasGrad: true } : {}) };
      editor.replace([node, grad], [change(grad, { args, results: { ...grad.results, ...others }, attrs })]);
      return true;
    },
  },
  {
    name: 'residual-gradient-into-depthwise-gradient',
    pattern: 'add(dx of depthwiseGrad(…), r) → depthwiseGrad(…, residual: r)',
    apply: (editor, node) => !is(node, 'normalize') && takeResidual(editor, node),
  },
];

/** Applies every rule that is not switched off (`all`: none is applied) as often as it fits. */
export function fuse(graph: Graph, withoutRules: readonly string[] = []): { graph: Graph; applied: Map<string, number> } {
  const editor = new GraphEditor(graph);
  const applied = new Map<string, number>();
  for (const rule of FUSION_RULES) {
    if (withoutRules.includes('all') || withoutRules.includes(rule.name)) continue;
    let count = 0;
    // The list of nodes changes under a rewrite; a node that was replaced is not looked at again.
    for (const node of editor.nodes) if (editor.has(node) && rule.apply(editor, node)) count++;
    applied.set(rule.name, count);
  }
  return { graph: editor.finish(), applied };
}
