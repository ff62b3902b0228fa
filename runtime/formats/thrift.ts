// Thrift's compact protocol, as far as Parquet's headers need it. A structure becomes a map of its fields by their numbers.

import { Varints } from './varints.ts';
import type { Fail } from './zip.ts';

/** A value of a field. */
export type ThriftValue = boolean | number | Uint8Array | readonly ThriftValue[] | ThriftStruct;
export type ThriftStruct = ReadonlyMap<number, ThriftValue>;

/** Parquet's own structures are half as deep. */
const MAX_DEPTH = 24;
/** Structures, lists and pieces of bytes: each takes a hundred bytes or two, and as little as one in the file. A group of five columns has about ninety. */
const MAX_OBJECTS = 2 ** 19;

/** Reads one structure from the beginning of `bytes`. Calls `fail` where it is none, or does not end. */
export function readThrift(bytes: Uint8Array, fail: Fail): { readonly value: ThriftStruct; readonly end: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const from = new Varints(bytes, 'a header', fail);
  let objects = 0;
  /** Beyond 2^53 the last digits are lost: such sizes are refused wherever they are used. */
  const signed = (): number => Number(from.signed());
  const length = (): number => {
    const value = Number(from.unsigned());
    return value <= bytes.length - from.at ? value : fail('a header claims more bytes than there are');
  };
  const element = (type: number, depth: number): ThriftValue => {
    if (depth > MAX_DEPTH) fail('a header is too deep');
    if (type === 1 || type === 2) return type === 1;
    if (type === 3) return (from.byte() << 24) >> 24;
    if (type >= 4 && type <= 6) return signed();
    if (type === 7) {
      if (from.at + 8 > bytes.length) fail('a header ends too early');
      from.at += 8;
      return view.getFloat64(from.at - 8, true);
    }
    if (type >= 8 && ++objects > MAX_OBJECTS) fail(`a header has more than ${MAX_OBJECTS} parts`);
    if (type === 8) {
      const size = length();
      from.at += size;
      return bytes.subarray(from.at - size, from.at);
    }
    if (type === 9 || type === 10) {
      const head = from.byte();
      // Every element takes a byte or more.
      const size = head >> 4 === 15 ? length() : head >> 4;
      const of = head & 15;
      return Array.from({ length: size }, () => (of === 1 || of === 2 ? from.byte() === 1 : element(of, depth + 1)));
    }
    if (type === 12) return struct(depth + 1);
    return fail(`a header has a field of the unknown type ${type}`);
  };
  const struct = (depth: number): ThriftStruct => {
    const fields = new Map<number, ThriftValue>();
    for (let id = 0; ; ) {
      const head = from.byte();
      if (head === 0) return fields;
      id = head >> 4 ? id + (head >> 4) : signed();
      fields.set(id, element(head & 15, depth));
    }
  };
  const value = struct(0);
  return { value, end: from.at };
}

/** Fields by kind; undefined where there is none, `fail` where it is of another kind. */
export class ThriftFields {
  readonly #fields: ThriftStruct;
  readonly #fail: Fail;

  constructor(fields: ThriftStruct, fail: Fail) {
    this.#fields = fields;
    this.#fail = fail;
  }

  number(id: number): number | undefined {
    const value = this.#fields.get(id);
    if (value === undefined || typeof value === 'number') return value;
    return this.#fail(`a header has no number in field ${id}`);
  }

  /** A number that must be there, from 0 on. */
  count(id: number): number {
    const value = this.number(id);
    if (value !== undefined && Number.isSafeInteger(value) && value >= 0) return value;
    return this.#fail(`a header has ${value === undefined ? 'nothing' : value} for a size`);
  }

  flag(id: number): boolean | undefined {
    const value = this.#fields.get(id);
    return typeof value === 'boolean' ? value : undefined;
  }

  text(id: number): string | undefined {
    const value = this.#fields.get(id);
    return value instanceof Uint8Array ? new TextDecoder().decode(value) : undefined;
  }

  texts(id: number): string[] {
    const list = this.#fields.get(id);
    return Array.isArray(list) ? list.flatMap((one) => (one instanceof Uint8Array ? [new TextDecoder().decode(one)] : [])) : [];
  }

  struct(id: number): ThriftFields | undefined {
    const value = this.#fields.get(id);
    return value instanceof Map ? new ThriftFields(value, this.#fail) : undefined;
  }

  structs(id: number): ThriftFields[] {
    const list = this.#fields.get(id);
    return Array.isArray(list) ? list.flatMap((one) => (one instanceof Map ? [new ThriftFields(one, this.#fail)] : [])) : [];
  }
}
