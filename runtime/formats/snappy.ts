// Snappy, as Parquet's pages are compressed: the raw form, without frames. Nothing is taken from the bytes that they could not hold: the size
// that they claim is compared with the one that the caller expects before room is made.

import { Varints } from './varints.ts';
import type { Fail } from './zip.ts';

/** Three bytes can stand for 64. */
const MOST_FROM_A_BYTE = 22;

/** @param size Of the result, as the page's header says. Calls `fail` for anything else than exactly so many bytes. */
export function unpackSnappy(packed: Uint8Array, size: number, fail: Fail): Uint8Array {
  const from = new Varints(packed, 'a compressed page', fail);
  const claimed = Number(from.unsigned());
  if (claimed !== size) fail(`its compressed bytes claim ${claimed} bytes instead of ${size}`);
  if (size > packed.length * MOST_FROM_A_BYTE) fail(`${packed.length} compressed bytes cannot hold the ${size} that they claim`);
  const out = new Uint8Array(size);
  let done = 0;
  while (from.at < packed.length) {
    const tag = from.byte();
    const kind = tag & 3;
    if (kind === 0) {
      const short = tag >> 2;
      const length = (short < 60 ? short : from.fixed(short - 59)) + 1;
      if (length > packed.length - from.at || length > size - done) fail('a compressed piece is longer than what is left');
      out.set(packed.subarray(from.at, from.at + length), done);
      from.at += length;
      done += length;
      continue;
    }
    const length = kind === 1 ? ((tag >> 2) & 7) + 4 : (tag >> 2) + 1;
    const offset = kind === 1 ? (tag >> 5) * 256 + from.byte() : from.fixed(kind === 2 ? 2 : 4);
    if (offset === 0 || offset > done || length > size - done) fail('a compressed piece repeats what is not there');
    // A piece may repeat itself: byte by byte where the two overlap.
    if (offset >= length) out.copyWithin(done, done - offset, done - offset + length);
    else for (let i = 0; i < length; i++) out[done + i] = out[done + i - offset];
    done += length;
  }
  if (done !== size) fail(`its compressed bytes give ${done} bytes instead of ${size}`);
  return out;
}
