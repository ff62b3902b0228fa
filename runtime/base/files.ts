// The file layer. Everything the project writes to disk goes through a `Files`, so that tests can fail any call of it;
// `nodeFiles` is the real one. Its operations are primitive and throw what the system throws. What callers should use to
// write is below them: `writeAtomically` for whole files, `writeAll` for streams; they throw E_DISK.

import { randomBytes } from 'node:crypto';
import { createReadStream, fsync as fsyncWithCallback } from 'node:fs';
import * as fs from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { HybridError } from './errors.ts';
import { remedyOfRestriction } from './restrictions.ts';
import { grouped } from './units.ts';

/** What is at a path. */
export interface FileStat {
  readonly kind: 'file' | 'folder' | 'other';
  /** Bytes. */
  readonly size: number;
  /** Time of the last change, in milliseconds since 1970. */
  readonly modified: number;
}

/** A file that is being written. */
export interface OpenFile {
  readonly path: string;
  /** Writes at the end of what was written and returns how many bytes it wrote: may be fewer than asked. */
  write(bytes: Uint8Array): Promise<number>;
  /** Returns when the contents are on the disk (fsync). */
  sync(): Promise<void>;
  /** Some file systems tell only here that a write has failed. */
  close(): Promise<void>;
}

/** The file system, as far as the package uses it: another implementation may stand for the disk. Errors are those of Node. */
export interface Files {
  /** The whole file. */
  readFile(path: string): Promise<Uint8Array>;
  /** Fills `target`, which may be shared memory, from the beginning of the file. Returns the bytes read: fewer where the file is shorter. */
  readInto(path: string, target: Uint8Array): Promise<number>;
  /** The contents in pieces, for files too large to hold. */
  stream(path: string): AsyncIterable<Uint8Array>;
  /** Null where nothing is there. Follows links. */
  stat(path: string): Promise<FileStat | null>;
  /** Whether a symbolic link is there. */
  isLink(path: string): Promise<boolean>;
  /** Names, sorted by code unit. */
  readdir(path: string): Promise<string[]>;
  /** `w` replaces, `wx` fails with EEXIST where something is there, `a` appends. */
  open(path: string, flags: 'w' | 'wx' | 'a'): Promise<OpenFile>;
  /** Replaces a file that is there. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file. */
  unlink(path: string): Promise<void>;
  /** With its parents; no error where it already exists. */
  mkdir(path: string): Promise<void>;
  /** A folder with all that is in it, or a file; no error where nothing is there. */
  remove(path: string): Promise<void>;
  /** Returns when the names in a folder are on the disk. Does nothing on Windows, which cannot. */
  syncFolder(path: string): Promise<void>;
}

/** The disk, through node:fs. */
export const nodeFiles: Files = {
  readFile: (path) => fs.readFile(path),
  async readInto(path, target) {
    const handle = await fs.open(path);
    try {
      for (let done = 0; ; ) {
        const { bytesRead } = await handle.read(target, done, target.length - done, done);
        done += bytesRead;
        if (bytesRead === 0 || done === target.length) return done;
      }
    } finally {
      await handle.close();
    }
  },
  stream: (path) => createReadStream(path),
  async stat(path) {
    try {
      const stat = await fs.stat(path);
      return { kind: stat.isFile() ? 'file' : stat.isDirectory() ? 'folder' : 'other', size: stat.size, modified: stat.mtimeMs };
    } catch (error) {
      if (['ENOENT', 'ENOTDIR'].includes(systemCode(error))) return null;
      throw error;
    }
  },
  async isLink(path) {
    try {
      return (await fs.lstat(path)).isSymbolicLink();
    } catch (error) {
      if (['ENOENT', 'ENOTDIR'].includes(systemCode(error))) return false;
      throw error;
    }
  },
  readdir: async (path) => (await fs.readdir(path)).sort(),
  async open(path, flags) {
    const handle = await fs.open(path, flags);
    return {
      path,
      write: async (bytes) => (await handle.write(bytes)).bytesWritten,
      sync: () => sync(handle),
      close: () => handle.close(),
    };
  },
  rename: (from, to) => fs.rename(from, to),
  unlink: (path) => fs.unlink(path),
  async mkdir(path) {
    await fs.mkdir(path, { recursive: true });
  },
  remove: (path) => fs.rm(path, { recursive: true, force: true }),
  async syncFolder(path) {
    if (process.platform === 'win32') return;
    const handle = await fs.open(path, 'r');
    try {
      await sync(handle);
    } finally {
      await handle.close();
    }
  },
};

const fsync = promisify(fsyncWithCallback);

/**
 * By number, because a handle under Yarn's Plug'n'Play has no sync of its own ("Method not implemented"). Under `--permission` Node has no
 * fsync: what is written is whole all the same, but a loss of power may cost it.
 */
async function sync(handle: fs.FileHandle): Promise<void> {
  try {
    await fsync(handle.fd);
  } catch (error) {
    if (systemCode(error) !== 'ERR_ACCESS_DENIED') throw error;
  }
}

/** Writes all of `bytes`, however many calls that takes. `needed`: the bytes of the whole file, for the message. Throws E_DISK. */
export async function writeAll(file: OpenFile, bytes: Uint8Array, needed = bytes.length): Promise<void> {
  try {
    for (let done = 0; done < bytes.length; ) {
      const written = await file.write(bytes.subarray(done));
      // A call that writes nothing and reports no error would be repeated forever.
      if (written <= 0) throw new Error('the system wrote nothing and gave no reason');
      done += written;
    }
  } catch (error) {
    throw diskError(file.path, error, needed);
  }
}

/**
 * Puts a file in place whole or not at all: written aside in the same folder, synced, renamed, folder synced. A reader,
 * or a crash at any moment, sees the old contents or the new. Throws E_DISK, having removed what it wrote aside.
 */
export function writeAtomically(files: Files, path: string, chunks: readonly Uint8Array[]): Promise<void> {
  const needed = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  return streamAtomically(files, path, needed, async (write) => {
    for (const chunk of chunks) await write(chunk);
  });
}

/** The same for a file that is too large to hold: `produce` writes it piece by piece, `needed` bytes in all. Passes on what `produce` throws. */
export async function streamAtomically(
  files: Files,
  path: string,
  needed: number,
  produce: (write: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<void> {
  const aside = `${path}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    const file = await onDisk(path, needed, files.open(aside, 'wx'));
    try {
      await produce((bytes) => writeAll(file, bytes, needed));
      await onDisk(path, needed, file.sync());
    } finally {
      await onDisk(path, needed, file.close());
    }
    await onDisk(path, needed, files.rename(aside, path));
    await onDisk(path, needed, files.syncFolder(dirname(path)));
  } catch (error) {
    await files.remove(aside).catch(() => {}); // the first error is the one to report
    // A message about the file that was asked for, not about the one beside it.
    throw error instanceof HybridError && error.code === 'E_DISK' ? diskError(path, error.cause, needed) : error;
  }
}

async function onDisk<T>(path: string, needed: number, operation: Promise<T>): Promise<T> {
  try {
    return await operation;
  } catch (error) {
    throw diskError(path, error, needed);
  }
}

/** Makes a folder, with its parents, so that its name outlives a loss of power. Throws what the system throws. */
export async function makeFolder(files: Files, path: string): Promise<void> {
  const missing: string[] = [];
  for (let folder = path; !(await files.stat(folder)); folder = dirname(folder)) missing.push(folder);
  await files.mkdir(path);
  for (const folder of missing) await files.syncFolder(dirname(folder));
}

const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the file system is read-only',
  EACCES: 'it is read-only for this user: permission is denied',
  EPERM: 'it is read-only for this user: permission is denied',
  EIO: 'the disk reports an error',
  ENOENT: 'the folder does not exist',
  ENOTDIR: 'part of the path is not a folder',
  EEXIST: 'something already exists',
  EISDIR: 'a folder with that name exists',
  ERR_ACCESS_DENIED: 'Node may not write there',
};

const REMEDIES: Readonly<Record<string, string>> = {
  ENOSPC: 'Free some space there or choose another folder.',
  EDQUOT: 'Free some space there or choose another folder.',
  EROFS: 'Choose a folder that can be written to.',
  EACCES: 'Make the folder writable or choose another one.',
  EPERM: 'Make the folder writable or choose another one.',
  ENOENT: 'Make the folder first, or choose another one.',
  ENOTDIR: 'Choose another place.',
  EEXIST: 'Choose another name.',
  EISDIR: 'Choose another name.',
};

/** The E_DISK error for a system error met while writing. `needed` in bytes, where known. */
export function diskError(path: string, cause: unknown, needed?: number): HybridError {
  const code = systemCode(cause);
  const reason = Object.hasOwn(REASONS, code) ? `${REASONS[code]} (${code})` : cause instanceof Error ? cause.message : String(cause);
  const size = needed === undefined ? '' : `; ${grouped(needed)} bytes are needed`;
  const own = Object.hasOwn(REMEDIES, code) ? REMEDIES[code] : 'Choose another folder.';
  const remedy = remedyOfRestriction(cause) ?? own;
  return new HybridError('E_DISK', `cannot write ${path}: ${reason}${size}`, remedy, { cause });
}

/** The code of a system error, such as ENOENT; empty for other errors. */
export function systemCode(error: unknown): string {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === 'string' ? code : '';
}
