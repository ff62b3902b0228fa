// Snappy, as Parquet's pages are compressed: the raw form, without frames. Nothing is taken from the bytes that they could not hold: the size
// that they claim is compared with the one that the caller expects before room is made.

import type { Fail } from './zip.ts';

/** Three bytes can stand for 64. */
const MOST_FROM_A_BYTE = 22;

/** @param size Of the result, as the page's header says. Calls `fail` for anything else than exactly so many bytes. */
export function unpackSnappy(packed: Uint8Array, size: number, fail: Fail): Uint8Array {
  let at = 0;
  const byte = (): number => (at < packed.length ? packed[at++] : fail('its compressed bytes end too early'));
  let claimed = 0;
  for (let shift = 0; ; shift += 7) {
    const next = byte();
    claimed += (next & 0x7f) * 2 ** shift;
    if (next < 0x80) break;
    if (shift >= 28) fail('a compressed length is impossible');
  }
  if (claimed !== size) fail(`its compressed bytes claim ${claimed} bytes instead of ${size}`);
  if (size > packed.length * MOST_FROM_A_BYTE) fail(`${packed.length} compressed bytes cannot hold the ${size} that they claim`);
  const out = new Uint8Array(size);
  let done = 0;
  const number = (bytes: number): number => {
    let value = 0;
    for (let i = 0; i < bytes; i++) value += byte() * 2 ** (8 * i);
    return value;
  };
  while (at < packed.length) {
    const tag = byte();
    const kind = tag & 3;
    if (kind === 0) {
      const short = tag >> 2;
      const length = (short < 60 ? short : number(short - 59)) + 1;
      if (length > packed.length - at || length > size - done) fail('a compressed piece is longer than what is left');
      out.set(packed.subarray(at, at + length), done);
      at += length;
      done += length;
      continue;
    }
    const length = kind === 1 ? ((tag >> 2) & 7) + 4 : (tag >> 2) + 1;
    const offset = kind === 1 ? (tag >> 5) * 256 + byte() : number(kind === 2 ? 2 : 4);
    if (offset === 0 || offset > done || length > size - done) fail('a compressed piece repeats what is not there');
    // A piece may repeat itself: byte by byte where the two overlap.
    if (offset >= length) out.copyWithin(done, done - offset, done - offset + length);
    else for (let i = 0; i < length; i++) out[done + i] = out[done + i - offset];
    done += length;
  }
  if (done !== size) fail(`its compressed bytes give ${done} bytes instead of ${size}`);
  return out;
}
