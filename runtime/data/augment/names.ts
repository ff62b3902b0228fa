// Augmentations as a person names them: `crop,flip`, `randaugment=0.3,erase`. Every name has a value that is used where none is given.

import { HybridError, nearest } from '../../base/errors.ts';
import type { AugmentOptions } from './augmentation.ts';

interface Named {
  readonly value: number;
  readonly help: string;
  options(value: number): Partial<AugmentOptions>;
}

/** The names that `augmentOptions` takes, each with its usual value and a line of help. */
export const AUGMENT_NAMES = {
  crop: { value: 4, help: 'shifts by up to 4 pixels, black outside', options: (crop) => ({ crop }) },
  'crop-reflect': { value: 4, help: 'the same, mirrored outside', options: (crop) => ({ crop, padding: 'reflect' }) },
  flip: { value: 0.5, help: 'half of the images mirrored left to right', options: () => ({ flip: true }) },
  'alternating-flip': { value: 0.5, help: 'each image mirrored in every other epoch', options: () => ({ flip: 'alternate' }) },
  resize: { value: 2, help: '2 pixels larger, then a window of the own size', options: (grow) => ({ grow }) },
  rotate: { value: 0.06, help: 'by up to 0.06 of a turn', options: (rotate) => ({ rotate }) },
  zoom: { value: 0.06, help: 'in and out by up to 0.06', options: (zoom) => ({ zoom }) },
  colour: {
    value: 0.4,
    help: 'brightness, contrast, saturation by up to 0.4',
    options: (strength) => ({ colour: { brightness: strength, contrast: strength, saturation: strength } }),
  },
  randaugment: {
    value: 0.5,
    help: 'two of thirteen operations, magnitude 0.5',
    options: (magnitude) => ({ policy: { operations: 2, magnitude } }),
  },
  erase: {
    value: 0.25,
    help: 'a rectangle painted over in 0.25 of the images',
    options: (probability) => ({ erase: { probability, area: [0.02, 0.33], ratio: 3.3, fill: 'mean' } }),
  },
  cutout: {
    value: 0.5,
    help: 'a square of 0.5 of the side painted over in every image',
    options: (side) => ({ erase: { probability: 1, area: [side * side, side * side], ratio: 1, fill: 'mean' } }),
  },
  mixup: { value: 1, help: 'every image blended with another one', options: (probability) => ({ mix: { kind: 'mixup', probability } }) },
  cutmix: {
    value: 1,
    help: 'a rectangle of every image from another one',
    options: (probability) => ({ mix: { kind: 'cutmix', probability } }),
  },
} as const satisfies Record<string, Named>;

/**
 * The options that a list of names asks for, `none` for nothing. A name may have a value: `rotate=0.1`. Throws E_USAGE for an unknown name, a
 * value that is no number, a name given twice, or two names for one thing. Whether values are possible depends on the images: that is
 * found when the data pipeline is opened.
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
        `Choose of ${Object.keys(AUGMENT_NAMES).join(', ')}, separated by commas, or none.`,
      );
    }
    const named: Named = AUGMENT_NAMES[name as keyof typeof AUGMENT_NAMES];
    const value = text === undefined ? named.value : Number(text);
    if (more.length > 0 || text === '' || !Number.isFinite(value)) {
      throw new HybridError(
        'E_USAGE',
        `${JSON.stringify(item)} has no number after the sign of equality`,
        `Give one, such as ${name}=${named.value}.`,
      );
    }
    for (const [key, option] of Object.entries(named.options(value))) {
      const other = from.get(key);
      if (other !== undefined) {
        throw new HybridError(
          'E_USAGE',
          other === name ? `${name} is there twice` : `${other} and ${name} are two ways of one thing`,
          'Leave one out.',
        );
      }
      from.set(key, name);
      given[key] = option;
    }
  }
  return { crop: 0, flip: false, ...given };
}
