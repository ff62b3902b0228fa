// Finds the images of a folder of class folders and puts them in order; decodes nothing (that is image-folder.ts).
//
//   FOLDER/cat/1.jpg …               one set, from which `split` takes the validation images
//   FOLDER/train/cat/1.jpg …         and, where they are there, FOLDER/val or validation, FOLDER/test
//
// Folders come from anywhere, so nothing outside of the folder is ever read: links that lead out of it are refused.

import type { Dirent } from 'node:fs';
import { readdir, realpath } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { abortError, HybridError } from '../../runtime/base/errors.ts';
import { systemCode } from '../../runtime/base/files.ts';
import { PURPOSE, philox4x32, philoxKey } from '../../runtime/base/philox.ts';
import { PARTS, type PartName } from '../../runtime/data/dataset.ts';
import { IMAGE_ENDINGS } from './image-file.ts';

export interface FolderListing {
  /** Class names: the names of the folders, sorted by code unit, which no locale changes. */
  readonly classes: readonly string[];
  readonly parts: ReadonlyMap<PartName, readonly ListedImage[]>;
  /** Files in the class folders that are called like no image. */
  readonly others: number;
}

export interface ListedImage {
  /** Relative to the folder, with slashes. */
  readonly path: string;
  readonly label: number;
}

/** Names of the folders of the parts. */
const PART_FOLDERS: Readonly<Record<PartName, readonly string[]>> = {
  train: ['train', 'training'],
  validation: ['val', 'valid', 'validation'],
  test: ['test'],
};

/**
 * Lists the images of a folder. Those of a part are in an order that is fixed, the same everywhere, and spread: each class's files are
 * shuffled and dealt evenly, so that the beginning of a part, of whatever length, has the classes in their proportions. (So
 * the first tenth, which `split` keeps for validation, is a fair sample.)
 *
 * Throws E_DATA where there are no classes, a class without images, a link that leads out, or a name that cannot be shown.
 */
export async function scanFolder(folder: string, signal?: AbortSignal): Promise<FolderListing> {
  const scan = new Scan(folder, await describing(folder, () => realpath(folder)), signal);
  const top = await scan.folders('');
  const found = PARTS.flatMap((part) => {
    const name = PART_FOLDERS[part].find((candidate) => top.includes(candidate));
    return name === undefined ? [] : [{ part, base: name }];
  });
  // A class may be called `test`; a folder called `train` with folders in it makes these names parts.
  const divided = found[0]?.part === 'train' && (await scan.folders(found[0].base)).length > 0;
  const bases = divided ? found : [{ part: 'train' as const, base: '' }];

  const classes = await scan.folders(bases[0].base);
  if (classes.length === 0) throw folderError(folder, `holds no class folders${top.length > 0 ? ` in ${bases[0].base}` : ''}`);
  if (classes.length === 1) throw folderError(folder, `holds one class only, ${quote(classes[0])}; a classifier needs two`);
  const parts = new Map<PartName, readonly ListedImage[]>();
  for (const { part, base } of bases) {
    const unknown = (await scan.folders(base)).find((name) => !classes.includes(name));
    if (unknown !== undefined) throw folderError(join(folder, base), `has a class ${quote(unknown)} that is not among the training images`);
    const files = new Map<number, string[]>();
    for (const [label, name] of classes.entries()) {
      const images = await scan.images(join(base, name));
      // Of the other parts a class may be absent: there is nothing to learn from them.
      if (images.length === 0 && part === 'train')
        throw folderError(join(folder, base, name), 'holds no PNG, JPEG or WebP files: a class without images');
      files.set(label, images);
    }
    const dealt = deal(files);
    if (dealt.length > 0) parts.set(part, dealt);
  }
  return { classes, parts, others: scan.others };
}

class Scan {
  others = 0;
  readonly #root: string;
  readonly #realRoot: string;
  readonly #signal: AbortSignal | undefined;

  constructor(root: string, realRoot: string, signal?: AbortSignal) {
    this.#root = root;
    this.#realRoot = realRoot;
    this.#signal = signal;
  }

  /** Names of the folders in a folder, without those that systems hide. */
  async folders(path: string): Promise<string[]> {
    const folders: string[] = [];
    for (const entry of await this.#entries(path)) if (await this.#isFolder(path, entry)) folders.push(entry.name);
    return folders;
  }

  /** Paths of the images in a folder and those in it, relative to the root. */
  async images(path: string): Promise<string[]> {
    const images: string[] = [];
    for (const entry of await this.#entries(path)) {
      const inside = join(path, entry.name);
      if (await this.#isFolder(path, entry)) for (const image of await this.images(inside)) images.push(image);
      else if (IMAGE_ENDINGS.some((ending) => entry.name.toLowerCase().endsWith(ending))) images.push(inside.split(sep).join('/'));
      else this.others++;
    }
    return images;
  }

  async #entries(path: string): Promise<Dirent[]> {
    if (this.#signal?.aborted) throw abortError(this.#signal);
    const folder = join(this.#root, path);
    const entries = await describing(folder, async () => {
      // A class that is absent from a part has no folder there.
      try {
        return await readdir(folder, { withFileTypes: true });
      } catch (error) {
        if (path !== '' && systemCode(error) === 'ENOENT') return [];
        throw error;
      }
    });
    const visible = entries.filter(({ name }) => !name.startsWith('.') && name !== '__MACOSX');
    // A name with control characters could speak to the terminal that shows it.
    const odd = visible.find(({ name }) => /\p{Cc}/u.test(name));
    if (odd) throw folderError(folder, `has an entry whose name has control characters, ${quote(odd.name)}`);
    return visible.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Follows links to files only, and only inside of the root: a link to a folder could lead in a circle. */
  async #isFolder(path: string, entry: Dirent): Promise<boolean> {
    if (!entry.isSymbolicLink()) return entry.isDirectory();
    const link = join(this.#root, path, entry.name);
    let target: string;
    try {
      target = await realpath(link);
    } catch {
      return false; // leads nowhere or in a circle: an image that cannot be read, if it is called like one
    }
    const inside = relative(this.#realRoot, target);
    if (inside === '..' || inside.startsWith(`..${sep}`) || inside === target) throw linkError(link, 'leads out of the folder');
    const isFolder = await readdir(target).then(
      () => true,
      () => false,
    );
    if (isFolder) throw linkError(link, 'leads to a folder');
    return false;
  }
}

/** Shuffles the files of each class and deals them evenly: the k-th of n stands at (k + ½)/n of the whole. */
function deal(files: ReadonlyMap<number, readonly string[]>): ListedImage[] {
  const placed: (ListedImage & { readonly place: number })[] = [];
  const words = new Uint32Array(4);
  const key = philoxKey(0n);
  for (const [label, paths] of files) {
    const shuffled = [...paths];
    for (let i = shuffled.length - 1; i > 0; i--) {
      philox4x32(key, [i, label, PURPOSE.folder, 0], words);
      const j = Math.floor((words[0] * (i + 1)) / 2 ** 32);
      [shuffled[i], shuffled[j]] = [shuffled[j], shuffled[i]];
    }
    for (const [k, path] of shuffled.entries()) placed.push({ path, label, place: (k + 0.5) / shuffled.length });
  }
  placed.sort((a, b) => a.place - b.place || a.label - b.label);
  return placed.map(({ path, label }) => ({ path, label }));
}

async function describing<T>(path: string, operation: () => Promise<T>): Promise<T> {
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
const quote = (name: string): string => JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);

const LAYOUT =
  'Give a folder with one folder for each class and PNG, JPEG or WebP files in them, or with such folders in train, val and test.';

const folderError = (path: string, what: string): HybridError => new HybridError('E_DATA', `${path} ${what}`, LAYOUT);

const linkError = (path: string, what: string): HybridError =>
  new HybridError(
    'E_DATA',
    `the link ${path} ${what}`,
    'Put the files themselves there: only links to files inside of the folder are followed.',
  );
