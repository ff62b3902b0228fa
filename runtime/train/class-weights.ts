// What the classes weigh in the training loss.

import { HybridError } from '../base/errors.ts';
import type { Kind } from '../base/kinds.ts';
import type { Dataset } from '../data/dataset.ts';

/** `none`: all images weigh the same. `balanced`: all classes do. Or a factor of each class. */
export type ClassWeights = 'none' | 'balanced' | readonly number[];

const EXPECTED = 'none, balanced, or a list of factors from 0 on';

export const classWeightsKind: Kind<ClassWeights> = {
  expected: EXPECTED,
  check(value, name) {
    const isList = Array.isArray(value) && value.length > 0 && value.every((one) => Number.isFinite(one) && one >= 0);
    if (value === 'none' || value === 'balanced' || (isList && value.some((one) => one > 0))) return;
    const given = Array.isArray(value) ? 'a list that has other things than factors, or only zeros' : JSON.stringify(value);
    throw new HybridError('E_USAGE', `${name} is ${given}`, `Give ${EXPECTED}.`, { field: name });
  },
};

/**
 * The factors; undefined: all are 1. Balanced ones are images / (classes with images · images of the class), as in scikit-learn and Keras' guides: their
 * mean over the images is 1, so that the learning rate means what it does without. Throws E_USAGE for a list of another length.
 */
export function factorsOf(weights: ClassWeights, { classes, labels, size, name }: Dataset): readonly number[] | undefined {
  if (weights === 'none') return undefined;
  if (weights !== 'balanced') {
    if (weights.length === classes.length) return weights;
    throw new HybridError(
      'E_USAGE',
      `classWeights has ${weights.length} factors, and ${name} has ${classes.length} classes`,
      'Give a factor for each class, in the order of their labels.',
      { field: 'classWeights' },
    );
  }
  const counts = new Array<number>(classes.length).fill(0);
  for (let i = 0; i < size; i++) counts[labels[i]]++;
  const present = counts.filter((count) => count > 0).length;
  return counts.map((count) => (count === 0 ? 0 : size / (present * count)));
}
