// What people call the parts of a set: folders, files of labels, a column of a table.

import type { PartName } from '../../runtime/data/dataset.ts';

/** What stands beside the word itself: `seg_train`, `training data`, `test_set_images`, `images-val`. */
const BESIDE = '(data|dataset|set|images?|imgs?|photos|pictures|files|samples|split|labels?|annotations?|classes|metadata)';
const decorated = (words: string): RegExp => new RegExp(`^(seg[ _-]?|${BESIDE}[ _-])?(${words})([ _-]?${BESIDE}){0,2}$`, 'i');

const NAMES: Readonly<Record<PartName, RegExp>> = {
  train: decorated('train(ing)?|trainval'),
  validation: decorated('val|valid|validation|dev'),
  test: decorated('test(ing)?\\d?|eval|evaluation|holdout|hold[_-]?out'),
};

/** The part that a name means, in any case: `Train`, `seg_test`, `validation_set`; undefined for every other name. */
export function partOfName(name: string): PartName | undefined {
  return (Object.keys(NAMES) as PartName[]).find((part) => NAMES[part].test(name));
}

/** Folders of images that are called so, and not by a class. */
export const IMAGE_FOLDERS = /^(images?|imgs?|jpe?gs?|pngs?|photos|pictures|data|jpegimages)$/i;
