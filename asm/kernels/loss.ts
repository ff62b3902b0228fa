// asc: -O3s
// Softmax cross-entropy in doubles: the tensors are tiny and everything after them hangs on their digits.
//
// At optimisation level -O3s the library's exp and log are polynomials; at -O3 they read tables, which would be static data
// in the shared memory, and kernels must have none.

import { LossMergeArgs, LossRowsArgs, nextTask, rows, SoftmaxCrossEntropyGradArgs } from '../lib/abi';

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
  const smoothing = args.smoothing;
  const tasks = rows();
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const row = logits + ((<usize>task * <usize>classes) << 2);
    const label = load<i32>(labels + ((<usize>task) << 2));
    const most = largest(row, classes);
    const z = <f64>load<f32>(row + ((<usize>label) << 2));
    let loss = Math.log(sumOfExponentials(row, classes, most)) - (z - most);
    if (smoothing != 0) loss += smoothing * (z - mean(row, classes));
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
  const other = args.smoothing / <f64>classes;
  const own = 1 - args.smoothing + other;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const offset = (<usize>task * <usize>classes) << 2;
    const row = logits + offset;
    const label = load<i32>(labels + ((<usize>task) << 2));
    const most = largest(row, classes);
    const sum = sumOfExponentials(row, classes, most);
    const weight: f64 = args.weights > 0 ? <f64>args.at(label).factor : 1;
    for (let k = 0; k < classes; k++) {
      const at = (<usize>k) << 2;
      const p = Math.exp(<f64>load<f32>(row + at) - most) / sum;
      store<f32>(dlogits + offset + at, <f32>((weight * (p - (k == label ? own : other))) / count));
    }
  }
}
