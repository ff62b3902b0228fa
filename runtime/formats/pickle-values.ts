// What reading a pickle takes and gives: constructors and options, and the values that are none of JavaScript's.

import { latin1 } from '../base/bytes.ts';
import type { Fail } from './zip.ts';

/** What a name in a pickle stands for. All of it makes data and nothing else. */
export interface Constructor {
  /** Makes a value of the arguments; absent: the name stands for itself (a type, a constant) and is not called. Throws what `fail` throws. */
  readonly make?: (args: readonly unknown[], fail: Fail) => unknown;
  /** Completes a value that `make` returned with its state; absent: a state is refused. */
  readonly complete?: (value: unknown, state: unknown, fail: Fail) => void;
}

/** How a pickle is read. */
export interface PickleOptions {
  /** By Python's name: `collections.OrderedDict`. */
  readonly constructors: ReadonlyMap<string, Constructor>;
  /** Turns the identifier of something that is stored elsewhere into it; absent: such identifiers are refused. */
  readonly persistent?: (id: unknown, fail: Fail) => unknown;
  /** What to do about a name that is not among the constructors: the remedy of that error. */
  readonly remedy: (name: string) => string;
  /** Name of the file, for messages. */
  readonly source: string;
  /** Code of the errors. */
  readonly code: 'E_DATA' | 'E_CHECKPOINT';
  /** Where the pickle begins in the bytes; 0 by default. */
  readonly start?: number;
}

/**
 * A value: None is null, numbers are numbers (bigints from 2^53 on), lists and tuples are arrays, dictionaries are maps whose keys of text are
 * strings, sets are sets, bytes are `Uint8Array`s, `str` of Python 2 a `ByteString`, and the rest is what constructors made.
 */
export interface Unpickled {
  readonly value: unknown;
  /** Where the pickle ends: the place after its STOP. */
  readonly end: number;
}

const UTF_8 = new TextDecoder('utf-8', { ignoreBOM: true });
/** Bytes as text; what is none becomes U+FFFD. */
export const replacingText = (bytes: Uint8Array): string => UTF_8.decode(bytes);

/** A name of `constructors`, as a value. */
export class PickleName {
  /** Python's name, with its module. */
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** A `str` of Python 2, which is bytes: text in one file, pixels in another. */
export class ByteString {
  readonly bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
  /** A character for each byte (Latin-1). */
  toString(): string {
    return latin1(this.bytes);
  }
}

/** Text of a pickle of any protocol: a string, or the `str` of Python 2; undefined for everything else. */
export function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return value instanceof ByteString ? value.toString() : undefined;
}

/** Bytes of a pickle of any protocol; undefined for everything else. */
export function bytesOf(value: unknown): Uint8Array | undefined {
  if (value instanceof Uint8Array) return value;
  return value instanceof ByteString ? value.bytes : undefined;
}
