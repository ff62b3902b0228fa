// Classes by their names: a model trained on one set is asked about another, whose classes may come in another order, or be others.

import { HybridError } from '../base/errors.ts';
import { changed, type Dataset } from './dataset.ts';

/** Names in the order of the labels, and whose they are, for messages. */
export interface NamedClasses {
  readonly name: string;
  readonly classes: readonly string[];
}

/** False for what stands for names that nobody has given. */
export const hasNames = (classes: readonly string[]): boolean => !classes.every((name, label) => name === `class ${label}`);

/**
 * For each class of the data, the class of that name among those of the model; where either has no names, or both have the same names in the same
 * order, the one of the same number. Throws E_DATA where the model has none for a class that some label of `labels` is of, where two have its name
 * (ImageNet has two cranes), or the numbers of classes without names differ.
 */
export function matchClasses(model: NamedClasses, data: NamedClasses & { readonly labels?: ArrayLike<number> }): Int32Array {
  const byName = hasNames(model.classes) && hasNames(data.classes);
  const alike = data.classes.length === model.classes.length && data.classes.every((name, label) => name === model.classes[label]);
  if (!byName || alike) {
    if (data.classes.length === model.classes.length) return Int32Array.from(data.classes, (_, label) => label);
    throw new HybridError(
      'E_DATA',
      `${data.name} has ${data.classes.length} classes, and ${model.name} tells ${model.classes.length} apart`,
      'Name data of the classes that the model was trained on.',
    );
  }
  const matched = Int32Array.from(data.classes, (name) => model.classes.indexOf(name));
  const used = data.labels && new Set(Array.from(data.labels));
  const unknown = data.classes.filter((_, label) => matched[label] < 0 && (used?.has(label) ?? true));
  const isTwice = (names: readonly string[], name: string) => names.indexOf(name) !== names.lastIndexOf(name);
  const ambiguous = data.classes.find(
    (name, label) => (used?.has(label) ?? true) && (isTwice(data.classes, name) || isTwice(model.classes, name)),
  );
  if (ambiguous !== undefined) {
    const whose = isTwice(model.classes, ambiguous) ? model : data;
    throw new HybridError(
      'E_DATA',
      `${whose.name} has two classes called ${JSON.stringify(ambiguous)}, and the classes of ${data.name} come in another order than those of ${model.name}`,
      'Give each class a name of its own, in both.',
    );
  }
  if (unknown.length === 0) return matched;
  throw new HybridError(
    'E_DATA',
    `${data.name} has the ${unknown.length === 1 ? 'class' : 'classes'} ${listed(unknown)}, and ${model.name} knows ${listed(model.classes)}`,
    'Name data of the classes that the model was trained on; classes are matched by their names.',
  );
}

/** The dataset with labels of the model's classes, as `matchClasses` gives them. The same one where they are already. */
export function relabelled(dataset: Dataset, classes: readonly string[], matched: Int32Array): Dataset {
  if (dataset.classes.length === classes.length && matched.every((to, label) => to === label)) return dataset;
  return changed(dataset, { classes, labels: Int32Array.from(dataset.labels, (label) => matched[label]) });
}

const MOST = 8;

/** As they are, a bounded number of them. */
function listed(names: readonly string[]): string {
  const more = names.length > MOST ? `, … (${names.length} in all)` : '';
  return (
    names
      .slice(0, MOST)
      .map((name) => JSON.stringify(name))
      .join(', ') + more
  );
}
