// The arguments of data kernels (asm/data), doubles one after the other: those that all have, then a kernel's own by their names. asm/build.mjs makes
// the classes of asm/data/args.gen.ts of them, by which kernels read them (`EraseArgs` of `erase`).

import { invariant } from '../base/errors.ts';
import { AUGMENTATIONS } from './augment/augmentations.ts';

/** Of every kernel. `scratch`: the address of memory that a kernel may use as it likes. */
export const HEADER = ['height', 'width', 'channels', 'seedLow', 'seedHigh', 'epoch', 'scratch'] as const;

/** Values by name. A name with `[]` has one a channel. */
export type WordValues = Readonly<Record<string, number | readonly number[]>>;

/** Own arguments of every kernel. */
export const KERNEL_WORDS: Readonly<Record<string, readonly string[]>> = {
  interleave: [],
  normalize: ['scale[]', 'shift[]'],
  ...Object.fromEntries(AUGMENTATIONS.flatMap((one) => ('pairs' in one ? [] : [[one.kernel, one.words]]))),
};

/** The purposes of the kernels' draws. */
export const KERNEL_PURPOSES: Readonly<Record<string, number>> = Object.fromEntries(
  AUGMENTATIONS.flatMap((one) => ('pairs' in one ? [] : [[one.kernel, one.purpose]])),
);

/** A kernel's own arguments in order. */
export function wordsOf(kernel: string, values: WordValues): number[] {
  const words = KERNEL_WORDS[kernel];
  invariant(words, `there is no data kernel ${kernel}`);
  invariant(Object.keys(values).length === words.length, `${kernel} takes ${words}, not ${Object.keys(values)}`);
  return words.flatMap((word) => {
    const name = word.replace('[]', '');
    const value = values[name];
    invariant((name === word ? 'number' : 'object') === typeof value, `${kernel} takes ${words}: ${name} is ${value}`);
    return value;
  });
}
