// Sentences of the library on the command line: it names settings as code does, in backticks, `batch` or `batch: 48`, and here they become
// flags, --batch and --batch 48.

import { camelCase } from '../runtime/settings.ts';
import { FLAG_OF, FLAGS_ONLY, KEY_OF, USUAL } from './options.ts';

const LATER = [...FLAGS_ONLY, ...KEY_OF.keys(), 'block', 'layer'].map((flag) => [camelCase(flag), flag] as const);
/** Flag by name in code. Where a name is not a setting of the library it is the flag in camel case. */
const FLAGS: ReadonlyMap<string, string> = new Map([...LATER, ...FLAG_OF]);

/** The sentence with flags in place of settings. What is in backticks and is none stays. */
export function inFlags(sentence: string): string {
  return sentence.replace(/`([a-z][A-Za-z0-9]*)(?:: ([^`]+))?`/g, (whole, name: string, value: string | undefined) => {
    const flag = FLAGS.get(name);
    if (flag === undefined) return whole;
    if (value === 'false' && USUAL[camelCase(flag) as keyof typeof USUAL] === true) return `--no-${flag}`;
    return value === undefined ? `--${flag}` : `--${flag} ${value}`;
  });
}
