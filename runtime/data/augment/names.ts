// Augmentations as a person names them: `crop,flip`, `randaugment=0.3,erase`. Every name has a value that is used where none is given.

import { HybridError, nearest } from '../../base/errors.ts';
import type { AugmentName } from './augmentation.ts';
import { AUGMENTATIONS, type AugmentOptions } from './augmentations.ts';

/** The names that `augmentOptions` takes, each with its usual value and a line of help. */
export const AUGMENT_NAMES: Readonly<Record<string, AugmentName<AugmentOptions>>> = Object.assign(
  {},
  ...AUGMENTATIONS.map(({ names }) => names),
);

/**
 * The options that a list of names asks for, `none` for nothing. A name may have a value: `rotate=0.1`. Throws E_USAGE for an unknown name, a
 * value that is not a number, a name given twice, or two names for one thing. Whether values are possible depends on the images: that is
 * found when the data pipeline is opened.
 *
 * @category Data
 */
export function augmentOptions(list: string): AugmentOptions {
  const given: Record<string, unknown> = {};
  const from = new Map<string, string>();
  for (const item of list === 'none' ? [] : list.split(',')) {
    const [name, text, ...more] = item.split('=');
    if (!Object.hasOwn(AUGMENT_NAMES, name)) {
      const near = nearest(name, Object.keys(AUGMENT_NAMES));
      throw new HybridError(
        'E_USAGE',
        `there is no augmentation ${JSON.stringify(name)}${near ? `; did you mean ${near}?` : ''}`,
        `Choose from ${Object.keys(AUGMENT_NAMES).join(', ')}, separated by commas, or none.`,
      );
    }
    const named = AUGMENT_NAMES[name];
    const value = text === undefined ? named.value : Number(text);
    if (more.length > 0 || text === '' || !Number.isFinite(value)) {
      throw new HybridError('E_USAGE', `${JSON.stringify(item)} expects a number after '='`, `Give one, such as ${name}=${named.value}.`);
    }
    for (const [key, option] of Object.entries(named.options(value))) {
      const other = from.get(key);
      if (other !== undefined) {
        throw new HybridError(
          'E_USAGE',
          other === name ? `${name} is given twice` : `${other} and ${name} exclude each other`,
          'Leave one out.',
        );
      }
      from.set(key, name);
      given[key] = option;
    }
  }
  return { crop: 0, flip: false, ...given };
}
