// Softmax cross-entropy of integer labels, the loss of every model, and its gradient.

import { invariant } from '../base/errors.ts';
import { defineOp } from '../ir/define-op.ts';
import { evaluator } from '../ir/expression.ts';
import type { ReferenceTensor } from '../ir/op.ts';
import { type Attribute, attr, need } from '../ir/signature.ts';
import type { TensorSpec } from '../ir/tensor.ts';
import { CROSS_ENTROPY, CROSS_ENTROPY_TERMS, spreadOf } from '../losses/cross-entropy.ts';
import { LEAST_MISS, ROW_NAMES } from '../losses/loss.ts';
import { kinds, parameter, perElement } from './check.ts';

const operands = { logits: kinds.row, labels: kinds.index };
type Numbers = { readonly [A in keyof typeof CROSS_ENTROPY]: Attribute<number | undefined> };
const attrs = {
  ...(Object.fromEntries(
    Object.entries(CROSS_ENTROPY).map(([name, { kind, usual }]) => [
      name,
      attr.otherwise(
        usual,
        attr.custom<number>(kind.expected, (value) => typeof value === 'number' && kind.parse(`${value}`) !== undefined),
      ),
    ]),
  ) as unknown as Numbers),
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

/** The terms of the loss that attributes name, in doubles: of what a row is (`ROW`) what they add, and its slopes. */
function termsWith(attrs: Readonly<Record<string, unknown>>) {
  return CROSS_ENTROPY_TERMS.filter(({ name }) => attrs[name]).map(({ name, loss, slopes }) => {
    const value = attrs[name] as number;
    const of = (formula: Parameters<typeof evaluator>[0]) => {
      const compute = evaluator(formula, [name, ...ROW_NAMES]);
      return (row: readonly number[]) => compute(value, ...row);
    };
    return { loss: of(loss), slopes: ROW_NAMES.map((name) => of(slopes[name])) };
  });
}

/** What formulas speak of, of a row: with the sum over the other classes, which keeps its digits where the label's probability is 1. */
function rowOf(logits: Float64Array, logSumExp: number, label: number): { readonly row: readonly number[]; readonly logOthers: number } {
  const others = logits.reduce((sum, z, k) => (k === label ? sum : sum + Math.exp(z - logSumExp)), 0);
  const logMiss = Math.log(Math.max(others, LEAST_MISS));
  return { row: [logSumExp - logits[label], logMiss, logSumExp], logOthers: logMiss + logSumExp };
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
  reference({ step, inputs, outputs: { loss, correct } }, { classWeights, ...attrs }) {
    const spread = spreadOf(attrs);
    const terms = termsWith(attrs);
    forEachRow(inputs, (_row, logits, logSumExp, label) => {
      const weight = classWeights?.[label] ?? 1;
      const mean = logits.reduce((sum, z) => sum + z / logits.length, 0);
      const { row } = rowOf(logits, logSumExp, label);
      const more = terms.reduce((sum, term) => sum + term.loss(row), 0);
      loss.data[0] += (weight * (logSumExp - logits[label] + (spread && spread * (logits[label] - mean)) + more)) / step.rows;
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
  reference({ step, inputs, outputs: { dlogits } }, { classWeights, ...attrs }) {
    const spread = spreadOf(attrs);
    const terms = termsWith(attrs);
    forEachRow(inputs, (row, logits, logSumExp, label) => {
      const at = row * logits.length;
      const weight = classWeights?.[label] ?? 1;
      const truth = (k: number) => (k === label ? 1 - spread : 0) + spread / logits.length;
      const { row: values, logOthers } = rowOf(logits, logSumExp, label);
      const [nll, logMiss, logSum] = ROW_NAMES.map((_, i) => terms.reduce((sum, { slopes }) => sum + slopes[i](values), 0));
      // Of the label: −1; of others: their share of what is not the label's.
      const push = nll * Math.exp(values[1]) + logMiss * Math.exp(-values[0]);
      for (let k = 0; k < logits.length; k++) {
        const p = Math.exp(logits[k] - logSumExp);
        const more = push * (k === label ? -1 : Math.exp(logits[k] - logOthers)) + logSum * p;
        dlogits.data[at + k] = (weight * (p - truth(k) + more)) / step.rows;
      }
    });
  },
  flops: perElement(20),
});

export const losses = { softmaxCrossEntropy, softmaxCrossEntropyGrad };
