// Tar archives, as far as sets of data need them: regular files and folders with names of up to 100 bytes.

import { abortError } from '../../runtime/base/errors.ts';
import type { Fail } from '../../runtime/formats/zip.ts';

/** Headers and contents take whole blocks. */
export const TAR_BLOCK = 512;
/** Types of entries. '0', and NUL in archives from before 1988. */
export const TAR_FILE: ReadonlySet<number> = new Set([0x30, 0]);
export const TAR_FOLDER = 0x35; // '5'

export interface TarHeader {
  readonly name: string;
  readonly type: number;
  readonly size: number;
}

/** Calls `fail` for a block that is no header, and for names that need more than one block. */
export function readTarHeader(block: Uint8Array, fail: Fail): TarHeader {
  // The checksum is the sum of the bytes with those of the checksum itself (148 to 155) as spaces.
  let sum = 0;
  for (let i = 0; i < TAR_BLOCK; i++) sum += i >= 148 && i < 156 ? 0x20 : block[i];
  if (octal(block.subarray(148, 156), fail) !== sum) fail('the checksum of a header is wrong');
  // The prefix of longer names. No expected name needs it.
  if (block[345] !== 0) fail('an entry has a long name');
  return { name: text(block.subarray(0, 100)), type: block[156], size: octal(block.subarray(124, 136), fail) };
}

/** One character a byte, so that different bytes are different names. */
function text(field: Uint8Array): string {
  const end = field.indexOf(0);
  return Buffer.from(field.subarray(0, end < 0 ? field.length : end)).toString('latin1');
}

function octal(field: Uint8Array, fail: Fail): number {
  const digits = text(field).trim();
  if (!/^[0-7]+$/.test(digits)) fail('a header has a number that is not octal');
  return Number.parseInt(digits, 8);
}

/** Whether a block is the end of an archive, or the rest of one is padding. */
export const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

/** Takes a stream apart into pieces of wanted sizes. */
export class ByteReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #fail: Fail;
  readonly #signal: AbortSignal | undefined;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterable<Uint8Array>, fail: Fail, signal?: AbortSignal) {
    this.#chunks = source[Symbol.asyncIterator]();
    this.#fail = fail;
    this.#signal = signal;
  }

  /** At least one byte and at most `max`; null at the end. */
  async some(max: number): Promise<Uint8Array | null> {
    while (this.#rest.length === 0) {
      if (this.#signal?.aborted) throw abortError(this.#signal);
      const { value, done } = await this.#chunks.next();
      if (done) return null;
      this.#rest = value;
    }
    const part = this.#rest.subarray(0, max);
    this.#rest = this.#rest.subarray(part.length);
    return part;
  }

  async exactly(count: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(count);
    for (let done = 0; done < count; ) {
      const part = await this.some(count - done);
      if (part === null) return this.#fail('it is cut short');
      bytes.set(part, done);
      done += part.length;
    }
    return bytes;
  }
}
