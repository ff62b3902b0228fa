// Softmax cross-entropy of integer labels, the loss of every model, and its gradient.

import { invariant } from '../base/errors.ts';
import { defineOp } from '../ir/define-op.ts';
import type { ReferenceTensor } from '../ir/op.ts';
import { attr, need } from '../ir/signature.ts';
import type { TensorSpec } from '../ir/tensor.ts';
import { kinds, parameter, perElement } from './check.ts';

const operands = { logits: kinds.row, labels: kinds.index };
/** With smoothing s the truth is 1 − s + s/K for the label, and s/K for every other class. */
const attrs = {
  smoothing: attr.otherwise(0, attr.share),
  /** A factor of each class on the loss of rows with its label; absent: 1. */
  classWeights: attr.optional(attr.factors),
};

function needWeights({ logits }: { readonly logits: TensorSpec }, classWeights: readonly number[] | undefined): void {
  need(classWeights === undefined || classWeights.length === logits.shape[0], `classWeights of ${logits.shape[0]} classes`);
}

/** Calls `visit` for every row with its logits, their log-sum-exp (the maximum taken out first) and its label. */
function forEachRow(
  inputs: { readonly logits: ReferenceTensor; readonly labels: ReferenceTensor },
  visit: (row: number, logits: Float64Array, logSumExp: number, label: number) => void,
): void {
  const [rows, classes] = inputs.logits.shape;
  const all = inputs.logits.data as Float64Array;
  for (let row = 0; row < rows; row++) {
    const logits = all.subarray(row * classes, (row + 1) * classes);
    const label = inputs.labels.data[row];
    invariant(label >= 0 && label < classes, `row ${row} has label ${label}, the logits have ${classes} classes`);
    const maximum = logits.reduce((a, b) => Math.max(a, b));
    const sum = logits.reduce((partial, z) => partial + Math.exp(z - maximum), 0);
    visit(row, logits, maximum + Math.log(sum), label);
  }
}

const softmaxCrossEntropy = defineOp({
  doc: 'loss: the mean over rows, each times the factor of its class where there are classWeights; correct: how many rows have their largest logit at the label, as f32 (ties go to the lowest index)',
  inputs: operands,
  outputs: { loss: kinds.scalar, correct: kinds.scalar },
  attrs,
  infer({ logits }, { classWeights }) {
    needWeights({ logits }, classWeights);
    return { loss: parameter([1]), correct: parameter([1]) };
  },
  // The loss starts the chain: its own gradient is 1, and `correct` is not differentiable.
  gradient: (g, { args: { logits, labels }, attrs }) => ({ logits: () => g.one('softmaxCrossEntropyGrad', { logits, labels }, attrs) }),
  reference({ step, inputs, outputs: { loss, correct } }, { smoothing = 0, classWeights }) {
    forEachRow(inputs, (_row, logits, logSumExp, label) => {
      const weight = classWeights?.[label] ?? 1;
      const mean = logits.reduce((sum, z) => sum + z / logits.length, 0);
      loss.data[0] += (weight * (logSumExp - logits[label] + (smoothing && smoothing * (logits[label] - mean)))) / step.rows;
      // indexOf finds the lowest index of a tie.
      if (logits.indexOf(logits.reduce((a, b) => Math.max(a, b))) === label) correct.data[0] += 1;
    });
  },
  flops: perElement(20),
});

const softmaxCrossEntropyGrad = defineOp({
  doc: 'dlogits = (softmax − truth)/rows, times the factor of the label where there are classWeights',
  inputs: operands,
  outputs: { dlogits: kinds.row },
  attrs,
  infer({ logits }, { classWeights }) {
    needWeights({ logits }, classWeights);
    return { dlogits: logits };
  },
  reference({ step, inputs, outputs: { dlogits } }, { smoothing = 0, classWeights }) {
    forEachRow(inputs, (row, logits, logSumExp, label) => {
      const at = row * logits.length;
      const weight = classWeights?.[label] ?? 1;
      const truth = (k: number) => (k === label ? 1 - smoothing : 0) + smoothing / logits.length;
      for (let k = 0; k < logits.length; k++) dlogits.data[at + k] = (weight * (Math.exp(logits[k] - logSumExp) - truth(k))) / step.rows;
    });
  },
  flops: perElement(20),
});

export const losses = { softmaxCrossEntropy, softmaxCrossEntropyGrad };
