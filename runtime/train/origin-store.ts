// Checkpoints in a page: files of the origin's private file system, which other origins cannot see and people only by what a page does with
// them.

import { HybridError } from '../base/errors.ts';
import type { Checkpoint, CheckpointKind, CheckpointStore } from './checkpoint.ts';
import { packCheckpoint, unpackCheckpoint } from './checkpoint-files.ts';

/** What is used of browsers' file systems. */
interface FolderHandle {
  getDirectoryHandle(name: string, options: { readonly create: boolean }): Promise<FolderHandle>;
  getFileHandle(name: string, options?: { readonly create: boolean }): Promise<FileHandle>;
  removeEntry(name: string, options: { readonly recursive: boolean }): Promise<void>;
}
interface FileHandle {
  getFile(): Promise<{ arrayBuffer(): Promise<ArrayBuffer> }>;
  createWritable(): Promise<{ write(bytes: Uint8Array): Promise<void>; close(): Promise<void>; abort(): Promise<void> }>;
}
interface WithStorage {
  readonly navigator?: { readonly storage?: { getDirectory?(): Promise<FolderHandle> } };
}

const FOLDER = 'hybrid';

/** A `CheckpointStore` in a page's private file system. */
export interface OriginStore extends CheckpointStore {
  /** Removes all checkpoints of the store. */
  clear(): Promise<void>;
}

/**
 * Opens the store of checkpoints with a name in the private file system of this page's origin; it is made where there is none. A browser may remove
 * what it has when it is short of room, unless the page has asked it not to (`navigator.storage.persist()`).
 *
 * Throws E_USAGE for a name that is none of a file, E_ENVIRONMENT where the browser has no such file system, or lets this page have none.
 *
 * @category Training
 */
export async function originStore(name: string): Promise<OriginStore> {
  if (!/^[\w-][\w. -]{0,99}$/.test(name))
    throw new HybridError('E_USAGE', `a store cannot be called ${JSON.stringify(name)}`, 'Use letters, digits, spaces, dots, - and _.');
  const own = await openFolder().catch((cause: Error) => {
    const message = `this page has no private file system: ${cause.message}`;
    throw new HybridError('E_ENVIRONMENT', message, 'Serve it over https or on localhost, or use a `store` of your own.', { cause });
  });
  const folder = await own.getDirectoryHandle(name, { create: true });
  return new OriginFolder(own, folder, name);
}

async function openFolder(): Promise<FolderHandle> {
  const { storage } = (globalThis as WithStorage).navigator ?? {};
  if (!storage?.getDirectory) throw new Error('the browser has none, or not for a page like this');
  return (await storage.getDirectory()).getDirectoryHandle(FOLDER, { create: true });
}

class OriginFolder implements OriginStore {
  readonly location: string;
  readonly #parent: FolderHandle;
  #folder: FolderHandle;
  readonly #name: string;

  constructor(parent: FolderHandle, folder: FolderHandle, name: string) {
    this.location = `the private file system (${name})`;
    this.#parent = parent;
    this.#folder = folder;
    this.#name = name;
  }

  async save(kind: CheckpointKind, checkpoint: Checkpoint): Promise<string> {
    // Before the first await: whatever happens to the arrays later, the file holds the state at the call.
    const bytes = packCheckpoint(checkpoint);
    try {
      const file = await this.#folder.getFileHandle(fileOf(kind), { create: true });
      // What is written takes the place of the file when it is closed, whole.
      const writing = await file.createWritable();
      try {
        await writing.write(bytes);
      } catch (error) {
        await writing.abort().catch(() => {});
        throw error;
      }
      await writing.close();
    } catch (cause) {
      const what = `cannot write ${kind} to ${this.location}: ${(cause as Error).message}; ${bytes.length.toLocaleString('en-US')} bytes are needed`;
      throw new HybridError('E_DISK', what, 'Free some of the storage that the browser keeps for this page.', { cause });
    }
    return `${this.location}/${kind}`;
  }

  async load(kind: CheckpointKind): Promise<Checkpoint | null> {
    const file = await this.#folder.getFileHandle(fileOf(kind)).catch((error: Error) => {
      if (error.name === 'NotFoundError') return null;
      throw error;
    });
    const bytes = file && new Uint8Array(await (await file.getFile()).arrayBuffer());
    // Made for the first save, which has never ended.
    return bytes && bytes.length > 0 ? unpackCheckpoint(bytes, `${this.location}/${kind}`) : null;
  }

  async clear(): Promise<void> {
    await this.#parent.removeEntry(this.#name, { recursive: true });
    this.#folder = await this.#parent.getDirectoryHandle(this.#name, { create: true });
  }
}

const fileOf = (kind: CheckpointKind): string => `${kind}.zip`;
