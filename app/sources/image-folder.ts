// A folder of image files as a set: folder-scan.ts lists the files, workers decode them (folder-reader.ts), decoded-images.ts keeps the pixels.

import { statSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { abortError } from '../../runtime/base/errors.ts';
import type { DataSource } from '../../runtime/data/dataset.ts';
import { type DecodeSetOptions, type ListedImage, openDecoded } from './decoded-images.ts';
import { type FolderImages, openReader } from './folder-reader.ts';
import { scanFolder } from './folder-scan.ts';
import { decodeImage } from './image-file.ts';

export interface FolderOptions extends DecodeSetOptions {
  readonly folder: string;
  /** A table of labels, its column of classes, and whether links are followed: as `scanFolder` takes them. */
  readonly labels?: string;
  readonly labelColumn?: string;
  readonly followLinks?: boolean;
}

// Workers load built files also where this one is run from its source, as the tests do.
const READER = new URL(import.meta.url.endsWith('.ts') ? '../../dist/app/sources/folder-reader.js' : 'folder-reader.js', import.meta.url)
  .href;
/** Files that are asked for size and time before the event loop has its turn: a signal, or another rank. */
const AT_A_TIME = 2_000;

/** Opens the folder. Throws E_DATA (undecodable files beyond `maxBad`, links that lead out …), E_ENVIRONMENT without sharp, E_DISK, or an AbortError. */
export async function openImageFolder(options: FolderOptions): Promise<DataSource> {
  const { folder, shape, maxPixels, crop, interpolation, signal, onNotice } = options;
  const { classes, parts, others, notices } = await scanFolder(folder, options);
  for (const { level, text } of notices) onNotice?.(level, text);
  if (others > 0)
    onNotice?.('info', `${folder}: ${others === 1 ? '1 file that is not an image is' : `${others} files that are no images are`} left out`);
  const set = {
    name: folder,
    ...{ classes, parts },
    remedy: 'Replace the files of this class, or remove its folder.',
    decoder: {
      open(images: readonly ListedImage[], bad: Uint8Array) {
        const data: FolderImages = { folder, paths: images.map(({ path }) => path), shape, maxPixels, crop, interpolation, bad };
        return {
          read: (indices: ArrayLike<number>, out: Uint8Array) => openReader(data).read(Int32Array.from(indices), out),
          images: { kind: 'module' as const, module: READER, data, first: 0 },
        };
      },
      reason: ({ path }: ListedImage) =>
        decodeImage(join(folder, path), { shape, maxPixels, crop, interpolation }).then(
          () => `${path} can no longer be decoded`,
          (error: Error) => error.message,
        ),
    },
    /** Times have their fractions: a file replaced within a second is another one. */
    async *identity() {
      let asked = 0;
      for (const [part, images] of parts) {
        for (const { path, label } of images) {
          // In this thread: a million files are asked in seconds, where a promise for each takes minutes.
          if (++asked % AT_A_TIME === 0) await setImmediate();
          if (signal?.aborted) throw abortError(signal);
          const { size, mtimeMs } = statOf(join(folder, path));
          yield JSON.stringify([part, path, label, size, mtimeMs]);
        }
      }
    },
  };
  return openDecoded(set, options);
}

function statOf(path: string): { readonly size: number; readonly mtimeMs: number } {
  try {
    return statSync(path);
  } catch {
    return { size: -1, mtimeMs: 0 };
  }
}
