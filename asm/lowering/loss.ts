// Softmax cross-entropy to calls of asm/kernels/loss.ts.

import type { Node } from '../../runtime/ir/graph.ts';
import { channels } from './elementwise.ts';
import { callsOf, type Kernels, type Lowering } from './lowering.ts';

/** Argument blocks of these kernels. */
export const lossKernels = {
  lossRows: { logits: 'ptr', labels: 'ptr', losses: 'ptr', hits: 'ptr', classes: 'i32', smoothing: 'f64', weights: ['classWeight'] },
  lossMerge: { losses: 'ptr', hits: 'ptr', loss: 'ptr', correct: 'ptr' },
  softmaxCrossEntropyGrad: { logits: 'ptr', labels: 'ptr', dlogits: 'ptr', classes: 'i32', smoothing: 'f64', weights: ['classWeight'] },
} as const satisfies Kernels;
const call = callsOf(lossKernels);

const smoothingOf = ({ attrs }: Node): number => (attrs.smoothing as number | undefined) ?? 0;

const weightsOf = ({ attrs }: Node): { readonly factor: number }[] =>
  ((attrs.classWeights as readonly number[] | undefined) ?? []).map((factor) => ({ factor }));

export const loss = {
  softmaxCrossEntropy(node, { capacity, spec, address, scratch }) {
    const [logits, labels] = node.inputs;
    const [loss, correct] = node.outputs;
    const losses = scratch(capacity * 8);
    const hits = scratch(capacity * 4);
    return [
      call('lossRows', {
        logits: address(logits),
        labels: address(labels),
        losses,
        hits,
        classes: channels(spec(logits)),
        smoothing: smoothingOf(node),
        weights: weightsOf(node),
      }),
      call('lossMerge', { losses, hits, loss: address(loss), correct: address(correct) }),
    ];
  },
  softmaxCrossEntropyGrad(node, { spec, address }) {
    const [logits, labels] = node.inputs;
    const [dlogits] = node.outputs;
    const classes = channels(spec(logits));
    return [
      call('softmaxCrossEntropyGrad', {
        logits: address(logits),
        labels: address(labels),
        dlogits: address(dlogits),
        classes,
        smoothing: smoothingOf(node),
        weights: weightsOf(node),
      }),
    ];
  },
} satisfies Record<string, Lowering>;
