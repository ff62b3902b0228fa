// A disk in memory that can lose its power: what was not synced may then be there, be missing, or be there in part. It is stricter than
// real file systems are: names are kept per folder and only by `syncFolder`, contents only by `sync`, and neither implies the other.

import { basename, dirname } from 'node:path';
import type { FileStat, Files } from '../../runtime/base/files.ts';

type Entry = File | Folder;

class File {
  readonly kind = 'file';
  data = new Uint8Array(0);
  /** What the platter has for certain. */
  synced = new Uint8Array(0);
}

class Folder {
  readonly kind = 'folder';
  entries = new Map<string, Entry>();
  /** The states of `entries` since the last `syncFolder`, that one first: the platter has one of them. */
  states: ReadonlyMap<string, Entry>[] = [new Map()];

  change(change: (entries: Map<string, Entry>) => void): void {
    change(this.entries);
    this.states.push(new Map(this.entries));
  }
}

/** What becomes of written bytes that were not synced: all kept, all gone, zeros in their place, or each piece of 512 bytes by chance. */
export type Unsynced = 'kept' | 'dropped' | 'zeroed' | 'torn';
/** Which of the changes of names in a folder that were not synced are kept. */
export type Names = 'all' | 'none' | 'some';

export interface CrashOptions {
  readonly data: Unsynced;
  readonly names: Names;
  /** From 0 to below 1. */
  readonly random: () => number;
}

const SECTOR = 512;

export class CrashDisk implements Files {
  #root = new Folder();
  /** Operations that are still carried out; then the power is gone. */
  #left = Number.POSITIVE_INFINITY;
  operations = 0;

  /** The power fails when `operations` more were carried out: the call after them throws, and so does every later one. */
  failAfter(operations: number): void {
    this.#left = operations;
  }

  /** The disk as it is found after the power failed. */
  afterCrash(options: CrashOptions): CrashDisk {
    const disk = new CrashDisk();
    const copies = new Map<Entry, Entry>();
    const survive = (entry: Entry): Entry => {
      const known = copies.get(entry);
      if (known) return known;
      if (entry.kind === 'file') {
        const file = new File();
        copies.set(entry, file);
        file.data = file.synced = contentAfter(entry, options);
        return file;
      }
      const folder = new Folder();
      copies.set(entry, folder);
      const { states } = entry;
      const kept =
        options.names === 'all' ? states.length - 1 : options.names === 'none' ? 0 : Math.floor(options.random() * states.length);
      folder.entries = new Map([...states[kept]].map(([name, child]) => [name, survive(child)]));
      folder.states = [new Map(folder.entries)];
      return folder;
    };
    disk.#root = survive(this.#root) as Folder;
    return disk;
  }

  async readFile(path: string): Promise<Uint8Array> {
    const entry = this.#find(path);
    if (entry?.kind !== 'file') throw systemError(entry ? 'EISDIR' : 'ENOENT', path);
    return entry.data.slice();
  }

  async readInto(path: string, target: Uint8Array): Promise<number> {
    const bytes = (await this.readFile(path)).subarray(0, target.length);
    target.set(bytes);
    return bytes.length;
  }

  async *stream(path: string): AsyncIterable<Uint8Array> {
    yield await this.readFile(path);
  }

  async stat(path: string): Promise<FileStat | null> {
    const entry = this.#find(path);
    return entry ? { kind: entry.kind, size: entry.kind === 'file' ? entry.data.length : 0, modified: 0 } : null;
  }

  async isLink(): Promise<boolean> {
    return false;
  }

  async readdir(path: string): Promise<string[]> {
    return [...this.#folder(path).entries.keys()].sort();
  }

  async open(path: string, flags: 'w' | 'wx' | 'a') {
    this.#operation();
    const folder = this.#folder(dirname(path));
    let entry = folder.entries.get(basename(path));
    if (entry && flags === 'wx') throw systemError('EEXIST', path);
    if (!entry) {
      entry = new File();
      const file = entry;
      folder.change((entries) => entries.set(basename(path), file));
    }
    if (entry.kind !== 'file') throw systemError('EISDIR', path);
    const file = entry;
    if (flags === 'w') file.data = new Uint8Array(0);
    return {
      path,
      write: async (bytes: Uint8Array) => {
        this.#operation();
        const data = new Uint8Array(file.data.length + bytes.length);
        data.set(file.data);
        data.set(bytes, file.data.length);
        file.data = data;
        return bytes.length;
      },
      sync: async () => {
        this.#operation();
        file.synced = file.data.slice();
      },
      close: async () => {},
    };
  }

  async rename(from: string, to: string): Promise<void> {
    this.#operation();
    const source = this.#folder(dirname(from));
    const entry = source.entries.get(basename(from));
    if (!entry) throw systemError('ENOENT', from);
    const target = this.#folder(dirname(to));
    const there = target.entries.get(basename(to));
    if (there?.kind === 'folder' && there.entries.size > 0) throw systemError('ENOTEMPTY', to);
    if (source !== target) throw new Error('the project renames within a folder only');
    source.change((entries) => {
      entries.delete(basename(from));
      entries.set(basename(to), entry);
    });
  }

  async unlink(path: string): Promise<void> {
    this.#operation();
    const folder = this.#folder(dirname(path));
    if (!folder.entries.has(basename(path))) throw systemError('ENOENT', path);
    folder.change((entries) => entries.delete(basename(path)));
  }

  async mkdir(path: string): Promise<void> {
    if (this.#find(path)) return;
    if (dirname(path) !== path) await this.mkdir(dirname(path));
    this.#operation();
    this.#folder(dirname(path)).change((entries) => entries.set(basename(path), new Folder()));
  }

  /** Piece by piece, as the system does it: the power may fail in the middle. */
  async remove(path: string): Promise<void> {
    const entry = this.#find(path);
    if (entry?.kind === 'folder') for (const name of [...entry.entries.keys()]) await this.remove(`${path}/${name}`);
    if (entry) await this.unlink(path);
  }

  async syncFolder(path: string): Promise<void> {
    this.#operation();
    const folder = this.#folder(path);
    folder.states = [new Map(folder.entries)];
  }

  #operation(): void {
    if (this.#left-- <= 0) throw systemError('EIO', 'the power is gone');
    this.operations++;
  }

  #find(path: string): Entry | undefined {
    let entry: Entry | undefined = this.#root;
    for (const name of path.split('/').filter(Boolean)) entry = entry?.kind === 'folder' ? entry.entries.get(name) : undefined;
    return entry;
  }

  #folder(path: string): Folder {
    const entry = this.#find(path);
    if (entry?.kind === 'folder') return entry;
    throw systemError(entry ? 'ENOTDIR' : 'ENOENT', path);
  }
}

function contentAfter({ data, synced }: File, { data: unsynced, random }: CrashOptions): Uint8Array<ArrayBuffer> {
  if (unsynced === 'kept') return data.slice();
  if (unsynced === 'dropped') return synced.slice();
  const result = data.slice();
  for (let at = 0; at < data.length; at += SECTOR) {
    if (unsynced === 'torn' && random() < 0.5) continue;
    const end = Math.min(at + SECTOR, data.length);
    for (let i = at; i < end; i++) result[i] = i < synced.length ? synced[i] : 0;
  }
  // The length may lag behind as well.
  const length = unsynced === 'torn' && random() < 0.3 ? SECTOR * Math.floor((random() * data.length) / SECTOR) : data.length;
  return result.slice(0, Math.max(length, synced.length));
}

function systemError(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: ${what}`), { code });
}
