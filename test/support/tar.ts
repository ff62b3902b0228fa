// Builds tar archives entry by entry, valid or crafted.

import { gzipSync } from 'node:zlib';
import type { ArchiveContents } from '../../app/sources/archive.ts';
import { records } from './cifar10-records.ts';

export interface TarEntry {
  readonly name: string | Uint8Array;
  readonly data?: Uint8Array | string;
  /** '0' a file, '1' hard link, '2' link, '3' device, '5' folder, 'x' and 'L' long names. */
  readonly type?: string;
  readonly link?: string;
  readonly prefix?: string;
  /** Size in the header, where it is not that of the data. */
  readonly size?: number | string;
  readonly badChecksum?: boolean;
}

export function tarEntry({ name, data = '', type = '0', link = '', prefix = '', size, badChecksum = false }: TarEntry): Buffer {
  const body = Buffer.from(data as string);
  const header = Buffer.alloc(512);
  header.set(typeof name === 'string' ? Buffer.from(name) : name, 0);
  header.write('0000644\0', 100);
  header.write(typeof size === 'string' ? size : `${(size ?? body.length).toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0', 136);
  header.write('        ', 148);
  header.write(type, 156);
  header.write(link, 157);
  header.write('ustar\x0000', 257);
  header.write(prefix, 345);
  const sum = header.reduce((total, byte) => total + byte, badChecksum ? 1 : 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
}

/** A compressed archive: entries, then two blocks of zeros filled up as tar does, then `after`. */
export function tarGz(entries: readonly TarEntry[], after: Uint8Array = Buffer.alloc(10_240)): Buffer {
  return gzipSync(Buffer.concat([...entries.map(tarEntry), Buffer.alloc(1024), after]));
}

const FOLDER = 'cifar-10-batches-bin/';
const BATCHES = ['data_batch_1.bin', 'data_batch_2.bin', 'data_batch_3.bin', 'data_batch_4.bin', 'data_batch_5.bin', 'test_batch.bin'];

/** The official archive in small: two records a file. */
export const SMALL_ENTRIES: readonly TarEntry[] = [
  { name: FOLDER, type: '5' },
  ...BATCHES.map((name, i) => ({ name: FOLDER + name, data: records(2, 2 * i) })),
  { name: `${FOLDER}batches.meta.txt`, data: `${'abcdefghij'.split('').join('\n')}\n\n` },
  { name: `${FOLDER}readme.html`, data: '<html></html>' },
];

export const SMALL_CONTENTS: ArchiveContents = {
  ...Object.fromEntries(BATCHES.map((name) => [name, { min: 2 * 3073, max: 2 * 3073 }])),
  'batches.meta.txt': { min: 1, max: 4096 },
  'readme.html': { min: 1, max: 4096 },
};
