// The tree of a folder of images: what its folders have, links followed or refused. What it means is folder-scan.ts's.
//
// Folders come from anywhere, so nothing outside of the folder is ever read: links that lead out of it are refused.

import type { Dirent } from 'node:fs';
import { readdir, realpath } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { abortError, HybridError } from '../../runtime/base/errors.ts';
import { systemCode } from '../../runtime/base/files.ts';
import { isHidden } from './hidden.ts';
import { isImageFile } from './image-file.ts';
import { isImageName } from './image-formats.ts';

/** How a tree is read. */
export interface TreeOptions {
  readonly signal?: AbortSignal;
  /** Links that lead out of the folder, and to folders, are followed. */
  readonly followLinks?: boolean;
}

/** Files that are tables by name; those that Kaggle gives as an example of an answer are none. A text may be anything, unless it is called so. */
export const isTable = (name: string): boolean =>
  (/\.(csv|tsv)$/i.test(name) && !/submission/i.test(name)) || /^(metadata|labels?|annotations?)\.(jsonl|ndjson|json|txt)$/i.test(name);

/** A folder, whatever lies in it; paths are relative to it. */
export class FolderTree {
  /** Files so far that are no images. */
  others = 0;
  readonly #root: string;
  readonly #realRoot: string;
  readonly #signal: AbortSignal | undefined;
  readonly #followLinks: boolean;

  constructor(root: string, realRoot: string, { signal, followLinks = false }: TreeOptions) {
    this.#root = root;
    this.#realRoot = realRoot;
    this.#signal = signal;
    this.#followLinks = followLinks;
  }

  /** For messages and for what is read. */
  path(inside: string): string {
    return join(this.#root, inside);
  }

  /** Names of the folders in a folder, without those that systems hide. */
  async folders(path: string): Promise<string[]> {
    const folders: string[] = [];
    for (const entry of await this.#entries(path)) if (await this.#isFolder(path, entry)) folders.push(entry.name);
    return folders;
  }

  /** Names of the files in a folder, images or not. */
  async files(path: string): Promise<string[]> {
    const files: string[] = [];
    for (const entry of await this.#entries(path)) if (!(await this.#isFolder(path, entry))) files.push(entry.name);
    return files;
  }

  async has(path: string, file: string): Promise<boolean> {
    return (await this.#entries(path)).some(({ name }) => name === file);
  }

  /** Whether a folder holds images or tables itself. */
  async hasFiles(path: string): Promise<boolean> {
    return (await this.files(path)).some((name) => isImageName(name) || isTable(name));
  }

  async hasTables(path: string): Promise<boolean> {
    return (await this.files(path)).some(isTable);
  }

  /** Paths of the images in a folder and those in it, relative to the root, in the order of their names. */
  async images(path: string): Promise<string[]> {
    const images: string[] = [];
    await this.#collect(path, images, new Set());
    return images;
  }

  /** @param above Real paths of the folders that this one lies in: a link may lead back to one of them. */
  async #collect(path: string, images: string[], above: ReadonlySet<string>): Promise<void> {
    const real = this.#followLinks ? await realpath(this.path(path)) : '';
    if (this.#followLinks && above.has(real)) throw linkError(this.path(path), 'leads back to a folder that it lies in');
    for (const entry of await this.#entries(path)) {
      const inside = join(path, entry.name);
      if (await this.#isFolder(path, entry)) await this.#collect(inside, images, new Set([...above, real]));
      else if (isImageName(entry.name) || (await isImageFile(this.path(inside)))) images.push(slashes(inside));
      else this.others++;
    }
  }

  async #entries(path: string): Promise<Dirent[]> {
    if (this.#signal?.aborted) throw abortError(this.#signal);
    const folder = join(this.#root, path);
    const entries = await describing(folder, () => readdir(folder, { withFileTypes: true }));
    const visible = entries.filter(({ name }) => !isHidden(name));
    for (const { name } of visible) {
      // A name with control characters could speak to the terminal that shows it.
      if (/\p{Cc}/u.test(name)) throw folderError(folder, `has an entry whose name has control characters, ${quote(name)}`);
      // What Node makes of bytes that are no UTF-8: such a file cannot be opened by this name.
      if (name.includes('\ufffd')) {
        throw folderError(
          folder,
          `has an entry whose name is not UTF-8, ${quote(name)}`,
          'Rename it, for instance with `convmv -f latin1 -t utf8 -r --notest FOLDER`.',
        );
      }
    }
    return visible.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Follows links to files only, and only inside of the root, unless all are to be followed: a link to a folder could lead in a circle. */
  async #isFolder(path: string, entry: Dirent): Promise<boolean> {
    if (!entry.isSymbolicLink()) return entry.isDirectory();
    const link = join(this.#root, path, entry.name);
    let target: string;
    try {
      target = await realpath(link);
    } catch {
      return false; // leads nowhere or in a circle: an image that cannot be read, if it is called like one
    }
    const isFolder = await readdir(target).then(
      () => true,
      () => false,
    );
    if (this.#followLinks) return isFolder;
    const inside = relative(this.#realRoot, target);
    if (inside === '..' || inside.startsWith(`..${sep}`) || inside === target) throw linkError(link, 'leads out of the folder');
    if (isFolder) throw linkError(link, 'leads to a folder');
    return false;
  }
}

/** A path as listings have it. */
export const slashes = (path: string): string => path.split(sep).join('/');

/** What an operation on a folder gives; its failures in words. */
export async function describing<T>(path: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    if (error instanceof HybridError) throw error;
    const code = systemCode(error);
    const reason = code === 'ENOENT' ? 'it does not exist' : code === 'ENOTDIR' ? 'it is not a folder' : code || String(error);
    throw new HybridError('E_DATA', `cannot read the folder ${path}: ${reason}`, 'Check that it is there and that you may read it.', {
      cause: error,
    });
  }
}

/** A name from a disk, safe to print: escaped and of bounded length. */
export const quote = (name: string): string => JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);

/** What a folder has to be. */
export const LAYOUT = 'Give a folder with one folder of images for each class, or with such folders in train, val and test.';

/** What is wrong with a folder. */
export const folderError = (path: string, what: string, remedy = LAYOUT): HybridError =>
  new HybridError('E_DATA', `${path} ${what}`, remedy);

const linkError = (path: string, what: string): HybridError =>
  new HybridError(
    'E_DATA',
    `the link ${path} ${what}`,
    'Put the files themselves there, or allow links to be followed with `followLinks`.',
  );
