// Decodes images of files, each a file of its own or a piece of one. The module runs in each worker of the pool; one that cannot be decoded does
// not end the pass: it is marked, and whoever asked for the pass decides what that means.

import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { HybridError } from '../../runtime/base/errors.ts';
import { systemCode } from '../../runtime/base/files.ts';
import type { ImageReader } from '../../runtime/data/dataset.ts';
import type { Interpolation } from '../../runtime/data/preprocessing.ts';
import { decodeInto } from './decode-into.ts';
import { checkBytes, maxBytesOf } from './decode-limits.ts';
import { decodeImage } from './image-file.ts';

export interface FolderImages {
  readonly folder: string;
  /** Of the files, relative to the folder. */
  readonly paths: readonly string[];
  /** Where they hold several images: in which of them each is, and where. Absent: image i is file i. */
  readonly places?: { readonly file: Int32Array; readonly offset: Float64Array; readonly size: Float64Array };
  /** [height, width, channels] */
  readonly shape: readonly [number, number, number];
  readonly maxPixels?: number;
  readonly crop?: number;
  readonly interpolation?: Interpolation;
  /** Shared, one byte an image: set to 1 where it cannot be decoded; its pixels are zeros then. */
  readonly bad: Uint8Array;
}

/** Called by the pool in each worker. */
export function openReader(data: unknown): ImageReader {
  const { folder, paths, places, shape, maxPixels, crop, interpolation, bad } = data as FolderImages;
  if (!places) {
    const decode = (path: string): Promise<Uint8Array> => decodeImage(join(folder, path), { shape, maxPixels, crop, interpolation });
    return { read: (indices, out) => decodeInto({ images: paths, indices, out, bad, shape, decode }) };
  }
  return {
    async read(indices, out) {
      const handles = new Map<number, Awaited<ReturnType<typeof open>>>();
      try {
        for (const i of indices) {
          const number = places.file[i];
          const path = join(folder, paths[number]);
          if (!handles.has(number)) handles.set(number, await describing(path, () => open(path)));
        }
        const decode = async (i: number): Promise<Uint8Array> => {
          const path = join(folder, paths[places.file[i]]);
          checkBytes(path, places.size[i], maxBytesOf({ maxPixels }));
          const bytes = new Uint8Array(places.size[i]);
          const file = handles.get(places.file[i]) as Awaited<ReturnType<typeof open>>;
          const { bytesRead } = await describing(path, () => file.read(bytes, 0, bytes.length, places.offset[i]));
          return decodeImage(bytes.subarray(0, bytesRead), { shape, maxPixels, crop, interpolation });
        };
        const all = { length: places.file.length };
        await decodeInto({ images: all, indices, out, bad, shape, decode: (_, i) => decode(i) });
      } finally {
        for (const handle of handles.values()) await handle.close();
      }
    },
  };
}

async function describing<T>(path: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    throw new HybridError('E_DATA', `cannot read ${path}: ${systemCode(error) || error}`, 'Check that the file is still there.', {
      cause: error,
    });
  }
}
