// asc: -O3s
// Softmax cross-entropy in doubles: the tensors are tiny and everything after them hangs on their digits.
//
// At optimisation level -O3s the library's exp and log are polynomials; at -O3 they read tables, which would be static data
// in the shared memory, and kernels must have none.

import { int, nextTask, ptr, rows } from '../lib/abi';

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

/** args: logits [K], labels i32, losses f64 (one per row), hits i32 (one per row), K. Loss of each row, and whether its label has the largest logit. */
export function lossRows(args: usize): void {
  const logits = ptr(args, 0);
  const labels = ptr(args, 1);
  const losses = ptr(args, 2);
  const hits = ptr(args, 3);
  const classes = int(args, 4);
  const tasks = rows();
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const row = logits + ((<usize>task * <usize>classes) << 2);
    const label = load<i32>(labels + ((<usize>task) << 2));
    const most = largest(row, classes);
    const z = <f64>load<f32>(row + ((<usize>label) << 2));
    store<f64>(losses + ((<usize>task) << 3), Math.log(sumOfExponentials(row, classes, most)) - (z - most));
    let first = 0;
    while (first < classes - 1 && <f64>load<f32>(row + ((<usize>first) << 2)) != most) first++;
    store<i32>(hits + ((<usize>task) << 2), <i32>(first == label));
  }
}

/** args: losses f64, hits i32, loss [1], correct [1]. Mean and count over the rows, in their order. */
export function lossMerge(args: usize): void {
  const losses = ptr(args, 0);
  const hits = ptr(args, 1);
  if (nextTask() != 0) return;
  let sum: f64 = 0;
  let count = 0;
  for (let row = 0; row < rows(); row++) {
    sum += load<f64>(losses + ((<usize>row) << 3));
    count += load<i32>(hits + ((<usize>row) << 2));
  }
  store<f32>(ptr(args, 2), <f32>(sum / <f64>rows()));
  store<f32>(ptr(args, 3), <f32>count);
}

/** args: logits [K], labels i32, dlogits [K], K. (softmax − onehot) / rows. */
export function softmaxCrossEntropyGrad(args: usize): void {
  const logits = ptr(args, 0);
  const labels = ptr(args, 1);
  const dlogits = ptr(args, 2);
  const classes = int(args, 3);
  const tasks = rows();
  const count = <f64>tasks;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const offset = (<usize>task * <usize>classes) << 2;
    const row = logits + offset;
    const label = load<i32>(labels + ((<usize>task) << 2));
    const most = largest(row, classes);
    const sum = sumOfExponentials(row, classes, most);
    for (let k = 0; k < classes; k++) {
      const at = (<usize>k) << 2;
      const p = Math.exp(<f64>load<f32>(row + at) - most) / sum;
      store<f32>(dlogits + offset + at, <f32>((p - (k == label ? 1 : 0)) / count));
    }
  }
}
