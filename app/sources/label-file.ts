// Labels that stand in a table beside the images: a CSV or TSV with a column of files and one of classes (Kaggle's trainLabels.csv, ids without
// ending, one column a class), and the lists of Tiny ImageNet and Oxford's Pets. A table never decides which file is read: what it names is looked
// up among the images that the folder was found to hold.

import { readFile, stat } from 'node:fs/promises';
import { basename, extname } from 'node:path';
import { HybridError, nearest } from '../../runtime/base/errors.ts';
import { systemCode } from '../../runtime/base/files.ts';
import { grouped } from '../../runtime/base/units.ts';
import type { PartName } from '../../runtime/data/dataset.ts';
import { partOfName } from './part-names.ts';
import { decodeText } from './text-file.ts';

/** A row of a table that names an image. */
export interface LabelledFile {
  /** As the table has it. */
  readonly file: string;
  /** Relative to the folder. */
  readonly path: string;
  readonly label: string;
  /** Where the table has a column for it. */
  readonly part?: PartName;
}

/** What a table says. */
export interface LabelTable {
  readonly rows: readonly LabelledFile[];
  /** Sentences that people should know of. */
  readonly notices: readonly string[];
}

export interface LabelTableOptions {
  /** Path of the table. */
  readonly path: string;
  readonly images: ImageIndex;
  /** Name of the column of classes, or its number from 1 where the table has no header; found by itself where that is clear. */
  readonly labelColumn?: string;
}

/** A table of a million images takes some 40 MB; it is held as a whole. */
const MAX_BYTES = 2 ** 27;
/** Rows that decide which column names files. */
const PROBE = 64;
const MAX_LABEL_LENGTH = 200;

export const LABEL_NAMES =
  /^(labels?|class(es)?|class_?(name|id|label)|category|categories|target|species|breed|y|ground_?truth|level|diagnosis|dx)$/i;
const PART_NAMES = /^(split|set|subset|part|partition|usage|phase|data_?set)$/i;

/** Files of images by what a table may call them: the whole path, the name, or the name without its ending. */
export class ImageIndex {
  readonly size: number;
  readonly #names = new Map<string, string | null>();

  /** @param paths Relative to the folder, with slashes. Where two images have one name, that name alone means neither. */
  constructor(paths: readonly string[]) {
    this.size = paths.length;
    for (const path of paths) {
      const keys = new Set([path, basename(path), stem(path), stem(basename(path))]);
      // Every end of the path: tables are written for a folder above or below.
      for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) keys.add(path.slice(at + 1)).add(stem(path.slice(at + 1)));
      for (const key of keys) this.#add(key, path);
    }
    for (const path of paths) this.#names.set(path.normalize('NFC'), path);
  }

  #add(key: string, path: string): void {
    const name = key.normalize('NFC');
    this.#names.set(name, this.#names.has(name) && this.#names.get(name) !== path ? null : path);
  }

  /** The path that a name means; null where it means two, undefined where it means none. */
  find(name: string): string | null | undefined {
    const plain = name
      .trim()
      .replaceAll('\\', '/')
      .replace(/^\.?\//, '')
      .normalize('NFC');
    if (plain === '') return undefined;
    const found = this.#names.get(plain);
    if (found !== undefined) return found;
    // A folder above, or an ending that the files do not have: train/x.jpeg for x.jpg.
    const last = plain.slice(plain.lastIndexOf('/') + 1);
    return this.#names.get(last) ?? (/\.(png|jpe?g|webp|gif|tiff?|bmp)$/i.test(last) ? this.#names.get(stem(last)) : undefined);
  }
}

const stem = (path: string): string => path.slice(0, path.length - extname(path).length);

/**
 * Reads a table of labels. Throws E_DATA where it is too large, no text, names files that are not there, or where it is not clear which of its
 * columns names files and which one classes.
 */
export async function readLabelTable(options: LabelTableOptions): Promise<LabelTable> {
  const { path, images } = options;
  const { records, notices } = await readTable(path);
  const [first] = records;
  if (!first) throw tableError(path, 'is empty');
  const header = first.some((cell) => images.find(cell)) ? undefined : first.map((cell) => cell.trim());
  const body = header ? records.slice(1) : records;
  if (body.length === 0) throw tableError(path, 'has no rows below its header');

  const probed = body.slice(0, PROBE);
  const hits = first.map((_, column) => probed.filter((row) => images.find(row[column] ?? '') !== undefined).length);
  const fileColumn = hits.indexOf(hits.reduce((most, count) => Math.max(most, count), Number.NEGATIVE_INFINITY));
  if (hits[fileColumn] * 2 < probed.length) throw noFiles(path, images, body, header, fileColumn);
  const partColumn = (header ?? []).findIndex((name, column) => column !== fileColumn && PART_NAMES.test(name));
  const labelOf = chooseLabels({ path, header, body, fileColumn, partColumn, wanted: options.labelColumn });

  const rows: LabelledFile[] = [];
  const missing: string[] = [];
  const seen = new Map<string, string>();
  for (const [i, row] of body.entries()) {
    const line = i + (header ? 2 : 1);
    const file = row[fileColumn] ?? '';
    const image = images.find(file);
    if (image === null) throw tableError(path, `names ${shown(file)} in row ${line}, and two images are called so`);
    if (image === undefined) {
      missing.push(file);
      continue;
    }
    const label = labelOf(row, line);
    const before = seen.get(image);
    if (before !== undefined && before !== label)
      throw tableError(path, `calls ${shown(file)} ${shown(before)} in one row and ${shown(label)} in row ${line}`);
    if (before !== undefined) continue;
    seen.set(image, label);
    const part = partColumn < 0 ? undefined : partOfName(row[partColumn]?.trim() ?? '');
    rows.push({ file, path: image, label, ...(part && { part }) });
  }
  if (missing.length > 0) {
    const names = missing.slice(0, 3).map(shown).join(', ');
    throw tableError(
      path,
      `names ${grouped(missing.length)} of ${grouped(body.length)} files that are not there: ${names}${missing.length > 3 ? ', …' : ''}`,
      'Put the files there, or remove their rows.',
    );
  }
  return { rows, notices };
}

async function readTable(path: string): Promise<{ readonly records: string[][]; readonly notices: string[] }> {
  const size = await stat(path).then(
    (found) => (found.isFile() ? found.size : -1),
    (error: unknown) => {
      throw tableError(path, systemCode(error) === 'ENOENT' ? 'does not exist' : `cannot be read: ${systemCode(error) || error}`);
    },
  );
  if (size < 0) throw tableError(path, 'is not a file');
  if (size > MAX_BYTES) {
    throw tableError(path, `has ${grouped(size)} bytes, more than the ${grouped(MAX_BYTES)} that are read`);
  }
  const decoded = decodeText(await readFile(path));
  if (!decoded) throw tableError(path, 'is not a text file', 'Save the table as CSV in UTF-8.');
  const { text, encoding } = decoded;
  if (/\.(jsonl|ndjson|json)$/i.test(path)) return { records: recordsOfJson(path, text), notices: [] };
  const notices = encoding === 'UTF-8' ? [] : [`${path} is read as ${encoding}`];
  const { parse } = await import('csv-parse/sync');
  try {
    const records: string[][] = parse(text, {
      delimiter: delimiterOf(path, text),
      bom: true,
      skip_empty_lines: true,
      relax_column_count: true,
      comment: '#',
      comment_no_infix: true,
      max_record_size: 100_000,
    });
    return { records, notices };
  } catch (error) {
    throw tableError(path, `is not a table that can be read: ${(error as Error).message}`);
  }
}

/** Of a list of objects with the same keys, one a line or in brackets, the keys and then their values; of one object its keys with their values. */
function recordsOfJson(path: string, text: string): string[][] {
  const parsed = (json: string, where = ''): unknown => {
    try {
      return JSON.parse(json);
    } catch (error) {
      throw tableError(path, `is not JSON that can be read${where}: ${(error as Error).message}`);
    }
  };
  const cell = (value: unknown): string => (typeof value === 'string' || typeof value === 'number' ? `${value}` : '');
  const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null && !Array.isArray(value);
  const whole = /\.json$/i.test(path)
    ? parsed(text)
    : text.split('\n').flatMap((line, i) => (line.trim() === '' ? [] : [parsed(line, ` in line ${i + 1}`)]));
  if (isObject(whole)) return Object.entries(whole).map(([file, label]) => [file, cell(label)]);
  if (!Array.isArray(whole) || !whole.every(isObject)) throw tableError(path, 'is not a list of objects with a file and a class each');
  const keys = Object.keys(whole[0] ?? {});
  return [keys, ...whole.map((row) => keys.map((key) => (Object.hasOwn(row, key) ? cell((row as Record<string, unknown>)[key]) : '')))];
}

/** By the ending and the first line: programs of other countries write semicolons into a .csv. */
function delimiterOf(path: string, text: string): string {
  const end = text.indexOf('\n');
  const line = text.slice(0, Math.min(end < 0 ? text.length : end, 10_000));
  const count = (character: string): number => line.split(character).length - 1;
  if (/\.tsv$/i.test(path)) return '\t';
  const [best] = [',', ';', '\t', ' '].map((character) => ({ character, n: count(character) })).sort((a, b) => b.n - a.n);
  if (/\.csv$/i.test(path)) return count(',') > 0 ? ',' : best.character === ' ' ? ',' : best.character;
  return best.n > 0 ? (count('\t') > 0 ? '\t' : best.character) : ',';
}

interface Columns {
  readonly path: string;
  readonly header: readonly string[] | undefined;
  readonly body: readonly (readonly string[])[];
  readonly fileColumn: number;
  readonly partColumn: number;
  readonly wanted?: string;
}

/** Which column, or columns, say the class. */
function chooseLabels({ path, header, body, fileColumn, partColumn, wanted }: Columns): (row: readonly string[], line: number) => string {
  const single = (column: number) => (row: readonly string[], line: number) => {
    const label = (row[column] ?? '').trim();
    if (label === '') throw tableError(path, `has no class in row ${line}`);
    if (label.length > MAX_LABEL_LENGTH || /\p{Cc}/u.test(label))
      throw tableError(path, `has a class in row ${line} that is not a name: ${shown(label)}`);
    return label;
  };
  const width = body.slice(0, PROBE).reduce((most, { length }) => Math.max(most, length), Number.NEGATIVE_INFINITY);
  const names = header ?? Array.from({ length: width }, (_, i) => String(i + 1));
  if (wanted !== undefined) {
    const column = names.findIndex((name) => name.toLowerCase() === wanted.toLowerCase());
    if (column >= 0) return single(column);
    const meant = nearest(wanted, names);
    throw tableError(
      path,
      `has no column ${shown(wanted)}, but ${names.slice(0, 20).map(shown).join(', ')}`,
      meant ? `Did you mean ${meant}?` : undefined,
    );
  }
  const others = names.map((_, column) => column).filter((column) => column !== fileColumn && column !== partColumn);
  if (others.length === 0) throw tableError(path, 'has one column only: there are no classes in it');
  if (others.length === 1) return single(others[0]);
  const named = header ? others.filter((column) => LABEL_NAMES.test(header[column])) : [];
  if (named.length === 1) return single(named[0]);
  if (header && isOneHot(body, others)) {
    return (row, line) => {
      const ones = others.filter((column) => Number(row[column]) === 1);
      if (ones.length !== 1) throw tableError(path, `has ${ones.length} classes in row ${line}: exactly one column must be 1`);
      return header[ones[0]];
    };
  }
  throw tableError(
    path,
    `has several columns that could say the class: ${others
      .slice(0, 20)
      .map((column) => shown(names[column]))
      .join(', ')}`,
    'Name the column of classes with `labelColumn`.',
  );
}

/** Whether columns hold 0 and 1 alone, and most rows one 1. */
function isOneHot(body: readonly (readonly string[])[], columns: readonly number[]): boolean {
  const probed = body.slice(0, PROBE);
  const values = probed.map((row) => columns.map((column) => Number(row[column]?.trim() || Number.NaN)));
  if (!values.every((row) => row.every((value) => value === 0 || value === 1))) return false;
  return values.filter((row) => row.filter((value) => value === 1).length === 1).length * 2 > probed.length;
}

function noFiles(
  path: string,
  images: ImageIndex,
  body: readonly (readonly string[])[],
  header: readonly string[] | undefined,
  column: number,
): HybridError {
  const example = body[0][column] ?? '';
  const where = header ? ` (${shown(example)} in the column ${shown(header[column])}, say, is none)` : ` (${shown(example)} is none)`;
  return tableError(
    path,
    `has no column with the names of the ${grouped(images.size)} images in the folder${where}`,
    'Put the images beside the table, or correct the names.',
  );
}

/** Text from a file, safe to print: escaped and of bounded length. */
const shown = (text: string): string => JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);

const tableError = (path: string, what: string, remedy = 'Give a table with a column of file names and one of classes.'): HybridError =>
  new HybridError('E_DATA', `${path} ${what}`, remedy);
