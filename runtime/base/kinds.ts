// Kinds of values: what a setting may be, as a program gives it and, for those that have a word form, as a person types it.

import { HybridError, nearest } from './errors.ts';
import { grouped } from './units.ts';

/** What a value may be. */
export interface Kind<T> {
  /** Completes "must be": a whole number from 1 to 256. */
  readonly expected: string;
  /** Throws E_USAGE, which names `name`, for any other value. */
  check(value: unknown, name: string): void;
  /** Never there: it tells the types apart. */
  readonly type?: T;
}

/** A kind whose values a person can type. */
export interface TextKind<T> extends Kind<T> {
  /** What stands for the value in the help; absent: a switch. */
  readonly placeholder?: string;
  /** Undefined: not what is expected. */
  parse(text: string): T | undefined;
}

/** Largest count: beyond it nothing here was ever meant. */
const MOST = 2 ** 31 - 1;

/** Digits only as text: `1e3`, `0x10` or `5.0` would be a number in some languages and a mistake in others. */
export function integer(least: number, most = MOST): TextKind<number> {
  const accepts = (value: number) => Number.isInteger(value) && value >= least && value <= most;
  return textKind({
    placeholder: 'N',
    expected: `a whole number from ${least} to ${grouped(most)}`,
    accepts: (value) => typeof value === 'number' && accepts(value),
    parse: (text) => (/^\d{1,15}$/.test(text) && accepts(Number(text)) ? Number(text) : undefined),
  });
}

/** Finite also as the float32 that devices compute with, if it is typed: a program may try larger ones. */
export function number(expected: string, accepts: (value: number) => boolean): TextKind<number> {
  return textKind({
    placeholder: 'X',
    expected,
    accepts: (value) => typeof value === 'number' && Number.isFinite(value) && accepts(value),
    parse(text) {
      const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
      return Number.isFinite(Math.fround(value)) && accepts(value) ? value : undefined;
    },
  });
}

/** Numbers above `least`, separated by commas. The value is the text. */
export function numberList(expected: string, least = Number.NEGATIVE_INFINITY): TextKind<string> {
  const one = number(expected, (value) => value > least);
  const accepts = (value: unknown) => typeof value === 'string' && value.split(',').every((part) => one.parse(part.trim()) !== undefined);
  return textKind({ placeholder: 'NUMBERS', expected, accepts, parse: (value) => (accepts(value) ? value : undefined) });
}

/** A number above 0. */
export const above0 = number('a number above 0', (x) => x > 0);
/** A number from 0 on. */
export const from0 = number('a number from 0 on', (x) => x >= 0);
/** A share that never is the whole. */
export const below1 = number('a number from 0 to below 1', (x) => x >= 0 && x < 1);

/** A share that is neither nothing nor the whole. */
export const above0Below1 = number('a number above 0 and below 1', (x) => x > 0 && x < 1);

/** One of some words. */
export function choice<T extends string>(...values: readonly T[]): TextKind<T> {
  return textKind({
    placeholder: values.join('|'),
    expected: `one of ${values.join(', ')}`,
    accepts: (value) => values.some((known) => known === value),
    parse: (text) => values.find((value) => value === text),
  });
}

/** Any words. */
export function text(placeholder: string, expected: string): TextKind<string> {
  const accepts = (value: unknown) => typeof value === 'string' && value !== '' && !value.includes('\0');
  return textKind({ placeholder, expected, accepts, parse: (value) => (accepts(value) ? value : undefined) });
}

/** Text of a form of its own. */
export function form(placeholder: string, expected: string, parse: (text: string) => string | undefined): TextKind<string> {
  return textKind({ placeholder, expected, accepts: (value) => typeof value === 'string' && parse(value) !== undefined, parse });
}

/** A switch. */
export const toggle: TextKind<boolean> = textKind({
  expected: 'true or false',
  accepts: (value) => typeof value === 'boolean',
  parse: (text) => (text === 'true' ? true : text === 'false' ? false : undefined),
});

/** 64 bits: a bigint to a program. */
export const bits64: TextKind<bigint> = textKind({
  placeholder: 'N',
  expected: 'a whole number from 0 to 2^64 - 1',
  remedy: 'Give a bigint from 0n to 2n ** 64n - 1n, such as 5n.',
  accepts: (value) => typeof value === 'bigint' && value >= 0n && value < 1n << 64n,
  parse: (value) => (/^\d{1,20}$/.test(value) && BigInt(value) < 1n << 64n ? BigInt(value) : undefined),
});

/** An object with these fields, of which those that may be missing are named, and no others. */
export function record<T extends object>(
  fields: { readonly [K in keyof T]-?: Kind<NonNullable<T[K]>> },
  optional: readonly (keyof T)[] = [],
): Kind<T> {
  const known = Object.keys(fields);
  return {
    expected: `an object with ${known.join(', ')}`,
    check(value, name) {
      if (typeof value !== 'object' || value === null) throw unexpected(value, name, this.expected);
      refuseUnknown(Object.keys(value), known, name);
      for (const [key, field] of Object.entries<Kind<unknown>>(fields)) {
        const given = Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined;
        if (given !== undefined || !optional.includes(key as keyof T)) field.check(given, `${name}.${key}`);
      }
    },
  };
}

/** The kind, where it is given at all. */
export function optional<T>(inner: Kind<T>): Kind<T | undefined> {
  return inner; // nobody checks what is not given
}

/** The kind, or null. */
export function nullable<T>(inner: Kind<T>): Kind<T | null> {
  return {
    expected: `${inner.expected}, or null`,
    check(value, name) {
      if (value !== null) inner.check(value, name);
    },
  };
}

/** An object whose insides whoever uses it looks at. */
export function anObject<T extends object>(expected: string): Kind<T> {
  return kind({ expected, accepts: (value) => typeof value === 'object' && value !== null });
}

/** A list of words. */
export const words: Kind<readonly string[]> = kind({
  expected: 'a list of names',
  accepts: (value) => Array.isArray(value) && value.every((one) => typeof one === 'string'),
});

/** Throws E_USAGE for the first of `given` that is not known, with the nearest that is. `aliases`: other words for them. */
export function refuseUnknown(
  given: readonly string[],
  known: readonly string[],
  what: string,
  aliases: ReadonlyMap<string, string> = new Map(),
): void {
  const stray = given.find((name) => !known.includes(name));
  if (stray === undefined) return;
  const near = nearest(stray, [...known, ...aliases.keys()]);
  const meant = near === undefined ? undefined : (aliases.get(near) ?? near);
  throw new HybridError(
    'E_USAGE',
    `${what} has no ${JSON.stringify(stray)}${meant ? `; did you mean ${meant}?` : ''}`,
    `Choose from ${known.join(', ')}.`,
    { field: stray, suggested: meant },
  );
}

/** The names of a function's options: its type sees to it that none is missing. */
export type OptionNames<T extends object> = { readonly [K in keyof Required<T>]: true };

/** Throws E_USAGE for options that are no object, and for one that the function does not have, with the nearest that it has; `what` is the function. */
export function refuseUnknownOptions<T extends object>(given: NoInfer<Partial<T>>, names: OptionNames<T>, what: string): void {
  if (typeof given !== 'object' || given === null)
    throw new HybridError('E_USAGE', `the options for ${what} are ${JSON.stringify(given) ?? typeof given}`, 'Give an object, such as {}.');
  refuseUnknown(Object.keys(given), Object.keys(names), what);
}

function kind<T>({ expected, accepts, remedy }: { expected: string; accepts(value: unknown): boolean; remedy?: string }): Kind<T> {
  return {
    expected,
    check(value, name) {
      if (!accepts(value)) throw unexpected(value, name, expected, remedy);
    },
  };
}

function textKind<T>(
  about: Parameters<typeof kind>[0] & { readonly placeholder?: string; parse(text: string): T | undefined },
): TextKind<T> {
  return { ...kind<T>(about), placeholder: about.placeholder, parse: about.parse };
}

function unexpected(value: unknown, name: string, expected: string, remedy = `Give ${expected}.`): HybridError {
  return new HybridError('E_USAGE', `${name} is ${shown(value)}`, remedy, { field: name });
}

/** A value as a program would write it, of bounded length. */
function shown(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'a list' : 'an object';
  return typeof value === 'function' || typeof value === 'symbol' ? `a ${typeof value}` : `${value}`;
}
