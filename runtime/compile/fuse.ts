// Fusion: a short closed list of named rules. Each recognises one exact pattern and moves the work of a node into the
// epilogue (or the input side) of its neighbour, which saves one pass over an activation tensor in each direction.
// Every rule can be switched off; without any the program computes the same, only slower.

import type { Graph, Node, ValueId } from '../ir/graph.ts';
import type { BnGradEpilogue } from '../ops/batchnorm.ts';
import { type DepthwiseGradAttrs, depthwiseGradInputs } from '../ops/depthwise.ts';
import type { Epilogue } from '../ops/epilogue.ts';
import { GraphEditor } from './edit.ts';

/** A fusion rule, by the name that switches it off. */
export interface FusionRule {
  readonly name: string;
  /** Before and after, for `hybrid inspect` and ARCHITECTURE.md. */
  readonly pattern: string;
  /** Rewrites one occurrence that starts at `node`; false where there is none. */
  apply(editor: GraphEditor, node: Node): boolean;
}

const hasEpilogue = ({ op }: Node): boolean => op === 'conv' || op === 'depthwise' || op === 'normalize';
const epilogueOf = (node: Node): Epilogue => (node.attrs.epilogue as Epilogue | undefined) ?? {};
const withEpilogue = (node: Node, change: Epilogue, inputs: readonly ValueId[], outputs: readonly ValueId[]): Node => ({
  ...node,
  inputs,
  outputs,
  attrs: { ...node.attrs, epilogue: { ...epilogueOf(node), ...change } },
});

/** In the order in which they are tried: later rules build on the epilogues that earlier ones made. */
export const FUSION_RULES: readonly FusionRule[] = [
  {
    name: 'rescale-into-conv',
    pattern: 'conv(rescale(u8)) → conv(u8) {inputScale}, and its weight gradient likewise',
    apply(editor, node) {
      if (node.op !== 'rescale') return false;
      const [rescaled] = node.outputs;
      const readers = editor.consumers(rescaled);
      const fits = (reader: Node) => (reader.op === 'conv' || reader.op === 'convGradWeight') && reader.inputs.indexOf(rescaled) === 0;
      if (editor.isObserved(rescaled) || !readers.length || !readers.every(fits)) return false;
      for (const reader of readers) {
        const [, ...rest] = reader.inputs;
        editor.replace(
          [reader],
          [{ ...reader, inputs: [node.inputs[0], ...rest], attrs: { ...reader.attrs, inputScale: node.attrs.scale } }],
        );
      }
      editor.replace([node], []);
      return true;
    },
  },
  {
    name: 'bias-into-epilogue',
    pattern: 'bias(conv(x, w), b) → conv(x, w, b) {epilogue: bias}',
    apply(editor, node) {
      if (!hasEpilogue(node) || node.op === 'normalize' || epilogueOf(node).bias) return false;
      const bias = editor.soleConsumer(node.outputs[0]);
      if (bias?.op !== 'bias') return false;
      editor.replace([node, bias], [withEpilogue(node, { bias: true }, [...node.inputs, bias.inputs[1]], bias.outputs)]);
      return true;
    },
  },
  {
    name: 'residual-into-normalize',
    pattern: 'add(normalize(x, scale, shift), r) → normalize(x, scale, shift, r)',
    apply(editor, node) {
      if (node.op !== 'normalize' || node.inputs.length !== 3) return false;
      const [y] = node.outputs;
      const add = editor.soleConsumer(y);
      if (add?.op !== 'add') return false;
      const residual = add.inputs[0] === y ? add.inputs[1] : add.inputs[0];
      if (residual === y) return false;
      editor.replace([node, add], [{ ...node, inputs: [...node.inputs, residual], outputs: add.outputs }]);
      return true;
    },
  },
  {
    name: 'activation-into-epilogue',
    pattern:
      'gelu(conv(…)) → conv(…) {activation, derivative}, and so for depthwise and normalize; geluGrad reads the stored derivative instead of evaluating erf again',
    apply(editor, node) {
      if (!hasEpilogue(node) || epilogueOf(node).activation) return false;
      const [u] = node.outputs;
      if (editor.isObserved(u)) return false;
      const readers = editor.consumers(u);
      const forward = readers.filter((reader) => reader.op === 'gelu' || reader.op === 'relu');
      const backward = readers.filter(
        (reader) => reader.op === 'geluGrad' && reader.attrs.from === 'input' && reader.inputs[1] === u && reader.inputs[0] !== u,
      );
      if (forward.length !== 1 || forward.length + backward.length !== readers.length) return false;
      const [activation] = forward;
      const outputs = [activation.outputs[0]];
      if (backward.length) {
        const derivative = editor.temporary(activation.outputs[0], 'derivative', editor.spec(u));
        outputs.push(derivative);
        for (const reader of backward) {
          editor.replace([reader], [{ ...reader, inputs: [reader.inputs[0], derivative], attrs: { ...reader.attrs, from: 'derivative' } }]);
        }
      }
      const change: Epilogue = { activation: activation.op as 'gelu' | 'relu', ...(backward.length ? { derivative: true } : {}) };
      editor.replace([node, activation], [withEpilogue(node, change, node.inputs, outputs)]);
      return true;
    },
  },
  {
    name: 'statistics-into-epilogue',
    pattern: 'bnStats(conv(…)) → bnStats(partials of conv(…) {stats}) {from: partials}',
    apply(editor, node) {
      if (!hasEpilogue(node) || epilogueOf(node).stats) return false;
      const [y] = node.outputs;
      const stats = editor.consumers(y).find((reader) => reader.op === 'bnStats' && reader.attrs.from === 'input');
      if (!stats) return false;
      const channels = editor.spec(y).shape.at(-1) as number;
      const partials = editor.temporary(y, 'partials', { dtype: 'f32', shape: [2, channels], perSample: true });
      editor.replace([node], [withEpilogue(node, { stats: true }, node.inputs, [...node.outputs, partials])]);
      editor.replace([stats], [{ ...stats, inputs: [partials], attrs: { ...stats.attrs, from: 'partials' } }]);
      return true;
    },
  },
  {
    name: 'normalize-into-depthwise',
    pattern:
      'depthwise(normalize(x, scale, shift)) → depthwise(x, …, scale, shift) {prologue}; its weight gradient and a residual likewise',
    apply(editor, node) {
      if (node.op !== 'normalize' || node.inputs.length !== 3 || node.attrs.epilogue) return false;
      const [y] = node.outputs;
      const [x, ...affine] = node.inputs;
      // Where one reader needs y stored, the others may as well read it.
      const normalizes = (reader: Node) => (reader.op === 'depthwise' || reader.op === 'depthwiseGradWeight') && reader.inputs[0] === y;
      const adds = (reader: Node) => reader.op === 'normalize' && reader.inputs.length === 4 && reader.inputs[3] === y;
      const fits = (reader: Node) => (normalizes(reader) || adds(reader)) && reader.inputs.filter((id) => id === y).length === 1;
      const readers = editor.consumers(y);
      if (editor.isObserved(y) || !readers.some(normalizes) || !readers.every(fits)) return false;
      for (const reader of readers) {
        const inputs = [...reader.inputs.map((id) => (id === y ? x : id)), ...affine];
        const attrs = normalizes(reader) ? { ...reader.attrs, prologue: { normalize: true } } : reader.attrs;
        editor.replace([reader], [{ ...reader, inputs, attrs }]);
      }
      editor.replace([node], []);
      return true;
    },
  },
  {
    name: 'activation-gradient-into-bn-gradient',
    pattern: 'geluGrad(bnGradApply(…), derivative) → bnGradApply(…, derivative)',
    apply(editor, node) {
      if (node.op !== 'bnGradApply' || node.attrs.epilogue) return false;
      const gelu = editor.soleConsumer(node.outputs[0]);
      if (gelu?.op !== 'geluGrad' || gelu.attrs.from !== 'derivative' || gelu.inputs[0] !== node.outputs[0]) return false;
      const fused = {
        ...node,
        inputs: [...node.inputs, gelu.inputs[1]],
        outputs: gelu.outputs,
        attrs: { ...node.attrs, epilogue: { derivative: true } },
      };
      editor.replace([node, gelu], [fused]);
      return true;
    },
  },
  {
    name: 'bias-gradient-into-bn-gradient',
    pattern: 'biasGrad(bnGradApply(…)) → second output of bnGradApply(…) {biasGrad}',
    apply(editor, node) {
      if (node.op !== 'bnGradApply') return false;
      const epilogue = node.attrs.epilogue as { derivative?: boolean; biasGrad?: boolean } | undefined;
      if (epilogue?.biasGrad) return false;
      const biasGrad = editor.consumers(node.outputs[0]).find((reader) => reader.op === 'biasGrad');
      if (!biasGrad) return false;
      const fused = {
        ...node,
        outputs: [...node.outputs, ...biasGrad.outputs],
        attrs: { ...node.attrs, epilogue: { ...epilogue, biasGrad: true } },
      };
      editor.replace([biasGrad], []);
      editor.replace([node], [fused]);
      return true;
    },
  },
  {
    name: 'depthwise-gradients-together',
    pattern: 'depthwiseGradInput(dy, w), depthwiseGradWeight(x, dy) → depthwiseGrad(dy, x, w)',
    apply(editor, node) {
      if (node.op !== 'depthwiseGradWeight') return false;
      const [x, dy, ...affine] = node.inputs;
      const [dw] = node.outputs;
      const input = editor.consumers(dy).find((reader) => reader.op === 'depthwiseGradInput' && reader.inputs[0] === dy);
      if (!input) return false;
      const { prologue } = node.attrs;
      const fused = { ...node, op: 'depthwiseGrad', inputs: [dy, x, input.inputs[1], ...affine], outputs: [...input.outputs, dw] };
      editor.replace([input, node], [{ ...fused, attrs: prologue ? { prologue } : {} }]);
      return true;
    },
  },
  {
    name: 'bn-gradient-into-depthwise-gradient',
    pattern: 'depthwiseGrad(bnGradApply(…, derivative), …) → depthwiseGrad(…) {prologue: bnGrad}, with the gradient of the bias',
    apply(editor, node) {
      if (node.op !== 'bnGradApply') return false;
      const { derivative, biasGrad } = (node.attrs.epilogue ?? {}) as BnGradEpilogue;
      const [du, ...dbias] = node.outputs;
      const grad = editor.soleConsumer(du);
      if (!derivative || grad?.op !== 'depthwiseGrad' || grad.inputs[0] !== du || grad.inputs.lastIndexOf(du) !== 0) return false;
      const [, x, w, ...rest] = grad.inputs;
      const [dy, activation, scale, alpha, kappa, slope] = node.inputs;
      const prologue = { ...(grad.attrs.prologue as object), bnGrad: true };
      const fused = {
        ...grad,
        inputs: [dy, x, w, activation, scale, alpha, kappa, slope, ...rest],
        outputs: [...grad.outputs, ...dbias],
        attrs: { ...grad.attrs, prologue, ...(biasGrad ? { biasGrad } : {}) },
      };
      editor.replace([node, grad], [fused]);
      return true;
    },
  },
  {
    name: 'residual-gradient-into-depthwise-gradient',
    pattern: 'add(dx of depthwiseGrad(…), r) → depthwiseGrad(…, r) {residual}',
    apply(editor, node) {
      if (node.op !== 'depthwiseGrad' || node.attrs.residual) return false;
      const [dx, ...others] = node.outputs;
      const add = editor.soleConsumer(dx);
      if (add?.op !== 'add') return false;
      const residual = add.inputs[0] === dx ? add.inputs[1] : add.inputs[0];
      if (residual === dx) return false;
      // The scale and shift of x stay last.
      const attrs = node.attrs as DepthwiseGradAttrs;
      const { operands, bnGrad, affine } = depthwiseGradInputs(node.inputs, attrs);
      const inputs = [...operands, ...bnGrad, residual, ...affine];
      editor.replace([node, add], [{ ...node, inputs, outputs: [...add.outputs, ...others], attrs: { ...attrs, residual: true } }]);
      return true;
    },
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
    for (const node of [...editor.nodes]) if (editor.nodes.includes(node) && rule.apply(editor, node)) count++;
    applied.set(rule.name, count);
  }
  return { graph: editor.finish(), applied };
}
