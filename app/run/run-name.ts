// The name of a run: one path component.

import { HybridError } from '../../runtime/base/errors.ts';

const NAME_RULES: readonly (readonly [broken: RegExp, why: string])[] = [
  [/^$/, 'it is empty'],
  [/^\.\.?$/, 'it stands for another folder'],
  [/[/\\]/, 'it has a slash or backslash'],
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  [/[\u0000-\u001f]/, 'it has a control character'],
  [/^.{201}/s, 'it is longer than 200 characters'],
];

/** Refuses what cannot be the `name` of `RunFolder.create`. Throws E_USAGE with the rule that it breaks. */
export function checkRunName(name: string): void {
  const broken = NAME_RULES.find(([pattern]) => pattern.test(name));
  if (!broken) return;
  const shown = JSON.stringify(name.length > 60 ? `${name.slice(0, 60)}…` : name);
  throw new HybridError(
    'E_USAGE',
    `${shown} cannot be the name of a run: ${broken[1]}`,
    'Use a name without slashes, at most 200 characters long; `out` names the folder that it is made in.',
    { field: 'name' },
  );
}

/** Local time, as in `2031-05-09-174501`. */
export function timestamp(date: Date): string {
  const two = (n: number) => String(n).padStart(2, '0');
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
  return `${day}-${two(date.getHours())}${two(date.getMinutes())}${two(date.getSeconds())}`;
}
