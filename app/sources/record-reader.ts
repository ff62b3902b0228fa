// Images that stay on the disk: records of equal length in files, read by the workers as they are needed. The module runs in each worker
// (and, for `Dataset.read`, in the thread that asks); what it reads from is described by plain data.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { HybridError } from '../../runtime/base/errors.ts';
import { systemCode } from '../../runtime/base/files.ts';
import type { ImageReader } from '../../runtime/data/dataset.ts';
import { interleave } from '../../runtime/data/planar.ts';

export interface RecordFile {
  readonly path: string;
  /** Bytes, and time of the last change in milliseconds since 1970, when the set was opened: a file that changed since is refused. */
  readonly size: number;
  readonly modified: number;
  /** Number of images in it. */
  readonly count: number;
  /** Where the first image begins and how far apart images begin, in bytes. */
  readonly offset: number;
  readonly stride: number;
}

export interface Records {
  /** The images of a set are those of its files, one file after the other. */
  readonly files: readonly RecordFile[];
  /** [height, width, channels] */
  readonly shape: readonly [number, number, number];
  /** `planar`: channel by channel. */
  readonly layout: 'interleaved' | 'planar';
}

/** Called by the pool in each worker. Files are opened for the time of a call only: between calls nothing is held. */
export function openReader(data: unknown): ImageReader {
  const { files, shape, layout } = data as Records;
  const imageBytes = shape[0] * shape[1] * shape[2];
  const planar = layout === 'planar' ? new Uint8Array(imageBytes) : undefined;
  const ends: number[] = [];
  for (const { count } of files) ends.push((ends.at(-1) ?? 0) + count);

  return {
    read(indices, out) {
      const handles = new Map<RecordFile, number>();
      try {
        for (let i = 0; i < indices.length; i++) {
          const k = ends.findIndex((end) => indices[i] < end);
          const file = files[k];
          const record = indices[i] - (ends[k - 1] ?? 0);
          let handle = handles.get(file);
          if (handle === undefined) handles.set(file, (handle = openUnchanged(file)));
          const target = planar ?? out.subarray(i * imageBytes, (i + 1) * imageBytes);
          readFully(file, handle, target, record);
          if (planar) interleave(planar, shape, out, i * imageBytes);
        }
      } finally {
        for (const handle of handles.values()) closeSync(handle);
      }
    },
  };
}

function openUnchanged(file: RecordFile): number {
  const handle = describing(file, () => openSync(file.path, 'r'));
  const stat = describing(file, () => fstatSync(handle));
  if (stat.size === file.size && stat.mtimeMs === file.modified) return handle;
  closeSync(handle);
  const sizes = stat.size === file.size ? '' : ` from ${file.size} to ${stat.size} bytes`;
  throw new HybridError(
    'E_DATA',
    `${file.path} changed${sizes} while it was in use`,
    'Start again, and do not change the data during the run.',
  );
}

function readFully(file: RecordFile, handle: number, target: Uint8Array, record: number): void {
  const at = file.offset + record * file.stride;
  for (let done = 0; done < target.length; ) {
    const got = describing(file, () => readSync(handle, target, done, target.length - done, at + done));
    if (got === 0) {
      const where = `byte ${at + done}, within record ${record}`;
      throw new HybridError(
        'E_DATA',
        `${file.path} ends at ${where}: it was truncated while in use`,
        'Replace the file with an intact copy.',
      );
    }
    done += got;
  }
}

function describing<T>({ path }: RecordFile, operation: () => T): T {
  try {
    return operation();
  } catch (error) {
    throw new HybridError('E_DATA', `cannot read ${path}: ${systemCode(error) || error}`, 'Check that the file is still there.', {
      cause: error,
    });
  }
}
