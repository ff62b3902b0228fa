// asc: -O3s
// Softmax cross-entropy in doubles: the tensors are tiny and everything after them hangs on their digits.
//
// At optimisation level -O3s the library's exp and log are polynomials; at -O3 they read tables, which would be static data
// in the shared memory, and kernels must have none.

import { LossMergeArgs, LossRowsArgs, nextTask, rows, SoftmaxCrossEntropyGradArgs } from '../lib/abi';
import { addedLoss, hasSlopes, hasTerms, LEAST_MISS, logMissSlope, logSumSlope, nllSlope } from '../lib/loss-terms.gen';

/** Largest logit of a row. NaN is skipped here and comes back in the sum of exponentials. */
// @ts-ignore: decorator
@inline
function largest(logits: usize, classes: i32): f64 {
  let most: f64 = -Infinity;
  for (let k = 0; k < classes; k++) {
    const z = <f64>load<f32>(logits + ((<usize>k) << 2));
    if (z > most) most = z;
  }
  return most;
}

/** Σ exp(z − most) of a row. */
// @ts-ignore: decorator
@inline
function sumOfExponentials(logits: usize, classes: i32, most: f64): f64 {
  let sum: f64 = 0;
  for (let k = 0; k < classes; k++) sum += Math.exp(<f64>load<f32>(logits + ((<usize>k) << 2)) - most);
  return sum;
}

/** Σ exp(z − most) of all but the label. */
// @ts-ignore: decorator
@inline
function sumOfOthers(logits: usize, classes: i32, label: i32, most: f64): f64 {
  let sum: f64 = 0;
  for (let k = 0; k < classes; k++) if (k != label) sum += Math.exp(<f64>load<f32>(logits + ((<usize>k) << 2)) - most);
  return sum;
}

/** log(1 − p) of the label. */
// @ts-ignore: decorator
@inline
function logOfMiss(others: f64, sum: f64): f64 {
  return Math.log(Math.max(others / sum, LEAST_MISS));
}

/** Mean of the logits of a row. */
// @ts-ignore: decorator
@inline
function mean(logits: usize, classes: i32): f64 {
  let sum: f64 = 0;
  for (let k = 0; k < classes; k++) sum += <f64>load<f32>(logits + ((<usize>k) << 2));
  return sum / <f64>classes;
}

/** Of each row its loss, an f64, and whether its label has the largest logit, an i32. */
export function lossRows(args: LossRowsArgs): void {
  const logits = args.logits;
  const labels = args.labels;
  const losses = args.losses;
  const hits = args.hits;
  const classes = args.classes;
  const spread = args.spread;
  const tasks = rows();
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const row = logits + ((<usize>task * <usize>classes) << 2);
    const label = load<i32>(labels + ((<usize>task) << 2));
    const most = largest(row, classes);
    const z = <f64>load<f32>(row + ((<usize>label) << 2));
    const total = sumOfExponentials(row, classes, most);
    let loss = Math.log(total) - (z - most);
    const nll = loss;
    if (spread != 0) loss += spread * (z - mean(row, classes));
    if (hasTerms(args)) loss += addedLoss(args, nll, logOfMiss(sumOfOthers(row, classes, label, most), total), Math.log(total) + most);
    if (args.weights > 0) loss *= <f64>args.at(label).factor;
    store<f64>(losses + ((<usize>task) << 3), loss);
    let first = 0;
    while (first < classes - 1 && <f64>load<f32>(row + ((<usize>first) << 2)) != most) first++;
    store<i32>(hits + ((<usize>task) << 2), <i32>(first == label));
  }
}

/** Mean and count over the rows, in their order. */
export function lossMerge(args: LossMergeArgs): void {
  const losses = args.losses;
  const hits = args.hits;
  if (nextTask() != 0) return;
  let sum: f64 = 0;
  let count = 0;
  for (let row = 0; row < rows(); row++) {
    sum += load<f64>(losses + ((<usize>row) << 3));
    count += load<i32>(hits + ((<usize>row) << 2));
  }
  store<f32>(args.loss, <f32>(sum / <f64>rows()));
  store<f32>(args.correct, <f32>count);
}

/** dlogits = (softmax − truth) / rows. */
export function softmaxCrossEntropyGrad(args: SoftmaxCrossEntropyGradArgs): void {
  const logits = args.logits;
  const labels = args.labels;
  const dlogits = args.dlogits;
  const classes = args.classes;
  const tasks = rows();
  const count = <f64>tasks;
  // The truth, of the label and of other classes.
  const other = args.spread / <f64>classes;
  const own = 1 - args.spread + other;
  const terms = hasSlopes(args);
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const offset = (<usize>task * <usize>classes) << 2;
    const row = logits + offset;
    const label = load<i32>(labels + ((<usize>task) << 2));
    const most = largest(row, classes);
    const sum = sumOfExponentials(row, classes, most);
    const weight: f64 = args.weights > 0 ? <f64>args.at(label).factor : 1;
    // What terms of the loss do to the label and, in their shares, to the other classes; and to all of them by their probabilities.
    let push: f64 = 0;
    let pull: f64 = 0;
    let others: f64 = 1;
    if (terms) {
      const rest = sumOfOthers(row, classes, label, most);
      const nll = Math.log(sum) - (<f64>load<f32>(row + ((<usize>label) << 2)) - most);
      const logMiss = logOfMiss(rest, sum);
      const logSum = Math.log(sum) + most;
      push = nllSlope(args, nll, logMiss, logSum) * Math.exp(logMiss) + logMissSlope(args, nll, logMiss, logSum) * Math.exp(-nll);
      pull = logSumSlope(args, nll, logMiss, logSum);
      others = Math.max(rest, LEAST_MISS * sum);
    }
    for (let k = 0; k < classes; k++) {
      const at = (<usize>k) << 2;
      const e = Math.exp(<f64>load<f32>(row + at) - most);
      const p = e / sum;
      let slope = p - (k == label ? own : other);
      if (terms) slope += push * (k == label ? -1 : e / others) + pull * p;
      store<f32>(dlogits + offset + at, <f32>((weight * slope) / count));
    }
  }
}
