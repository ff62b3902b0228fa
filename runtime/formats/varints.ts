// Whole numbers in as few bytes as they need, seven bits in each, the lowest first (LEB128): in Thrift's headers, Parquet's pages and Snappy.

import type { Fail } from './zip.ts';

/** The most bits that a number here can have, in bytes of seven. */
const MOST_BITS = 70n;

/** Reads bytes one after the other. Calls `fail` where there are no more. */
export class Varints {
  readonly #bytes: Uint8Array;
  /** What the bytes are, for messages. */
  readonly #what: string;
  readonly #fail: Fail;
  /** Where the next byte is. */
  at = 0;

  constructor(bytes: Uint8Array, what: string, fail: Fail) {
    this.#bytes = bytes;
    this.#what = what;
    this.#fail = fail;
  }

  byte(): number {
    return this.at < this.#bytes.length ? this.#bytes[this.at++] : this.#fail(`${this.#what} ends too early`);
  }

  unsigned(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < MOST_BITS; shift += 7n) {
      const next = this.byte();
      value |= BigInt(next & 0x7f) << shift;
      if (next < 0x80) return value;
    }
    return this.#fail(`${this.#what} has an impossible number`);
  }

  /** 0, −1, 1, −2, … (zigzag). */
  signed(): bigint {
    const value = this.unsigned();
    return (value >> 1n) ^ -(value & 1n);
  }

  /** A number of so many bytes, the lowest first. */
  fixed(bytes: number): number {
    let value = 0;
    for (let i = 0; i < bytes; i++) value += this.byte() * 2 ** (8 * i);
    return value;
  }
}
