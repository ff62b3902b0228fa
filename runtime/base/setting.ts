// A setting is one definition: what it may be, what it is where nobody says, whether a resumed run must keep it, and how the command line
// and configuration files spell it. Types, checks, the rule for resuming, flags, keys, help and docs/commands.md follow from tables of them.

import { type Kind, refuseUnknown, type TextKind } from './kinds.ts';

/** Where the help of the command line puts a flag. */
export type FlagGroup = 'Model' | 'Data' | 'Training' | 'Machine' | 'Output';

/** How people give a setting: a flag, and a key of configuration files, which is the flag without its dashes. */
export interface Flag<Name extends string = string, Plain = unknown, Value = unknown> {
  readonly name: Name;
  readonly group: FlagGroup;
  readonly kind: TextKind<Plain>;
  /** A caption, without the default. */
  readonly help: string;
  readonly example: string;
  /** What the help says of the default; absent: the default itself. */
  readonly otherwise?: string;
  /** Default of the command line where it is not the library's; absent and without one there: not given. */
  readonly usual?: Plain;
  /** The value in the library of what is given, and the other way; absent: the same. */
  readonly read?: (plain: Plain) => Value;
  readonly write?: (value: Value) => Plain;
}

/** One setting of the library. */
export interface Setting<Value = unknown, Name extends string = string, Plain = unknown> {
  readonly kind: Kind<Value>;
  /** Undefined: absent where it is not given, or an error where it is needed. */
  readonly usual: Value | undefined;
  readonly needed?: true;
  /**
   * `bits`: it decides the outcome, so that a resumed run must have it as before, and all ranks of a group alike. `ranks`: only the latter.
   * `nothing`: neither.
   */
  readonly keeps: 'bits' | 'ranks' | 'nothing';
  /** Runs of version 0.1.0 were without it: it was as where nobody says. */
  readonly added?: true;
  /** For comparing with a checkpoint, which keeps it as text; absent: as it prints. */
  readonly describe?: (value: Value, all: Readonly<Record<string, unknown>>) => string;
  /** Null: none, because a person has no use for it. */
  readonly flag: Flag<Name, Plain, Value> | null;
}

/** Settings by their name in code. */
// biome-ignore lint/suspicious/noExplicitAny: values go in and out of the functions of one entry
export type SettingTable = Readonly<Record<string, Setting<any, string, any>>>;

/** The settings of a table, complete. */
export type ValuesOf<T extends SettingTable> = {
  readonly [K in keyof T]: T[K] extends Setting<infer Value, infer _Name, infer _Plain> ? Value : never;
};

type CamelCase<Name extends string> = Name extends `${infer First}-${infer Rest}` ? `${First}${Capitalize<CamelCase<Rest>>}` : Name;
type KeyOf<S> = S extends Setting<infer _Value, infer Name, infer _Plain> ? CamelCase<Name> : never;

/** The plain values of a table's flags, by the flag in camel case: `weightDecay` of `--weight-decay`. */
export type PlainOf<T extends SettingTable> = {
  readonly [K in keyof T as KeyOf<T[K]>]: T[K] extends Setting<infer Value, infer _Name, infer Plain>
    ? undefined extends Value
      ? Plain | undefined
      : Plain
    : never;
};

type Definition<Value, F> = Omit<Setting<Value>, 'kind' | 'usual' | 'flag'> & {
  readonly kind: Kind<Value>;
  readonly usual: NoInfer<Value> | undefined;
  readonly flag: F;
};

/** A definition; its types are those of its kind and of its flag. */
export function setting<Value>(definition: Definition<Value, null>): Setting<Value, never>;
export function setting<Value, const Name extends string, Plain>(
  definition: Definition<Value, Flag<Name, Plain, NoInfer<Value>>>,
): Setting<Value, Name, Plain>;
export function setting(definition: unknown): unknown {
  return definition;
}

/** `weight-decay` → `weightDecay`. */
export const camelCase = (name: string): string => name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
/** `weightDecay` → `weight-decay`. */
export const kebabCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** The word for a setting in files, and on the command line where it has a flag. */
export const spellingOf = (name: string, { flag }: { readonly flag: { readonly name: string } | null }): string =>
  flag?.name ?? kebabCase(name);

/** All settings of a table as `given` has them; what is absent there, or undefined, has its default. */
export function completed<T extends SettingTable>(table: T, given: object): ValuesOf<T> {
  const entries = Object.entries(table).map(([name, { usual }]) => [name, (given as Record<string, unknown>)[name] ?? usual]);
  return Object.fromEntries(entries) as ValuesOf<T>;
}

/**
 * Throws E_USAGE for the first setting of the table that is not what it may be. A name in `given` that is neither in the table nor one of
 * `others` is refused with the nearest one; `what` is whose options they are.
 */
export function checkSettings(
  table: SettingTable,
  given: object,
  { what, others }: { readonly what: string; readonly others: readonly string[] },
): void {
  const entries = Object.entries(given).filter(([, value]) => value !== undefined);
  const flags = new Map(Object.entries(table).flatMap(([name, { flag }]) => (flag ? [[camelCase(flag.name), name]] : [])));
  refuseUnknown(
    entries.map(([name]) => name),
    [...others, ...Object.keys(table)],
    what,
    flags,
  );
  for (const [name, { kind, needed }] of Object.entries(table)) {
    const value = Object.hasOwn(given, name) ? (given as Record<string, unknown>)[name] : undefined;
    if (value !== undefined || needed) kind.check(value, name);
  }
}

/** The library's settings from the plain values of flags; what has no flag, or was not given, comes from `base`. */
export function valuesFrom<T extends SettingTable>(table: T, plain: Readonly<Record<string, unknown>>, base: object = {}): ValuesOf<T> {
  const given = Object.entries(table).map(([name, { flag }]) => {
    const value = flag ? plain[camelCase(flag.name)] : undefined;
    return [name, value === undefined ? (base as Record<string, unknown>)[name] : flag?.read ? flag.read(value) : value];
  });
  return completed(table, Object.fromEntries(given));
}

/** The plain values of flags from settings of the library, of those that are there. */
export function plainFrom(table: SettingTable, values: object): Record<string, unknown> {
  const entries = Object.entries(table).flatMap(([name, { flag }]) => {
    const value = (values as Record<string, unknown>)[name];
    return flag && value !== undefined ? [[camelCase(flag.name), flag.write ? flag.write(value) : value]] : [];
  });
  return Object.fromEntries(entries);
}

/** What flags mean where nobody gives them. */
export function usualPlain(table: SettingTable): Record<string, unknown> {
  const entries = Object.values(table).flatMap(({ usual, flag }) => {
    const plain = flag?.usual ?? (usual === undefined || !flag ? undefined : flag.write ? flag.write(usual) : usual);
    return flag && plain !== undefined ? [[camelCase(flag.name), plain]] : [];
  });
  return Object.fromEntries(entries);
}
