// What logits say: classes and probabilities.

import { HybridError } from '../base/errors.ts';

/** For logits that are no numbers: whatever were said of such an image, the first class for example, would be made up. */
export const notFinite = (what: string): HybridError =>
  new HybridError(
    'E_DIVERGED',
    `the logits of ${what} are not finite`,
    'These weights cannot be used: they are damaged, or their training diverged.',
  );

/** Logarithms of the probabilities that `count` logits from `start` on stand for, by class. */
export function logSoftmax(logits: ArrayLike<number>, start: number, count: number): (index: number) => number {
  const largest = logits[start + argmax(logits, start, count)];
  let sum = 0;
  for (let i = 0; i < count; i++) sum += Math.exp(logits[start + i] - largest);
  return (index) => logits[start + index] - largest - Math.log(sum);
}

/** Probabilities of the classes that the logits of row `row` stand for. Throws E_DIVERGED, about `what`, where they are not finite. */
export function probabilitiesOf(logits: ArrayLike<number>, row: number, classes: number, what: string): Float64Array {
  const logProbability = logSoftmax(logits, row * classes, classes);
  if (Number.isNaN(logProbability(0))) throw notFinite(what);
  return Float64Array.from({ length: classes }, (_, index) => Math.exp(logProbability(index)));
}

/** Index of the largest of `count` values from `start` on; ties go to the lowest. */
export function argmax(values: ArrayLike<number>, start: number, count: number): number {
  let best = 0;
  for (let i = 1; i < count; i++) if (values[start + i] > values[start + best]) best = i;
  return best;
}
