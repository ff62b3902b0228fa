// What ZIP archives need of compression, by Node and fflate.

import { createRequire } from 'node:module';
import { inflateRawSync } from 'node:zlib';

export { crc32 } from 'node:zlib';

/** Unpacks; at most `most` bytes. Throws where the data is damaged, or unpacks to more. */
export const inflateRaw = (data: Uint8Array, most: number): Uint8Array => inflateRawSync(data, { maxOutputLength: most });

/** An archive of stored members; all carry the first date that ZIP knows. */
export function zipStored(members: Readonly<Record<string, Uint8Array>>): Uint8Array {
  // Loaded with the first archive that is written: a tenth of what importing the package takes, and most programs write none.
  const { zipSync }: typeof import('fflate') = createRequire(import.meta.url)('fflate');
  return zipSync(members, { level: 0, mtime: new Date(1980, 0, 1) });
}
