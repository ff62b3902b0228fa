// What an op takes and gives, as data: named operands and results, and a schema of attributes. Here they are checked against what a node
// has, so that an operand or attribute that an op does not know is refused, and never ignored.

import { HybridError, nearest } from '../base/errors.ts';
import { formatSpec, type TensorSpec } from './tensor.ts';

/** Which tensors an operand or result may be. */
export interface Operand {
  /** Its shape, for messages: `[n, h, w, C]`. */
  readonly text: string;
  /** Whether a tensor of that type can be given. */
  fits(spec: TensorSpec): boolean;
  /** A node may lack it. */
  readonly optional?: true;
  /** Any number of tensors, one at least. */
  readonly list?: true;
}

/** By name, in the order in which they are printed. */
export type Operands = Readonly<Record<string, Operand>>;

export const operand = (text: string, fits: (spec: TensorSpec) => boolean): { readonly text: string; fits(spec: TensorSpec): boolean } => ({
  text,
  fits,
});
export const optional = <O extends Operand>(one: O): O & { readonly optional: true } => ({ ...one, optional: true });
export const list = <O extends Operand>(one: O): O & { readonly list: true } => ({ ...one, list: true });

/** Something for each operand: its value, its type, its tensor. */
export type Of<O extends Operands, T> = {
  readonly [K in keyof O]: O[K] extends { list: true } ? readonly T[] : O[K] extends { optional: true } ? T | undefined : T;
};

/** The same where the operands are not known: absent ones are not there. */
export type Named<T> = Readonly<Record<string, T | readonly T[] | undefined>>;

/** Values of an attribute. */
export interface Attribute<T> {
  /** What it may be, for messages: `a whole number above 0`. */
  readonly text: string;
  /** Whether it may be that value. */
  fits(value: unknown): boolean;
  /** A node may lack it: because there is nothing to say, or because of its default. */
  readonly optional?: true;
  /** What its absence stands for. Nodes do not store it, so that an op may get a new attribute and graphs keep their digests. */
  readonly otherwise?: T;
  /** For inference alone. */
  readonly type?: T;
}

/** Attributes by name. */
export type Schema = Readonly<Record<string, Attribute<unknown>>>;
/** The values that a schema allows. */
export type AttrsOf<S extends Schema> = { readonly [K in keyof S]: S[K] extends Attribute<infer T> ? T : never };

const attribute = <T>(text: string, fits: (value: unknown) => boolean): Attribute<T> => ({ text, fits });

/** Kinds of attributes. */
export const attr = {
  /** Any other. */
  custom: attribute,
  /** A finite number, also as the float32 that devices compute with. */
  number: attribute<number>('a number that is finite as a float32', isFinite32),
  /** The same above 0: what a float32 rounds to 0 is not. */
  positive: attribute<number>(
    'a number above 0 that is finite as a float32',
    (value) => isFinite32(value) && Math.fround(value as number) > 0,
  ),
  /** From 0 to below 1. */
  share: attribute<number>('a number from 0 to below 1', (value) => typeof value === 'number' && value >= 0 && value < 1),
  /** From 0 to 1, both included. */
  fraction: attribute<number>('a number from 0 to 1', (value) => typeof value === 'number' && value >= 0 && value <= 1),
  count: attribute<number>('a whole number above 0', isCount),
  natural: attribute<number>('a whole number from 0 on', (value) => Number.isSafeInteger(value) && (value as number) >= 0),
  /** Numbers from 0 on. */
  factors: attribute<readonly number[]>(
    'finite numbers from 0 on',
    (value) => Array.isArray(value) && value.length > 0 && value.every((one) => Number.isFinite(one) && one >= 0),
  ),
  shape: attribute<readonly number[]>('a shape: whole numbers above 0', (value) => Array.isArray(value) && value.every(isCount)),
  /** Rows and columns. */
  pair: attribute<readonly [number, number]>(
    'two whole numbers above 0',
    (value) => Array.isArray(value) && value.length === 2 && value.every(isCount),
  ),
  flag: attribute<boolean>('true or false', (value) => typeof value === 'boolean'),
  choice: <const T extends string>(...values: readonly T[]): Attribute<T> =>
    attribute<T>(values.join(' or '), (value) => values.includes(value as T)),
  /** One of several kinds. */
  either: <A, B>(a: Attribute<A>, b: Attribute<B>): Attribute<A | B> =>
    attribute<A | B>(`${a.text}, or ${b.text}`, (value) => a.fits(value) || b.fits(value)),
  /** Several numbers by name. */
  record: <const S extends Schema>(schema: S): Attribute<{ readonly [K in keyof S]?: AttrsOf<S>[K] }> =>
    attribute(
      `{${Object.keys(schema).join(', ')}}`,
      (value) =>
        typeof value === 'object' &&
        value !== null &&
        Object.entries(value).every(([key, part]) => part === undefined || (Object.hasOwn(schema, key) && schema[key].fits(part))) &&
        Object.entries(schema).every(([key, { optional }]) => optional || (value as Record<string, unknown>)[key] !== undefined),
    ),
  optional: <T>(one: Attribute<T>): Attribute<T | undefined> => ({ ...one, optional: true }) as Attribute<T | undefined>,
  /** Absent where it has this value. */
  otherwise: <T>(value: T, one: Attribute<T>): Attribute<T | undefined> =>
    ({ ...one, optional: true, otherwise: value }) as Attribute<T | undefined>,
};

function isFinite32(value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(Math.fround(value));
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

/** What an op takes and gives. */
export interface Signature {
  readonly inputs: Operands;
  readonly outputs: Operands;
  /** State that it changes in place. Lists share what there is equally. */
  readonly updates?: Operands;
  readonly attrs?: Schema;
  /** Types of the results, undefined for those that this node does not have. Kinds were checked: what is left are relations (`need`). */
  infer(specs: Named<TensorSpec>, attrs: Readonly<Record<string, unknown>>): Readonly<Record<string, TensorSpec | undefined>>;
}

/** Thrown by `need`; becomes an E_USAGE that names the op and what it was given. */
class Unfit extends Error {}

/** For `infer`: what must be so between operands and attributes, or the node is refused with this description of what the op takes. */
export function need(condition: unknown, expected: string): asserts condition {
  if (!condition) throw new Unfit(expected);
}

/** Where the op is described. */
const REMEDY = 'docs/ops.md lists all ops with their operands and attributes.';

/** Throws E_USAGE. */
export function refuse(message: string, remedy = REMEDY): never {
  throw new HybridError('E_USAGE', message, remedy);
}

/** `x [n, h, w, C], bias? [co]`: what an op takes, in words. */
export const formatOperands = (operands: Operands): string =>
  Object.entries(operands)
    .map(([name, { text, optional, list }]) => `${name}${optional ? '?' : ''} ${text}${list ? ' …' : ''}`)
    .join(', ');

const isPresent = (value: unknown): boolean => value !== undefined && !(Array.isArray(value) && value.length === 0);

/**
 * Operands by name, in declared order, absent ones left out. A list without names is taken in declared order, as far as it goes; a list at the
 * end takes the rest. Throws E_USAGE for unknown and missing names.
 */
export function arrange<T>(op: string, declared: Operands, given: readonly T[] | Named<T>): Readonly<Record<string, T | readonly T[]>> {
  const names = Object.keys(declared);
  const takes = () => `${op} takes ${formatOperands(declared)}`;
  const by: Record<string, T | readonly T[] | undefined> = {};
  if (Array.isArray(given)) {
    let at = 0;
    for (const name of names) {
      if (at >= given.length) break;
      if (declared[name].list) {
        by[name] = given.slice(at);
        at = given.length;
      } else by[name] = given[at++];
    }
    if (at < given.length) refuse(`${op} got ${given.length} operands; ${takes()}`);
  } else {
    for (const [name, value] of Object.entries(given as Named<T>)) {
      if (!Object.hasOwn(declared, name)) {
        const near = nearest(name, names);
        refuse(`${op} has no operand ${name}${near ? `; did you mean ${near}?` : ''}; ${takes()}`);
      }
      by[name] = value;
    }
  }
  const arranged: Record<string, T | readonly T[]> = {};
  for (const name of names) {
    const value = by[name];
    if (isPresent(value)) {
      if (Array.isArray(value) !== (declared[name].list === true))
        refuse(`operand ${name} of ${op} is ${declared[name].list ? 'a list' : 'no list'}; ${takes()}`);
      arranged[name] = value as T | readonly T[];
    } else if (!declared[name].optional) refuse(`${op} lacks its operand ${name}; ${takes()}`);
  }
  return arranged;
}

/** All of them in order. */
export const flatten = <T>(named: Named<T>): T[] => Object.values(named).flat() as T[];

/** The like of `named` with what `map` makes of each element; `index` counts through all. */
export function mapNamed<T, U>(named: Named<T>, map: (element: T, index: number) => U): Readonly<Record<string, U | readonly U[]>> {
  let index = 0;
  const mapped: Record<string, U | readonly U[]> = {};
  for (const [name, value] of Object.entries(named)) {
    if (value === undefined) continue;
    mapped[name] = Array.isArray(value) ? value.map((each: T) => map(each, index++)) : map(value as T, index++);
  }
  return mapped;
}

/** `updates` by name: lists share equally what is left. */
export function arrangeUpdates<T>(declared: Operands = {}, updates: readonly T[]): Readonly<Record<string, T | readonly T[]>> {
  const entries = Object.entries(declared);
  const lists = entries.filter(([, { list }]) => list).length;
  const length = lists ? (updates.length - (entries.length - lists)) / lists : 0;
  if (lists ? !Number.isInteger(length) || length < 0 : updates.length !== entries.length)
    refuse(`${updates.length} updates do not make ${formatOperands(declared)}`);
  let at = 0;
  return Object.fromEntries(
    entries.map(([name, { list }]) => {
      const part = list ? updates.slice(at, at + length) : updates[at];
      at += list ? length : 1;
      return [name, part];
    }),
  );
}

/** Attributes as nodes store them: those that are given and are not the default. Throws E_USAGE for unknown, unfit and missing ones. */
export function checkAttrs(op: string, schema: Schema = {}, given: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const names = Object.keys(schema);
  const kept: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(schema, name)) {
      const near = nearest(name, names);
      const known = names.length ? `it has ${names.join(', ')}` : 'it has none';
      refuse(`${op} has no attribute ${name}${near ? `; did you mean ${near}?` : ''} (${known})`);
    }
    if (value === undefined) continue;
    const { text, fits, otherwise } = schema[name];
    if (!fits(value)) refuse(`attribute ${name} of ${op} is ${text}, not ${print(value)}`);
    if (otherwise === undefined || print(otherwise) !== print(value)) kept[name] = value;
  }
  for (const name of names)
    if (!schema[name].optional && !Object.hasOwn(kept, name)) refuse(`${op} lacks its attribute ${name}: ${schema[name].text}`);
  return kept;
}

const print = (value: unknown): string =>
  typeof value === 'object' && value !== null ? JSON.stringify(value) : typeof value === 'bigint' ? `${value}n` : String(value);

/** Types of the results that a node has, by name in declared order. Throws E_USAGE where the op does not take these operands. */
export function inferResults(
  op: string,
  { inputs, outputs, infer }: Signature,
  specs: Readonly<Record<string, TensorSpec | readonly TensorSpec[]>>,
  attrs: Readonly<Record<string, unknown>>,
): Readonly<Record<string, TensorSpec>> {
  const unfit = (expected: string): never => {
    const got = Object.entries(specs).map(
      ([name, spec]) =>
        `${name} ${[spec]
          .flat()
          .map((one) => formatSpec(one as TensorSpec))
          .join(', ')}`,
    );
    return refuse(`${op} got ${got.join(', ')} and takes ${expected}`);
  };
  for (const [name, spec] of Object.entries(specs))
    if (![spec].flat().every((one) => inputs[name].fits(one as TensorSpec))) unfit(formatOperands(inputs));
  let made: Readonly<Record<string, TensorSpec | undefined>>;
  try {
    made = infer(specs, attrs);
  } catch (error) {
    if (error instanceof Unfit) return unfit(error.message);
    throw error;
  }
  return Object.fromEntries(Object.keys(outputs).flatMap((name) => (made[name] ? [[name, made[name]]] : [])));
}
