// Numbers and switches that a definition has besides its formula, such as the momentum of an optimizer: their kinds, and what they are
// where nobody says.

import { choice, refuseUnknown, type TextKind } from './kinds.ts';

/** A number or switch that stays the same during a run. */
export interface Constant<T extends number | boolean = number | boolean> {
  readonly kind: TextKind<T>;
  readonly usual: T;
}
export type ConstantTable = Readonly<Record<string, Constant>>;
export type ValuesOf<T extends ConstantTable> = { readonly [K in keyof T]: T[K]['usual'] };
export type Constants = Readonly<Record<string, number | boolean>>;

/** A constant of a kind. */
export const constant = <T extends number | boolean>(kind: TextKind<T>, usual: NoInfer<T>): Constant<T> => ({ kind, usual });

/**
 * Which of `names` is meant by a name or by options with one, and the other options. Throws E_USAGE where there is none; `what` is what
 * they are names of.
 */
export function named<N extends string>(options: unknown, names: readonly N[], what: string): { name: N; given: Record<string, unknown> } {
  const { name, ...given } = (typeof options === 'string' ? { name: options } : Object(options)) as { name: N } & Record<string, unknown>;
  choice(...names).check(name, what);
  return { name, given };
}

/** All constants of a table, as given or as usual. Throws E_USAGE for one that there is not, or that cannot be; `of` is whose they are. */
export function completeConstants(table: ConstantTable, given: Readonly<Record<string, unknown>>, of: string): Constants {
  refuseUnknown(Object.keys(given), Object.keys(table), of);
  const entries = Object.entries(table).map(([key, { kind, usual }]) => {
    const value = given[key] ?? usual;
    kind.check(value, `${key} of ${of}`);
    return [key, value as number | boolean];
  });
  return Object.fromEntries(entries);
}
