// Softmax cross-entropy to calls of asm/kernels/loss.ts.

import type { Node } from '../../runtime/ir/graph.ts';
import { CROSS_ENTROPY_TERMS, spreadOf } from '../../runtime/losses/cross-entropy.ts';
import { channels } from './elementwise.ts';
import { callsOf, type Kernels, type Lowering } from './lowering.ts';

type TermValues = { readonly [T in never]: number };
/** A number for each attribute that adds a term. */
const TERM_FIELDS = Object.fromEntries(CROSS_ENTROPY_TERMS.map(({ name }) => [name, 'f64'])) as unknown as { readonly [T in never]: 'f64' };

/** Argument blocks of these kernels. */
export const lossKernels = {
  lossRows: {
    logits: 'ptr',
    labels: 'ptr',
    losses: 'ptr',
    hits: 'ptr',
    classes: 'i32',
    spread: 'f64',
    ...TERM_FIELDS,
    weights: ['classWeight'],
  },
  lossMerge: { losses: 'ptr', hits: 'ptr', loss: 'ptr', correct: 'ptr' },
  softmaxCrossEntropyGrad: {
    logits: 'ptr',
    labels: 'ptr',
    dlogits: 'ptr',
    classes: 'i32',
    spread: 'f64',
    ...TERM_FIELDS,
    weights: ['classWeight'],
  },
} as const satisfies Kernels;
const call = callsOf(lossKernels);

/** What kernels know of the loss: the truth, and the attributes whose terms they add. */
const numbersOf = ({ attrs }: Node) => ({
  spread: spreadOf(attrs as { readonly smoothing?: number }),
  ...(Object.fromEntries(CROSS_ENTROPY_TERMS.map(({ name }) => [name, (attrs[name] as number | undefined) ?? 0])) as TermValues),
});

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
        ...numbersOf(node),
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
        ...numbersOf(node),
        weights: weightsOf(node),
      }),
    ];
  },
} satisfies Record<string, Lowering>;
