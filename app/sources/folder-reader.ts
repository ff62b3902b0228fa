// Decodes the images of a folder. The module runs in each worker of the pool; one file that cannot be decoded does not end the pass:
// it is marked, and whoever asked for the pass decides what that means.

import { join } from 'node:path';
import { HybridError } from '../../runtime/base/errors.ts';
import type { ImageReader } from '../../runtime/data/dataset.ts';
import { decodeImage } from './image-file.ts';

export interface FolderImages {
  readonly folder: string;
  /** Of the images, relative to the folder. */
  readonly paths: readonly string[];
  /** [height, width, channels] */
  readonly shape: readonly [number, number, number];
  readonly maxPixels?: number;
  /** Shared, one byte an image: set to 1 where it cannot be decoded; its pixels are zeros then. */
  readonly bad: Uint8Array;
}

// sharp decodes in threads of its own, of which Node has four by default.
const AT_ONCE = 4;

/** Called by the pool in each worker. */
export function openReader(data: unknown): ImageReader {
  const { folder, paths, shape, maxPixels, bad } = data as FolderImages;
  const imageBytes = shape[0] * shape[1] * shape[2];
  return {
    async read(indices, out) {
      const decodeOne = async (i: number): Promise<void> => {
        const target = out.subarray(i * imageBytes, (i + 1) * imageBytes);
        try {
          target.set(await decodeImage(join(folder, paths[indices[i]]), { shape, maxPixels }));
        } catch (error) {
          // A library that is missing is not the fault of the file.
          if (!(error instanceof HybridError && error.code === 'E_DATA')) throw error;
          bad[indices[i]] = 1;
          target.fill(0);
        }
      };
      for (let i = 0; i < indices.length; i += AT_ONCE) {
        await Promise.all(Array.from({ length: Math.min(AT_ONCE, indices.length - i) }, (_, k) => decodeOne(i + k)));
      }
    },
  };
}
