// A file layer that fails on demand: the n-th call throws, or writes come up short. (What a disk keeps when the power fails is in
// crash-disk.ts.)

import type { Files } from '../../runtime/base/files.ts';

export interface Faults {
  /** The call that fails, counted from 1 over all calls that can change the disk, and with `reads` over all calls; absent: none. */
  readonly failAt?: number;
  readonly reads?: boolean;
  /** Whether the calls after it fail too, as on a disk that stays full. */
  readonly keepFailing?: boolean;
  /** ENOSPC by default. */
  readonly code?: string;
  /** Largest number of bytes that one write call takes. */
  readonly maxWrite?: number;
}

export interface FaultyFiles extends Files {
  /** The calls that were counted, such as `open`, `write`, `rename`. */
  readonly calls: readonly string[];
}

export function faultyFiles(
  base: Files,
  { failAt, reads = false, keepFailing = false, code = 'ENOSPC', maxWrite = Number.POSITIVE_INFINITY }: Faults,
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
  const reading = async <T>(name: string, read: () => Promise<T>): Promise<T> => {
    if (reads) count(name);
    return read();
  };
  return {
    calls,
    readFile: (path) => reading('readFile', () => base.readFile(path)),
    readInto: (path, target) => reading('readInto', () => base.readInto(path, target)),
    stream: (path) => base.stream(path),
    stat: (path) => reading('stat', () => base.stat(path)),
    isLink: (path) => reading('isLink', () => base.isLink(path)),
    readdir: (path) => reading('readdir', () => base.readdir(path)),
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
