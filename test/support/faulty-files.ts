// A file layer that fails on demand: the n-th call that could change the disk throws, or writes come up short.

import type { Files } from '../../runtime/base/files.ts';

export interface Faults {
  /** The call that fails, counted from 1 over all calls that can change the disk; absent: none. */
  readonly failAt?: number;
  /** Whether the calls after it fail too, as on a disk that stays full. */
  readonly keepFailing?: boolean;
  /** ENOSPC by default. */
  readonly code?: string;
  /** Largest number of bytes that one write call takes. */
  readonly maxWrite?: number;
}

export interface FaultyFiles extends Files {
  /** The calls so far that could change the disk, such as `open`, `write`, `rename`. */
  readonly calls: readonly string[];
}

export function faultyFiles(
  base: Files,
  { failAt, keepFailing = false, code = 'ENOSPC', maxWrite = Number.POSITIVE_INFINITY }: Faults,
): FaultyFiles {
  const calls: string[] = [];
  const count = (name: string): void => {
    calls.push(name);
    if (failAt === undefined || calls.length < failAt) return;
    if (calls.length === failAt || keepFailing)
      throw Object.assign(new Error(`${code}: injected into ${name}`), {
        code,
      });
  };
  return {
    calls,
    readFile: (path) => base.readFile(path),
    stream: (path) => base.stream(path),
    stat: (path) => base.stat(path),
    isLink: (path) => base.isLink(path),
    readdir: (path) => base.readdir(path),
    async open(path, flags) {
      count('open');
      const file = await base.open(path, flags);
      return {
        path,
        async write(bytes) {
          count('write');
          return file.write(bytes.subarray(0, maxWrite));
        },
        async sync() {
          count('sync');
          return file.sync();
        },
        // Closing must release the descriptor even where it reports an error.
        async close() {
          await file.close();
          count('close');
        },
      };
    },
    async rename(from, to) {
      count('rename');
      return base.rename(from, to);
    },
    async unlink(path) {
      count('unlink');
      return base.unlink(path);
    },
    async mkdir(path) {
      count('mkdir');
      return base.mkdir(path);
    },
    // Removing needs no space: it works on a full disk.
    remove: (path) => base.remove(path),
    async syncFolder(path) {
      count('syncFolder');
      return base.syncFolder(path);
    },
  };
}
