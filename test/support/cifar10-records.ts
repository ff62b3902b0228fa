// Small files in CIFAR-10's binary format.

/** `count` records; record r has label (first + r) mod 10 and image bytes that depend on r, channel, row and column. */
export function records(count: number, first = 0): Uint8Array {
  const bytes = new Uint8Array(count * 3073);
  for (let r = 0; r < count; r++) {
    bytes[r * 3073] = (first + r) % 10;
    for (let k = 0; k < 3072; k++) bytes[r * 3073 + 1 + k] = planarByte(first + r, k);
  }
  return bytes;
}

/** Byte k of the planar image of record r. */
export const planarByte = (r: number, k: number): number => (r * 101 + k * 7 + (k >> 8) * 13) & 0xff;
