// What ZIP archives need of compression, by fflate alone.

import { inflateSync, zipSync } from 'fflate';

/** Of each byte, by ZIP's polynomial. */
const CRC = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

export function crc32(bytes: Uint8Array): number {
  let crc = -1;
  for (let i = 0; i < bytes.length; i++) crc = CRC[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** Unpacks; at most `most` bytes, and no more are told of data that has more. Throws where the data is damaged. */
export const inflateRaw = (data: Uint8Array, most: number): Uint8Array => inflateSync(data, { out: new Uint8Array(most) });

/** An archive of stored members; all carry the first date that ZIP knows. */
export const zipStored = (members: Readonly<Record<string, Uint8Array>>): Uint8Array =>
  zipSync(members, { level: 0, mtime: new Date(1980, 0, 1) });
