// What a setting of a layer can be. A kind reads both what a program gives as an option and what Keras' configuration says, so that
// there is one list of settings for both; it knows how the value is written, and what of it two equal layers share.

/** A setting. `O` is true where it has a default and may be left out. */
export interface Kind<V, I = V, O extends boolean = boolean> {
  /** In words, for refusals: `a whole number from 1 on`. */
  readonly expected: string;
  /** The value that is meant; undefined: what is given is not of this kind. */
  read(given: unknown): V | undefined;
  /** As Keras' configuration has it; the value itself where this is absent. */
  write?(value: V): unknown;
  /** The same for a file that Keras reads, where it does not know all values. */
  foreign?(value: V): unknown;
  /** What Keras takes where nothing is given. */
  readonly fallback?: (config: Readonly<Record<string, unknown>>) => V;
  /** Keras' name, where it is not ours in snake case, and others it has had. */
  readonly key?: string;
  readonly earlierKeys?: readonly string[];
  /** `training`: models that differ in it compute the same. `fixed`: no option; a file may say only this. */
  readonly part?: 'training' | 'fixed';
  /** What results depend on, where that is less than the value. */
  reduced?(value: V): unknown;
  /** For types alone. */
  readonly '~input'?: I;
  readonly '~optional'?: O;
}

// biome-ignore lint/suspicious/noExplicitAny: any kind of value
export type AnyKind = Kind<any, any, boolean>;
/** Settings by their names in this program: Keras' in camel case. */
export type Schema = Readonly<Record<string, AnyKind>>;

type ValueOf<K> = K extends Kind<infer V, infer _I, infer _O> ? V : never;
type InputOf<K> = K extends { readonly '~input'?: infer I } ? I : never;
type FixedKeys<S> = { [K in keyof S]: S[K] extends { readonly part: 'fixed' } ? K : never }[keyof S];
type OptionalKeys<S> = { [K in keyof S]: S[K] extends { readonly '~optional'?: true } ? K : never }[keyof S];

/** All settings of a layer, defaults filled in. */
export type ConfigOf<S> = { readonly [K in Exclude<keyof S, FixedKeys<S>>]: ValueOf<S[K]> };
/** What is given for it. */
export type OptionsOf<S> = { readonly [K in Exclude<keyof S, FixedKeys<S> | OptionalKeys<S>>]: InputOf<S[K]> } & {
  readonly [K in Exclude<OptionalKeys<S>, FixedKeys<S>>]?: InputOf<S[K]> | undefined;
};

/** `conv2d`, `depthwise_conv2d`, `kernel_size`: Keras' rule for the names of classes in files, and for keys. */
export const snakeCase = (name: string): string =>
  name
    .replace(/(.)([A-Z][a-z]+)/g, '$1_$2')
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .toLowerCase();

const isWhole = (value: unknown, from: number): value is number => Number.isSafeInteger(value) && (value as number) >= from;

/** A kind with a default: a value, or one that follows from the settings before it. */
export function optional<V, I, F extends V | ((config: never) => V)>(kind: Kind<V, I, false>, fallback: F): Kind<V, I, true> {
  const of = typeof fallback === 'function' ? fallback : () => fallback;
  return { ...kind, fallback: of as Kind<V>['fallback'] } as Kind<V, I, true>;
}

/** A setting that results in inference do not depend on. */
export const training = <K extends AnyKind>(kind: K): K => ({ ...kind, part: 'training' });

/** What Keras could say and we have in one way only. */
export const fixed = <const V>(value: V): Kind<V, never, true> & { readonly part: 'fixed' } => ({
  expected: JSON.stringify(value),
  read: (given) => (JSON.stringify(given) === JSON.stringify(value) ? value : undefined),
  fallback: () => value,
  part: 'fixed',
});

export const whole = (from = 1): Kind<number, number, false> => ({
  expected: `a whole number from ${from} on`,
  read: (given) => (isWhole(given, from) ? given : undefined),
});

export const number = (expected = 'a number', fits: (value: number) => boolean = () => true): Kind<number, number, false> => ({
  expected,
  read: (given) => (typeof given === 'number' && Number.isFinite(Math.fround(given)) && fits(given) ? given : undefined),
  // Two programs may keep the same factor with more or fewer digits: devices compute with a float32.
  reduced: Math.fround,
});

/** A number, or one for each channel. */
export const numbers: Kind<number | readonly number[], number | readonly number[], false> = {
  expected: 'a number, or a list of one for each channel',
  read: (given) => {
    const list = [given].flat(9) as unknown[];
    if (list.length === 0 || !list.every((value) => typeof value === 'number' && Number.isFinite(value))) return undefined;
    return Array.isArray(given) ? (list as number[]) : (given as number);
  },
  reduced: (value) => (typeof value === 'number' ? Math.fround(value) : value.map(Math.fround)),
};

/** A setting that may say nothing. */
export const orNone = <V, I>(kind: Kind<V, I, false>): Kind<V | null, I | null, true> => ({
  ...(kind as Kind<V | null, I | null, false>),
  fallback: () => null,
  read: (given) => (given === null ? null : kind.read(given)),
  reduced: (value) => (value === null || !kind.reduced ? value : kind.reduced(value)),
  write: (value) => (value === null || !kind.write ? value : kind.write(value)),
  '~optional': true,
});

export const rate: Kind<number, number, false> = number('a number from 0 to below 1', (value) => value >= 0 && value < 1);

export const flag: Kind<boolean, boolean, false> = {
  expected: 'true or false',
  read: (given) => (typeof given === 'boolean' ? given : undefined),
};

export const choice = <const T extends string>(...values: readonly T[]): Kind<T, T, false> => ({
  expected: values.join(' or '),
  read: (given) => values.find((value) => value === given),
});

/** [height, width]. */
export type Pair = readonly [number, number];

/** Two whole numbers for height and width, or one for both. */
export const pair: Kind<Pair, number | Pair, false> = {
  expected: 'a whole number from 1 on, or two for height and width',
  read: (given) => {
    const [height, width, ...more] = Array.isArray(given) ? given : [given, given];
    return more.length === 0 && isWhole(height, 1) && isWhole(width, 1) ? [height, width] : undefined;
  },
};

/** Shape of one sample; a file has the number of samples before it, which is open. */
export const sampleShape: Kind<readonly number[], readonly number[], false> = {
  key: 'batch_shape',
  earlierKeys: ['batch_input_shape', 'shape'],
  expected: 'a list of whole numbers from 1 on, the size of one image',
  read: (given) => {
    const sizes = Array.isArray(given) && given[0] === null ? given.slice(1) : given;
    return Array.isArray(sizes) && sizes.length > 0 && sizes.every((n) => isWhole(n, 1)) ? sizes : undefined;
  },
  write: (shape) => [null, ...shape],
};

/** The last axis, that of the channels: -1, or its number, counted from the samples (`alongLast` compares it with the shape). Null is all axes: none. */
export const lastAxis: Kind<number, number, true> = {
  expected: 'the last axis: -1, or its number, counted from the samples, which are 0',
  read: (given) => {
    const [axis, ...more] = [given ?? 0].flat() as unknown[];
    return more.length === 0 && Number.isSafeInteger(axis) ? (axis as number) : undefined;
  },
  fallback: () => -1,
  reduced: () => -1,
  '~optional': true,
};

/** A shape of which one size may be -1: as many as there are. */
export const targetShape: Kind<readonly number[], readonly number[], false> = {
  expected: 'a list of whole numbers from 1 on, of which one may be -1',
  read: (given) =>
    Array.isArray(given) && given.length > 0 && given.every((n) => n === -1 || isWhole(n, 1)) && given.filter((n) => n === -1).length <= 1
      ? given
      : undefined,
};

/** Which elements have one fate, axis by axis, the samples first; null stands for the size that there is. */
export const noiseShape: Kind<readonly (number | null)[], readonly (number | null)[], false> = {
  expected: 'a list: null, then for each axis 1, null or its size',
  read: (given) =>
    Array.isArray(given) && given.length > 1 && given[0] === null && given.every((n) => n === null || isWhole(n, 1)) ? given : undefined,
};

/** Axes of a sample, counted from 1 as Keras does. */
export const sampleAxes: Kind<readonly number[], readonly number[], false> = {
  expected: 'a list of axes, counted from 1',
  read: (given) => {
    const axes = typeof given === 'number' ? [given] : given;
    return Array.isArray(axes) && axes.every((axis) => isWhole(axis, 1)) ? axes : undefined;
  },
};

/** Axes in another order, counted from 1 as Keras does. */
export const dims: Kind<readonly number[], readonly number[], false> = {
  expected: 'the numbers from 1 on, one for each axis, in some order',
  read: (given) =>
    Array.isArray(given) && `${[...given].sort((a, b) => a - b)}` === `${given.map((_, axis) => axis + 1)}` ? given : undefined,
};

/** Rows above and below, columns to the left and to the right. */
export type Margins = readonly [readonly [number, number], readonly [number, number]];

/** One number for all sides, one for each axis, or one for each side. */
export const margins: Kind<Margins, number | readonly [number, number] | Margins, false> = {
  expected: 'a whole number from 0 on, two for height and width, or two pairs for top, bottom, left and right',
  read: (given) => {
    const axes = Array.isArray(given) ? given : [given, given];
    const sides = axes.map((axis) => (Array.isArray(axis) ? axis : [axis, axis]));
    return sides.length === 2 && sides.every((side) => side.length === 2 && side.every((n) => isWhole(n, 0)))
      ? (sides as unknown as Margins)
      : undefined;
  },
};
