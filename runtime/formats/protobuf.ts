// Protocol buffers on the wire: a message is fields by number, one after the other, each a number or a piece of bytes, which may be a message
// itself. Nothing here recurses: whoever reads a message says what its fields are, so that depth follows from the reader and never from a file.
//
// A file may come from anywhere: a field takes two bytes there and some hundred here, so fields are counted.

import { Varints } from './varints.ts';
import type { Fail } from './zip.ts';

const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** What a field holds; each reading of it fails where it is of another kind. */
export interface ProtobufField {
  /** A whole number, signed, of up to 64 bits; beyond 2^53 the last digits are lost. */
  integer(): number;
  float(): number;
  text(): string;
  /** A view of the file. */
  bytes(): Uint8Array;
  /** Of a repeated field: one, or many in one piece, `most` of them. */
  integers(most: number): readonly number[];
  floats(most: number): readonly number[];
}

/** By number of the field; others are passed over. */
export type ProtobufHandlers = Readonly<Record<number, (field: ProtobufField) => void>>;

/** Reads the messages of one file. */
export class Protobuf {
  readonly #fail: Fail;
  #left: number;

  /** @param most Fields of all messages together that a file may have. */
  constructor(most: number, fail: Fail) {
    this.#left = most;
    this.#fail = fail;
  }

  /**
   * Hands the fields of a message to those who read them, in the order of the file.
   * @param what The message is, for errors.
   */
  read(bytes: Uint8Array, what: string, handlers: ProtobufHandlers): void {
    const fail = this.#fail;
    const from = new Varints(bytes, what, fail);
    const field = new Field(bytes, from, what, fail);
    while (from.at < bytes.length) {
      if (--this.#left < 0) fail('it has more fields than any model');
      const key = from.unsigned();
      const number = Number(key >> 3n);
      if (number === 0 || number >= 2 ** 29) fail(`${what} has a field of the impossible number ${number}`);
      field.enter(Number(key & 7n), number);
      if (Object.hasOwn(handlers, number)) handlers[number](field);
    }
  }
}

class Field implements ProtobufField {
  readonly #file: Uint8Array;
  readonly #view: DataView;
  readonly #from: Varints;
  readonly #what: string;
  readonly #fail: Fail;
  #wire = 0;
  #number = 0;
  #value = 0n;
  #start = 0;

  constructor(bytes: Uint8Array, from: Varints, what: string, fail: Fail) {
    this.#file = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#from = from;
    this.#what = what;
    this.#fail = fail;
  }

  /** Reads what stands behind a key. */
  enter(wire: number, number: number): void {
    const from = this.#from;
    this.#wire = wire;
    this.#number = number;
    if (wire === WIRE.varint) {
      this.#value = from.unsigned();
      return;
    }
    if (wire !== WIRE.bytes && wire !== WIRE.fixed32 && wire !== WIRE.fixed64)
      this.#fail(`${this.#what} has a field of the unknown kind ${wire}`);
    const size = wire === WIRE.bytes ? Number(from.unsigned()) : wire === WIRE.fixed32 ? 4 : 8;
    this.#start = from.at;
    if (size > this.#file.length - from.at) this.#fail(`${this.#what} claims ${size} bytes, and ${this.#file.length - from.at} are left`);
    from.at += size;
  }

  integer(): number {
    if (this.#wire !== WIRE.varint) this.#other('number');
    return Number(BigInt.asIntN(64, this.#value));
  }

  float(): number {
    if (this.#wire !== WIRE.fixed32) this.#other('float');
    return this.#view.getFloat32(this.#start, true);
  }

  bytes(): Uint8Array {
    if (this.#wire !== WIRE.bytes) this.#other('bytes');
    return this.#file.subarray(this.#start, this.#from.at);
  }

  text(): string {
    try {
      return utf8.decode(this.bytes());
    } catch (cause) {
      if (!(cause instanceof TypeError)) throw cause;
      return this.#fail(`${this.#what} has text that is not UTF-8`, cause);
    }
  }

  integers(most: number): readonly number[] {
    if (this.#wire === WIRE.varint) return [this.integer()];
    const bytes = this.bytes();
    const count = countOf(bytes);
    if (count > most) this.#fail(`${this.#what} has ${count} numbers in field ${this.#number}`);
    return Array.from(packedIntegers(bytes, count, this.#what, this.#fail));
  }

  floats(most: number): readonly number[] {
    if (this.#wire === WIRE.fixed32) return [this.float()];
    const bytes = this.bytes();
    if (bytes.length / 4 > most) this.#fail(`${this.#what} has ${bytes.length / 4} numbers in field ${this.#number}`);
    if (bytes.length % 4 !== 0) this.#fail(`${this.#what} has floats that do not end`);
    return Array.from({ length: bytes.length / 4 }, (_, i) => this.#view.getFloat32(this.#start + 4 * i, true));
  }

  #other(expected: string): never {
    return this.#fail(`${this.#what} has no ${expected} in field ${this.#number}`);
  }
}

/** The numbers in a piece of bytes: each ends with a byte below 128. */
function countOf(bytes: Uint8Array): number {
  let count = 0;
  for (const byte of bytes) if (byte < 0x80) count++;
  return count;
}

/** Whole numbers, signed, of up to 64 bits, one after the other in one piece: exactly `count` of them. */
export function packedIntegers(bytes: Uint8Array, count: number, what: string, fail: Fail): Float64Array {
  // Nothing is made for numbers that are not there.
  const there = countOf(bytes);
  if (there !== count) return fail(`${what} has ${there} numbers, and ${count} are due`);
  const from = new Varints(bytes, what, fail);
  const values = new Float64Array(count);
  for (let i = 0; i < count; i++) values[i] = Number(BigInt.asIntN(64, from.unsigned()));
  return from.at === bytes.length ? values : fail(`${what} ends in the middle of a number`);
}
