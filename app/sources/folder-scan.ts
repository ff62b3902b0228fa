// Finds the images of a folder, their classes and parts, and puts them in order; decodes nothing (that is image-folder.ts).
//
//   FOLDER/cat/1.jpg …                      one set, from which `split` takes the validation images
//   FOLDER/train/cat/1.jpg …                and, where they are there, validation and test images, by the usual names (part-names.ts) in any case
//   FOLDER/images/1.jpg …, labels.csv       classes from a table beside the images (label-file.ts)
//   FOLDER/val/images/1.jpg …, val_annotations.txt    as in Tiny ImageNet
//   FOLDER/images/…, annotations/trainval.txt         as in Oxford's Pets
//   FOLDER/jpg/image_00001.jpg …, imagelabels.mat, setid.mat    as in Oxford's Flowers
//
// Folders come from anywhere, so nothing outside of the folder is ever read: links that lead out of it are refused.

import { readFile, realpath, stat } from 'node:fs/promises';
import { basename, extname, join, relative, sep } from 'node:path';
import { HybridError } from '../../runtime/base/errors.ts';
import { PURPOSE, philox4x32, philoxKey } from '../../runtime/base/philox.ts';
import { grouped } from '../../runtime/base/units.ts';
import { PARTS, type PartName } from '../../runtime/data/dataset.ts';
import { type MatMatrix, readMat } from '../../runtime/formats/mat.ts';
import type { ListedImage } from './decoded-images.ts';
import { describing, FolderTree, folderError, isTable, LAYOUT, quote, slashes, type TreeOptions } from './folder-tree.ts';
import { READ_FORMATS } from './image-formats.ts';
import { ImageIndex, type LabelledFile, readLabelTable } from './label-file.ts';
import { IMAGE_FOLDERS, partOfName } from './part-names.ts';

export interface FolderListing {
  /** Class names: of folders sorted by code unit, which no locale changes; of a table, by their value where all are whole numbers. */
  readonly classes: readonly string[];
  /** Paths are relative to the folder, with slashes. */
  readonly parts: ReadonlyMap<PartName, readonly ListedImage[]>;
  /** Files in the class folders that are no images by name and contents. */
  readonly others: number;
  /** Sentences that people should know of: what is not used, and what was taken for what. */
  readonly notices: readonly ScanNotice[];
}

export interface ScanNotice {
  readonly level: 'info' | 'warning';
  readonly text: string;
}

export interface ScanOptions extends TreeOptions {
  /** Path of a table of labels, where the folder's own is not found or not meant. */
  readonly labels?: string;
  /** Its column of classes. */
  readonly labelColumn?: string;
}

/** More classes than any set of images has: a folder of folders that is none is refused before anything is built for it. */
const MAX_CLASSES = 50_000;
/** Files that may well be tables, for what is said where none is found. */
const mayBeTable = (name: string): boolean => /\.(csv|tsv|txt|json|jsonl|ndjson)$/i.test(name) && !/readme|licen[cs]e/i.test(name);

/**
 * Lists the images of a folder. Those of a part are in an order that is fixed, the same everywhere, and spread: each class's files are
 * shuffled and dealt evenly, so that the beginning of a part, of whatever length, has the classes in their proportions. (So
 * the first tenth, which `split` keeps for validation, is a fair sample.)
 *
 * Throws E_DATA where there are no classes, a class without images, a link that leads out, a name that cannot be shown, or a table that is not
 * understood.
 */
export async function scanFolder(folder: string, options: ScanOptions = {}): Promise<FolderListing> {
  const scan = new FolderTree(folder, await describing(folder, () => realpath(folder)), options);
  if (options.labels !== undefined) return fromTables(scan, [{ path: options.labels, part: 'train' }], options);
  const base = await innermost(scan);
  const top = await scan.folders(base);
  const divided = await dividedBases(scan, base, top);
  if (divided) return fromFolders(scan, divided, await unusedFolders(scan, base, top, divided));

  const known = (await petsTables(scan, base, top)) ?? (await flowersLists(scan, base, top));
  if (known) return fromRows(scan, known);
  // Folders that are called like parts or like images say nothing of classes, nor does one alone: a table must.
  const plain = top.length === 1 || top.every((name) => partOfName(name) !== undefined || IMAGE_FOLDERS.test(name));
  if (plain) {
    const tables = await findTables(scan, base);
    if (tables.length > 0) return fromTables(scan, tables, options);
    if (top.length > 0 && top.some((name) => partOfName(name) !== undefined)) {
      throw folderError(
        join(folder, base),
        `holds ${listed(top)}: names of parts of a set, and no class folders in a part for training`,
        'Put one folder for each class into train, or give a table of labels with `labels`.',
      );
    }
  }
  if (top.length === 0 || (top.length === 1 && IMAGE_FOLDERS.test(top[0]) && (await scan.folders(join(base, top[0]))).length === 0)) {
    const table = (await scan.files(base)).find(mayBeTable);
    throw folderError(
      join(folder, base),
      'holds no class folders, and no table that says the class of its images',
      table && `If ${table} says them, name it with \`labels\`. Else: ${LAYOUT.charAt(0).toLowerCase()}${LAYOUT.slice(1)}`,
    );
  }
  const notices = top
    .filter((name) => partOfName(name) !== undefined)
    .map(
      (name): ScanNotice => ({
        level: 'warning',
        text: `${folder}: the folder ${quote(name)} is used as a class, because there is no folder train`,
      }),
    );
  return fromFolders(scan, new Map([['train', base]]), notices);
}

/** The folder itself, or the one that is all it holds, as archives have it. */
async function innermost(scan: FolderTree): Promise<string> {
  let base = '';
  for (let depth = 0; depth < 3; depth++) {
    const [only, ...more] = await scan.folders(base);
    if (only === undefined || more.length > 0 || (await scan.hasFiles(base))) return base;
    const inside = join(base, only);
    if ((await scan.folders(inside)).length === 0 && !(await scan.hasTables(inside))) return base;
    base = inside;
  }
  return base;
}

type Bases = ReadonlyMap<PartName, string>;

/** The folder of class folders of each part, where there is one for training; null where the folder is not divided so. */
async function dividedBases(scan: FolderTree, base: string, top: readonly string[]): Promise<Bases | null> {
  const bases = new Map<PartName, string>();
  for (const name of top) {
    const part = partOfName(name);
    if (part === undefined) continue;
    let inside = join(base, name);
    let folders = await scan.folders(inside);
    // One more level of the same name, as some archives have it: seg_train/seg_train.
    if (folders.length === 1 && partOfName(folders[0]) === part) {
      inside = join(inside, folders[0]);
      folders = await scan.folders(inside);
    }
    const classes = folders.length > 0 && !folders.every((one) => IMAGE_FOLDERS.test(one));
    if (!classes && !(await scan.has(inside, ANNOTATIONS))) continue;
    const other = bases.get(part);
    if (other !== undefined) {
      throw folderError(
        scan.path(base),
        `has two folders for the ${part} images, ${quote(other)} and ${quote(inside)}`,
        'Keep one of them, or move the other out of the folder.',
      );
    }
    bases.set(part, inside);
  }
  if (bases.has('train')) return bases;
  // Class folders with test beside them, which holds the same classes: it can be nothing else than a part.
  const classes = top.filter((name) => partOfName(name) === undefined);
  const same = async (inside: string): Promise<boolean> => (await scan.folders(inside)).every((name) => classes.includes(name));
  for (const inside of bases.values()) if (!(await same(inside)) || (await scan.has(inside, ANNOTATIONS))) return null;
  return bases.size > 0 ? new Map([['train', base], ...bases]) : null;
}

/** What is said of folders beside the parts that are not read. */
async function unusedFolders(scan: FolderTree, base: string, top: readonly string[], bases: Bases): Promise<ScanNotice[]> {
  const used = [...bases.values()];
  if (used.includes(base)) return []; // the folders beside the parts are the classes
  const unused = top.map((name) => join(base, name)).filter((path) => !used.some((one) => one === path || one.startsWith(`${path}${sep}`)));
  const notices: ScanNotice[] = [];
  for (const path of unused) {
    const flat = partOfName(basename(path)) !== undefined;
    const why = flat ? 'its images are in no class folders' : 'it is not a part for training, validation or test';
    notices.push({ level: 'warning', text: `${scan.path('')}: the folder ${quote(slashes(path))} is not used: ${why}` });
  }
  return notices;
}

/** The labels of Tiny ImageNet's validation images: file, class and a box in each line. */
const ANNOTATIONS = 'val_annotations.txt';

async function fromFolders(scan: FolderTree, bases: Bases, notices: readonly ScanNotice[]): Promise<FolderListing> {
  const trainBase = bases.get('train') as string;
  // Beside class folders the other parts may lie.
  const others = [...bases.values()].map((path) => relative(trainBase, path).split(sep)[0]);
  const classes = (await scan.folders(trainBase)).filter((name) => !others.includes(name));
  if (classes.length === 0) throw folderError(scan.path(trainBase), 'holds no class folders');
  checkClasses(scan.path(trainBase), classes);
  const labels = new Map(classes.map((name, label) => [name.normalize('NFC'), label]));
  if (labels.size < classes.length) {
    const twice = classes.find((name, label) => labels.get(name.normalize('NFC')) !== label) as string;
    throw folderError(scan.path(trainBase), `has two folders whose names look alike, ${quote(twice)}`, 'Put their images into one folder.');
  }
  const parts = new Map<PartName, readonly ListedImage[]>();
  for (const [part, base] of bases) {
    if (await scan.has(base, ANNOTATIONS)) {
      parts.set(part, await annotated(scan, base, labels));
      continue;
    }
    const files = new Map<number, string[]>();
    for (const name of part === 'train' ? classes : await scan.folders(base)) {
      const label = labels.get(name.normalize('NFC'));
      if (label === undefined) {
        throw folderError(scan.path(base), `has a class ${quote(name)} that is not among the training images`);
      }
      files.set(label, await scan.images(join(base, name)));
    }
    // Of the other parts a class may be absent: there is nothing to learn from them.
    for (const [label, name] of classes.entries()) {
      if (part === 'train' && !files.get(label)?.length) {
        throw folderError(scan.path(join(base, name)), `holds no ${READ_FORMATS} files: a class without images`);
      }
    }
    const dealt = deal(new Map([...files].sort(([a], [b]) => a - b)));
    if (dealt.length > 0) parts.set(part, dealt);
  }
  const inner = await foldersOfAll(scan, trainBase, classes);
  const alike: ScanNotice[] =
    inner.length < 2
      ? []
      : [
          {
            level: 'warning',
            text:
              `${scan.path(trainBase)}: ${listed(classes)} are used as the classes, and each of them contains the same folders (${listed(inner)}): ` +
              'if those are the classes, put the images of each into one folder',
          },
        ];
  return { classes, parts: inOrder(parts), others: scan.others, notices: [...notices, ...alike] };
}

/** The folders that every class folder has, where it holds nothing else: folds of one set look so. Empty where they differ. */
async function foldersOfAll(scan: FolderTree, base: string, classes: readonly string[]): Promise<readonly string[]> {
  let first: readonly string[] | undefined;
  for (const name of classes) {
    const inside = join(base, name);
    const folders = await scan.folders(inside);
    first ??= folders;
    if (folders.length === 0 || folders.join('/') !== first.join('/') || (await scan.hasFiles(inside))) return [];
  }
  return first ?? [];
}

async function annotated(scan: FolderTree, base: string, labels: ReadonlyMap<string, number>): Promise<ListedImage[]> {
  const images = new ImageIndex(await scan.images(base));
  const { rows } = await readLabelTable({ path: scan.path(join(base, ANNOTATIONS)), images, labelColumn: '2' });
  return dealRows(rows, (name) => {
    const label = labels.get(name.normalize('NFC'));
    if (label === undefined)
      throw folderError(scan.path(join(base, ANNOTATIONS)), `has a class ${quote(name)} that is not among the training images`);
    return label;
  });
}

interface Table {
  readonly path: string;
  readonly part: PartName;
}

/** Tables at the top that may say classes, with the part that their names mean. Two for one part are a question for people. */
async function findTables(scan: FolderTree, base: string): Promise<Table[]> {
  const tables = new Map<PartName, string>();
  const add = (part: PartName, path: string): void => {
    const other = tables.get(part);
    if (other !== undefined) {
      throw folderError(
        scan.path(base),
        `has two tables that may say the classes, ${quote(slashes(other))} and ${quote(slashes(path))}`,
        'Name the one that is meant with `labels`.',
      );
    }
    tables.set(part, path);
  };
  for (const name of (await scan.files(base)).filter(isTable)) {
    const stem = name.slice(0, name.length - extname(name).length).replace(/(?<=[a-z])(?=[A-Z])/g, '_');
    add(partOfName(stem) ?? 'train', name);
  }
  // Each part with its own, among its images, as Hugging Face's folders of images have it.
  for (const folder of tables.size > 0 ? [] : await scan.folders(base)) {
    const part = partOfName(folder);
    if (part) for (const name of (await scan.files(join(base, folder))).filter(isTable)) add(part, join(folder, name));
  }
  return [...tables].map(([part, name]) => ({ part, path: scan.path(join(base, name)) }));
}

async function fromTables(scan: FolderTree, tables: readonly Table[], { labelColumn }: ScanOptions): Promise<FolderListing> {
  const paths = await scan.images('');
  if (paths.length === 0) throw folderError(scan.path(''), `holds no ${READ_FORMATS} files`);
  const notices: ScanNotice[] = [];
  const rows: LabelledFile[] = [];
  for (const { path, part } of tables) {
    // Names like 1.jpg may stand in several folders: those that the table is called after are meant first.
    const own = paths.filter((one) =>
      one
        .split('/')
        .slice(0, -1)
        .some((name) => partOfName(name) === part),
    );
    const images = new ImageIndex(own.length > 0 ? own : paths);
    const table = await readLabelTable({ path, images, labelColumn }).catch((error: unknown) => {
      // The table of test images that have no classes: people are to find them.
      if (part === 'train' || labelColumn !== undefined || !(error instanceof HybridError)) throw error;
      notices.push({ level: 'warning', text: `${path} is not used: ${error.message}` });
      return null;
    });
    if (!table) continue;
    for (const text of table.notices) notices.push({ level: 'info', text });
    for (const row of table.rows) rows.push({ part, ...row });
    notices.push({ level: 'info', text: `${path} says the classes of ${grouped(table.rows.length)} images` });
  }
  const named = new Set(rows.map(({ path }) => path));
  const unnamed = paths.length - named.size;
  if (unnamed > 0) notices.push({ level: 'warning', text: `${scan.path('')}: ${count(unnamed, 'image')} in no table of labels: not used` });
  // The tables are no images either, but they are not left out.
  const within = tables.filter(({ path }) => path.startsWith(`${scan.path('')}${sep}`)).length;
  return { ...(await fromRows(scan, rows)), others: Math.max(0, scan.others - within), notices };
}

/** A listing of rows with their parts; without one they are for training. */
async function fromRows(scan: FolderTree, rows: readonly LabelledFile[]): Promise<FolderListing> {
  const training = rows.filter(({ part = 'train' }) => part === 'train');
  const names = [...new Set(training.map(({ label }) => label))];
  const numeric = names.every((name) => /^-?\d{1,15}$/.test(name));
  const classes = names.sort((a, b) => (numeric ? Number(a) - Number(b) : a < b ? -1 : 1));
  checkClasses(scan.path(''), classes);
  if (training.length >= 20 && classes.length === training.length) {
    throw folderError(
      scan.path(''),
      `has a class of its own for each of its ${training.length} images`,
      'Name the column of classes with `labelColumn`.',
    );
  }
  const labels = new Map(classes.map((name, label) => [name, label]));
  const parts = new Map<PartName, readonly ListedImage[]>();
  for (const part of PARTS) {
    const own = rows.filter((row) => (row.part ?? 'train') === part);
    if (own.length === 0) continue;
    const dealt = dealRows(own, (name) => {
      const label = labels.get(name);
      if (label === undefined)
        throw folderError(scan.path(''), `has a class ${quote(name)} among the ${part} images that is not among the training images`);
      return label;
    });
    parts.set(part, dealt);
  }
  return { classes, parts, others: scan.others, notices: [] };
}

/** Oxford's Pets: `annotations/trainval.txt` and `test.txt` with a name in each line, which begins with the breed. */
async function petsTables(scan: FolderTree, base: string, top: readonly string[]): Promise<LabelledFile[] | null> {
  if (!top.includes('images') || !top.includes('annotations')) return null;
  const lists = [
    ['train', 'trainval.txt'],
    ['test', 'test.txt'],
  ] as const;
  const folder = join(base, 'annotations');
  if (!(await scan.has(folder, lists[0][1]))) return null;
  const images = new ImageIndex(await scan.images(join(base, 'images')));
  const rows: LabelledFile[] = [];
  for (const [part, name] of lists) {
    if (!(await scan.has(folder, name))) continue;
    const table = await readLabelTable({ path: scan.path(join(folder, name)), images, labelColumn: '2' });
    for (const row of table.rows) rows.push({ ...row, part, label: row.file.replace(/_\d+$/, '') });
  }
  return rows;
}

/** Lists of Oxford's Flowers, by their numbers from 1. */
const FLOWERS = { labels: 'imagelabels.mat', parts: 'setid.mat' };
const FLOWERS_PARTS = { trnid: 'train', valid: 'validation', tstid: 'test' } as const;
const MAX_MAT_BYTES = 2 ** 24;

/** Oxford's Flowers: the class of every image in one list, the numbers of each part's images in three others. */
async function flowersLists(scan: FolderTree, base: string, top: readonly string[]): Promise<LabelledFile[] | null> {
  if (!top.includes('jpg') || !(await scan.has(base, FLOWERS.labels))) return null;
  const read = async (name: string): Promise<Map<string, MatMatrix>> => {
    const path = scan.path(join(base, name));
    const { size } = await stat(path);
    if (size > MAX_MAT_BYTES) throw folderError(path, `has ${grouped(size)} bytes, more than such a list can have`);
    return readMat(await readFile(path), path);
  };
  const labelsPath = scan.path(join(base, FLOWERS.labels));
  const labels = (await read(FLOWERS.labels)).get('labels')?.data;
  if (!labels) throw folderError(labelsPath, 'has no matrix "labels"', 'Fetch the file again.');
  const images = new ImageIndex(await scan.images(join(base, 'jpg')));
  const sets = (await scan.has(base, FLOWERS.parts)) ? await read(FLOWERS.parts) : undefined;
  const rows: LabelledFile[] = [];
  for (const [name, part] of Object.entries(FLOWERS_PARTS)) {
    const numbers = sets ? sets.get(name)?.data : name === 'trnid' ? labels.map((_, i) => i + 1) : undefined;
    if (!numbers) {
      if (!sets) continue;
      throw folderError(scan.path(join(base, FLOWERS.parts)), `has no matrix ${quote(name)}`, 'Fetch the file again.');
    }
    for (const number of numbers) {
      const file = `image_${`${number}`.padStart(5, '0')}.jpg`;
      const path = images.find(file);
      const label = labels[number - 1];
      if (!Number.isInteger(label))
        throw folderError(labelsPath, `has no class for image ${number} of ${labels.length}`, 'Fetch the file again.');
      if (!path) throw folderError(scan.path(join(base, 'jpg')), `has no ${file}, which its lists name`, 'Fetch the images again.');
      rows.push({ file, path, part, label: `${label}` });
    }
  }
  return rows;
}

function checkClasses(path: string, classes: readonly string[]): void {
  if (classes.length === 1) throw folderError(path, `holds one class only, ${quote(classes[0])}; a classifier needs two`);
  if (classes.length > MAX_CLASSES) {
    throw folderError(path, `has ${grouped(classes.length)} classes, more than the ${grouped(MAX_CLASSES)} that are read`);
  }
}

const inOrder = <T>(parts: ReadonlyMap<PartName, T>): Map<PartName, T> =>
  new Map(PARTS.flatMap((part) => (parts.has(part) ? [[part, parts.get(part) as T]] : [])));

function dealRows(rows: readonly LabelledFile[], labelOf: (name: string) => number): ListedImage[] {
  const files = new Map<number, string[]>();
  for (const { path, label } of rows) {
    const k = labelOf(label);
    const list = files.get(k);
    if (list) list.push(path);
    else files.set(k, [path]);
  }
  // As if they were class folders: in the order of labels and names.
  return deal(new Map([...files].sort(([a], [b]) => a - b).map(([label, paths]) => [label, paths.sort((a, b) => (a < b ? -1 : 1))])));
}

const listed = (names: readonly string[]): string => names.slice(0, 6).map(quote).join(', ');
const count = (n: number, noun: string): string => `${grouped(n)} ${noun}${n === 1 ? ' is' : 's are'}`;

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
