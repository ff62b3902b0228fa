// What NumPy puts into pickles: arrays, their types and single numbers.

import { fromLatin1 } from '../base/bytes.ts';
import { type NpyArray, numpyArray } from './npz.ts';
import { bytesOf, type Constructor, PickleName, textOf } from './pickle-values.ts';
import type { Fail } from './zip.ts';

/** The type of an array's elements, in NumPy's words. */
class NumpyType {
  readonly code: string;
  order = '|';
  constructor(code: string) {
    this.code = code;
  }
  get descr(): string {
    return `${this.order}${this.code}`;
  }
}

/** An array of a pickle. It is empty until its state is read. */
export class NumpyArray {
  array: NpyArray | undefined;
}

const type: Constructor = {
  make([code], fail) {
    const name = textOf(code);
    if (name === undefined) return fail('a NumPy type has no name');
    return new NumpyType(name === 'bool' ? 'b1' : name);
  },
  complete(value, state, fail) {
    const [, order, , names] = Array.isArray(state) ? state : [];
    const text = textOf(order);
    if (!(value instanceof NumpyType) || text === undefined || !['<', '>', '|', '='].includes(text)) fail('a NumPy type has no byte order');
    if (names !== null && names !== undefined) fail('a NumPy array has named fields, which are not read');
    (value as NumpyType).order = text as string;
  },
};

const reconstruct: Constructor = {
  make([kind], fail) {
    if (!(kind instanceof PickleName) || kind.name !== 'numpy.ndarray') fail('it makes a NumPy array of another class than ndarray');
    return new NumpyArray();
  },
  complete(value, state, fail) {
    const parts = Array.isArray(state) && state.length === 5 ? state.slice(1) : state;
    if (!(value instanceof NumpyArray) || !Array.isArray(parts) || parts.length !== 4)
      return fail('the state of a NumPy array is not understood');
    const [shape, dtype, fortran, data] = parts;
    value.array = arrayOf({ shape, dtype, fortran: fortran === true || fortran === 1, data }, fail);
  },
};

const scalar: Constructor = {
  make([dtype, data], fail) {
    return arrayOf({ shape: [], dtype, fortran: false, data }, fail).data[0];
  },
};

const fromBuffer: Constructor = {
  make([data, dtype, shape, order], fail) {
    const made = new NumpyArray();
    made.array = arrayOf({ shape, dtype, fortran: textOf(order) === 'F', data }, fail);
    return made;
  },
};

interface Parts {
  readonly shape: unknown;
  readonly dtype: unknown;
  readonly fortran: boolean;
  readonly data: unknown;
}

function arrayOf({ shape, dtype, fortran, data }: Parts, fail: Fail): NpyArray {
  const bytes = bytesOf(data);
  if (!(dtype instanceof NumpyType)) return fail('a NumPy array has no type');
  if (!Array.isArray(shape) || !shape.every((n) => Number.isSafeInteger(n) && n >= 0)) return fail('a NumPy array has no shape');
  if (bytes === undefined) return fail(`a NumPy array of type ${JSON.stringify(dtype.code.slice(0, 20))} holds objects instead of numbers`);
  return numpyArray({ descr: dtype.descr, fortran, shape, bytes }, fail);
}

/** By Python's names: NumPy 2 calls `numpy.core` `numpy._core`. */
export const NUMPY_CONSTRUCTORS: ReadonlyMap<string, Constructor> = new Map<string, Constructor>([
  ['numpy.ndarray', {}],
  ['numpy.dtype', type],
  ...['numpy.core', 'numpy._core'].flatMap((module): [string, Constructor][] => [
    [`${module}.multiarray._reconstruct`, reconstruct],
    [`${module}.multiarray.scalar`, scalar],
    [`${module}.numeric._frombuffer`, fromBuffer],
  ]),
]);

/** What Python itself puts into pickles of plain data. */
export const PYTHON_CONSTRUCTORS: ReadonlyMap<string, Constructor> = new Map<string, Constructor>([
  ['collections.OrderedDict', { make: (args, fail) => orderedDict(args, fail), complete: () => undefined }],
  // Bytes, in protocols 0 to 2 of Python 3: text of Latin-1.
  ['_codecs.encode', { make: encoded }],
  ['__builtin__.set', { make: setOf }],
  ['builtins.set', { make: setOf }],
]);

function setOf([items = []]: readonly unknown[], fail: Fail): Set<unknown> {
  return Array.isArray(items) ? new Set(items) : fail('a set is not understood');
}

function orderedDict([items = []]: readonly unknown[], fail: Fail): Map<unknown, unknown> {
  if (!Array.isArray(items) || !items.every((item) => Array.isArray(item) && item.length === 2))
    return fail('an OrderedDict is not understood');
  return new Map(items.map(([key, value]) => [textOf(key) ?? key, value]));
}

function encoded([text, encoding]: readonly unknown[], fail: Fail): Uint8Array {
  const value = textOf(text);
  if (value === undefined || !['latin1', 'latin-1', 'iso-8859-1'].includes(textOf(encoding) ?? ''))
    return fail('encoded bytes are not Latin-1');
  return fromLatin1(value);
}
