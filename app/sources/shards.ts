// Sets that come in pieces: files of one kind, in a folder or those in it, or by a pattern. Which part a piece is of is told by its name.

import { readdir } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import { HybridError } from '../../runtime/base/errors.ts';
import { systemCode } from '../../runtime/base/files.ts';
import { grouped } from '../../runtime/base/units.ts';
import { PARTS, type PartName } from '../../runtime/data/dataset.ts';
import { isHidden } from './hidden.ts';
import { isImageName } from './image-formats.ts';
import { partOfName } from './part-names.ts';

/** Paths of the files of each part, in their order. */
export interface Shards {
  /** The folder, file or pattern, for messages and as the name of the set. */
  readonly path: string;
  readonly parts: ReadonlyMap<PartName, readonly string[]>;
}

const MOST_FILES = 100_000;
const MOST_FOLDERS = 100;
const MAX_DEPTH = 4;

/**
 * The files of a kind in a folder and those in it; null where there are none, or images beside them. Throws E_DATA where they are of several sets,
 * or none for training.
 */
export async function findShards(folder: string, isShard: (name: string) => boolean): Promise<Shards | null> {
  const found: string[] = [];
  /** False where the folder is one of images: it may have a million. */
  const walk = async (inside: string, depth: number): Promise<boolean> => {
    const entries = (await readdir(join(folder, inside), { withFileTypes: true }).catch(() => [])).filter(({ name }) => !isHidden(name));
    if (entries.some((entry) => !entry.isDirectory() && isImageName(entry.name))) return false;
    const shards = entries.filter((entry) => !entry.isDirectory() && isShard(entry.name));
    for (const { name } of shards) found.push(join(inside, name));
    if (found.length > MOST_FILES) throw shardError(folder, `has more than ${grouped(MOST_FILES)} files of a set in pieces`);
    const folders = entries.filter((entry) => entry.isDirectory());
    if (depth === MAX_DEPTH) return true;
    // So many are classes, and the first of them has images.
    if (folders.length > MOST_FOLDERS) return !(await hasImages(join(folder, inside, folders[0].name), depth + 1));
    for (const { name } of folders) if (!(await walk(join(inside, name), depth + 1))) return false;
    return true;
  };
  if (!(await walk('', 0)) || found.length === 0) return null;
  const sets = new Set(
    found.map((path) =>
      parentsOf(path)
        .filter((name) => partOfName(name) === undefined)
        .join('/'),
    ),
  );
  if (sets.size > 1) {
    const names = [...sets].sort().map((name) => JSON.stringify(name || '.'));
    throw shardError(folder, `holds several sets: ${names.slice(0, 6).join(', ')}`, 'Name the folder of one of them.');
  }
  return byPart(folder, found.sort(), folder);
}

async function hasImages(folder: string, depth: number): Promise<boolean> {
  const entries = (await readdir(folder, { withFileTypes: true }).catch(() => [])).filter(({ name }) => !isHidden(name));
  if (entries.some((entry) => !entry.isDirectory() && isImageName(entry.name))) return true;
  const inner = entries.find((entry) => entry.isDirectory());
  return inner !== undefined && depth < MAX_DEPTH && hasImages(join(folder, inner.name), depth + 1);
}

/** The files that a pattern means, `train-{0000..0146}.tar` or `train-*.tar`; null where it is no pattern. Throws E_DATA where one is missing, or all are. */
export async function matchShards(pattern: string): Promise<Shards | null> {
  if (!isPattern(pattern)) return null;
  const paths: string[] = [];
  for (const one of expandRanges(pattern)) {
    const folder = dirname(one);
    if (isPattern(folder)) throw shardError(pattern, 'has a pattern in the name of a folder', 'Give one for the names of the files.');
    const names = await readdir(folder).catch((error: unknown) => {
      throw shardError(pattern, `means files in ${folder}, which cannot be read (${systemCode(error) || error})`);
    });
    const matched = names.filter(matcher(basename(one))).sort();
    if (matched.length === 0) throw shardError(pattern, `means ${one}, and there is no such file`, 'Correct the pattern.');
    for (const name of matched) paths.push(join(folder, name));
  }
  // A pattern is for the training images, whatever its files are called, unless they are of several parts.
  const shards = [...new Set(paths)];
  const parts = new Set(shards.map(partOfShard));
  return parts.size > 1 ? byPart(pattern, shards) : { path: pattern, parts: new Map([['train', shards]]) };
}

const isPattern = (path: string): boolean => /[*?]|\{\d+\.\.\d+\}|\{[^{}]*,[^{}]*\}/.test(path);

function expandRanges(pattern: string): string[] {
  const range = /\{(\d+)\.\.(\d+)\}/.exec(pattern);
  const list = range ? null : /\{([^{}]*,[^{}]*)\}/.exec(pattern);
  const found = range ?? list;
  if (!found) return [pattern];
  const [before, after] = [pattern.slice(0, found.index), pattern.slice(found.index + found[0].length)];
  let words: string[];
  if (range) {
    const [from, to] = [Number(range[1]), Number(range[2])];
    if (to < from || to - from >= MOST_FILES) throw shardError(pattern, `has the impossible range ${range[0]}`, 'Correct the pattern.');
    words = Array.from({ length: to - from + 1 }, (_, i) => `${from + i}`.padStart(range[1].length, '0'));
  } else words = (list as RegExpExecArray)[1].split(',');
  const all = words.flatMap((word) => expandRanges(`${before}${word}${after}`));
  if (all.length > MOST_FILES) throw shardError(pattern, 'means too many files', 'Correct the pattern.');
  return all;
}

/** `*` is any characters, `?` is one. Without a regular expression, whose time a name could blow up. */
function matcher(pattern: string): (name: string) => boolean {
  return (name) => {
    let [i, k, star, mark] = [0, 0, -1, 0];
    while (i < name.length) {
      if (k < pattern.length && (pattern[k] === '?' || (pattern[k] !== '*' && pattern[k] === name[i]))) [i, k] = [i + 1, k + 1];
      else if (pattern[k] === '*') [star, mark, k] = [k, i, k + 1];
      else if (star >= 0) [k, mark, i] = [star + 1, mark + 1, mark + 1];
      else return false;
    }
    return [...pattern.slice(k)].every((character) => character === '*');
  };
}

/** What to call each file in messages: its path below the folder that all of them are in. Two of them are never called alike. */
export function shardNames({ parts }: Shards): Map<string, string> {
  const paths = [...parts.values()].flat();
  const [first, ...others] = paths.map(namesIn);
  let common = 0;
  while (common < first.length - 1 && others.every((names) => names.length > common + 1 && names[common] === first[common])) common++;
  return new Map(paths.map((path) => [path, namesIn(path).slice(common).join('/')]));
}

/** One file is for training, whatever it is called. */
export const oneShard = (path: string): Shards => ({ path, parts: new Map([['train', [path]]]) });

function byPart(path: string, files: readonly string[], folder = ''): Shards {
  const parts = new Map<PartName, string[]>();
  for (const file of files) {
    const part = partOfShard(file);
    const list = parts.get(part);
    if (list) list.push(join(folder, file));
    else parts.set(part, [join(folder, file)]);
  }
  if (!parts.has('train')) {
    const names = files.slice(0, 4).map((file) => JSON.stringify(file));
    throw shardError(
      path,
      `has no files for training, but ${names.join(', ')}`,
      'Name the file of training images itself, or begin its name with train.',
    );
  }
  return { path, parts: new Map(PARTS.flatMap((part) => (parts.has(part) ? [[part, parts.get(part) as string[]]] : []))) };
}

const namesIn = (path: string): string[] => path.split(sep === '/' ? sep : /[\\/]/);

const parentsOf = (path: string): string[] => path.split(/[\\/]/).slice(0, -1);

/**
 * By the last part of a path that means one: `data/train-00000-of-00002.parquet`, `cifar10.test.tar`, `test/0000.parquet`; for training where
 * none does.
 */
export function partOfShard(path: string): PartName {
  const name = path.split(/[\\/]/).at(-1) as string;
  for (const word of [...name.split(/[-_.]+/), ...parentsOf(path).reverse()]) {
    const part = partOfName(word);
    if (part !== undefined) return part;
  }
  return 'train';
}

const shardError = (
  path: string,
  what: string,
  remedy = 'Give a folder with the files of one set, or a pattern of their names.',
): HybridError => new HybridError('E_DATA', `${path} ${what}`, remedy);
