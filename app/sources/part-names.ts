// What people call the parts of a set: folders, files of labels, a column of a table.

import type { PartName } from '../../runtime/data/dataset.ts';

const decorated = (words: string): RegExp =>
  new RegExp(`^(seg[_-]?)?(${words})([_-]?(set|data|images|labels?|annotations?|classes))?$`, 'i');

const NAMES: Readonly<Record<PartName, RegExp>> = {
  train: decorated('train(ing)?|trainval'),
  validation: decorated('val|valid|validation|dev'),
  test: decorated('test(ing)?\\d?|eval|evaluation|holdout|hold[_-]?out'),
};

/** The part that a name means, in any case: `Train`, `seg_test`, `validation_set`; undefined for every other name. */
export function partOfName(name: string): PartName | undefined {
  return (Object.keys(NAMES) as PartName[]).find((part) => NAMES[part].test(name));
}
