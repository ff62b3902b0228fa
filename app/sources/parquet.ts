// Sets in Parquet files, as Hugging Face has them: a column of images, each the bytes of a file (alone or, with its path, in a structure), and
// one of classes, numbers or names. Several files make a part; parts are told by the names of files and folders.

import { open, stat } from 'node:fs/promises';
import { HybridError, nearest } from '../../runtime/base/errors.ts';
import { systemCode } from '../../runtime/base/files.ts';
import { type DataSource, PARTS, type PartName } from '../../runtime/data/dataset.ts';
import { openParquet, type ParquetColumn, type ParquetFile, type ParquetValue } from '../../runtime/formats/parquet.ts';
import { decodeInto } from './decode-into.ts';
import { type DecodeSetOptions, type ListedImage, openDecoded } from './decoded-images.ts';
import { decodeImage } from './image-file.ts';
import { FORMAT_BYTES, formatOf } from './image-formats.ts';
import { LABEL_NAMES } from './label-file.ts';
import { classesOf, type LabelValue } from './label-values.ts';
import { type Shards, shardNames } from './shards.ts';

export const isParquet = (name: string): boolean => /\.parquet$/i.test(name);

export interface ParquetSetOptions extends DecodeSetOptions {
  readonly shards: Shards;
  /** Names of the columns of images and classes; found by themselves where that is clear. */
  readonly images?: string;
  readonly labelColumn?: string;
}

/** Values that tell whether a column is of images. */
const PROBED = 64;

/** An image by its file, and its row in a group of rows. */
interface Row extends ListedImage {
  readonly file: OpenFile;
  readonly group: number;
  readonly row: number;
}

interface OpenFile {
  readonly path: string;
  readonly identity: string;
  readonly parquet: ParquetFile;
  readonly images: ParquetColumn;
}

/** Opens the set. Throws as `openDecoded` does, and E_DATA where columns are missing, unclear or not what they must be. */
export async function openParquetSet(options: ParquetSetOptions): Promise<DataSource> {
  const { shards, shape, maxPixels, crop, interpolation, onNotice } = options;
  const read = new Map<PartName, { readonly rows: Omit<Row, 'label'>[]; readonly values: LabelValue[] }>();
  const called = shardNames(shards);
  let first: Described | undefined;
  let named: Described | undefined;
  for (const part of PARTS) {
    const rows: Omit<Row, 'label'>[] = [];
    const values: LabelValue[] = [];
    for (const path of shards.parts.get(part) ?? []) {
      const described = await describe(path, options, first);
      first ??= described;
      const { file, labels } = described;
      if (described.classNames) named ??= described;
      const renumber = renumbering(described, named);
      let at = 0;
      for (const [group, count] of file.parquet.groups.entries()) {
        const column = await file.parquet.read(labels, group);
        for (let row = 0; row < count; row++, at++) {
          const value = labelOf(column[row]);
          // -1 stands for a class that is kept secret: Hugging Face's tests have it.
          if (value === undefined) throw parquetError(path, `has no class in row ${at} (column ${labels.path.join('.')})`);
          rows.push({ path: `${called.get(path)}, row ${at}`, file, group, row });
          values.push(renumber(value));
        }
      }
    }
    if (rows.length === 0) continue;
    if (part !== 'train' && values.every((value) => value === -1)) {
      onNotice?.('warning', `${shards.path}: the ${part} images have no classes (-1): ignored`);
      continue;
    }
    read.set(part, { rows, values });
  }
  const names = named?.classNames;
  // Where classes have names, -1 is none of them.
  for (const [part, { rows, values }] of names ? read : []) {
    const known = values.flatMap((value, i) => (value === -1 ? [] : [i]));
    if (known.length === values.length) continue;
    onNotice?.('warning', `${shards.path}: ${values.length - known.length} of ${values.length} ${part} images have no class (-1): skipped`);
    if (known.length > 0) read.set(part, { rows: known.map((i) => rows[i]), values: known.map((i) => values[i]) });
    else read.delete(part);
  }
  if (!read.has('train')) throw parquetError(shards.path, 'has no rows of training images');
  const { classes, labelsOf } = classesOf({ path: shards.path, values: [...read.values()].map(({ values }) => values), names, onNotice });
  const parts = new Map<PartName, Row[]>();
  for (const [part, { rows, values }] of read) {
    const labels = labelsOf(values);
    parts.set(
      part,
      rows.map((row, i) => ({ ...row, label: labels[i] })),
    );
  }
  const columns = new HeldColumn();
  const bytesOf = async ({ file, group, row, path }: Row): Promise<Uint8Array> => {
    const value = (await columns.of(file, group))[row];
    if (value instanceof Uint8Array && value.length > 0) return value;
    throw new HybridError(
      'E_DATA',
      `${path} has no bytes of an image`,
      'Write the set with the images in it: datasets with Image(decode=False) and embed_external_files.',
    );
  };
  return openDecoded<Row>(
    {
      name: shards.path,
      ...{ classes, parts },
      remedy: 'Replace the images of this class, or remove its rows.',
      decoder: {
        open: (images, bad) => {
          const decode = async (image: Row): Promise<Uint8Array> =>
            decodeImage(await bytesOf(image), { shape, maxPixels, crop, interpolation });
          return { read: (indices, out) => decodeInto({ images, indices, out, bad, shape, decode }) };
        },
        reason: async (image) => {
          try {
            await decodeImage(await bytesOf(image), { shape, maxPixels, crop, interpolation, name: image.path });
            return `${image.path} can no longer be decoded`;
          } catch (error) {
            return (error as Error).message;
          }
        },
      },
      *identity() {
        for (const [part, rows] of parts) {
          for (const file of new Set(rows.map((row) => row.file))) yield JSON.stringify([part, file.path, file.identity, file.images.path]);
          yield JSON.stringify(rows.map(({ label }) => label));
        }
      },
    },
    options,
  );
}

/** The images of the group of rows that was asked for last: they are read in their order. */
class HeldColumn {
  #key: readonly [OpenFile, number] | undefined;
  #values: Promise<ParquetValue[]> | undefined;

  of(file: OpenFile, group: number): Promise<ParquetValue[]> {
    if (this.#key?.[0] !== file || this.#key[1] !== group || !this.#values) {
      this.#key = [file, group];
      this.#values = file.parquet.read(file.images, group);
    }
    return this.#values;
  }
}

interface Described {
  readonly file: OpenFile;
  readonly labels: ParquetColumn;
  readonly classNames?: readonly string[];
}

/** Numbers of the classes of a file as those of another one: by the names, where both have the same in another order. Throws where they differ. */
function renumbering({ file, classNames }: Described, named: Described | undefined): (value: LabelValue) => LabelValue {
  const wanted = named?.classNames;
  if (!wanted || !classNames || JSON.stringify(wanted) === JSON.stringify(classNames)) return (value) => value;
  const numbers = classNames.map((name) => wanted.indexOf(name));
  if (new Set(numbers).size !== wanted.length || numbers.length !== wanted.length || numbers.includes(-1)) {
    const odd = classNames.find((name) => !wanted.includes(name)) ?? wanted.find((name) => !classNames.includes(name));
    throw new HybridError(
      'E_DATA',
      `${file.path} and ${named?.file.path} have other names of classes: ${classNames.length} and ${wanted.length}, and ${JSON.stringify(odd)} is in one of them only`,
      'Give files of one set.',
    );
  }
  return (value) => {
    if (typeof value !== 'number' || value === -1) return value;
    return numbers[value] ?? fail(file.path, value, classNames.length);
  };
}

function fail(path: string, value: number, names: number): never {
  throw parquetError(path, `has the class ${value}, and names for ${names} only`);
}

/** With the columns of the first file of the set, where it is not the first itself. */
async function describe(path: string, { images, labelColumn }: ParquetSetOptions, first?: Described): Promise<Described> {
  const found = await stat(path).catch((error: unknown) => {
    throw parquetError(path, systemCode(error) === 'ENOENT' ? 'does not exist' : `cannot be read: ${systemCode(error) || error}`);
  });
  if (!found.isFile()) throw parquetError(path, 'is not a file');
  const { size, mtimeMs } = found;
  // Opened for each piece: a set may have thousands of files.
  const readAt = async (offset: number, length: number): Promise<Uint8Array> => {
    const file = await open(path).catch((error: unknown) => {
      throw parquetError(path, `cannot be read: ${systemCode(error) || error}`);
    });
    try {
      const bytes = new Uint8Array(length);
      for (let done = 0; done < length; ) {
        const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
        if (bytesRead === 0) throw parquetError(path, `ends at byte ${offset + done}: it was truncated while in use`);
        done += bytesRead;
      }
      return bytes;
    } finally {
      await file.close();
    }
  };
  const parquet = await openParquet({ source: path, size, readAt });
  const features = featuresOf(parquet.metadata.get('huggingface'));
  const like = (column: ParquetColumn): ParquetColumn => {
    const own = parquet.columns.find((one) => one.path.join('\0') === column.path.join('\0'));
    if (own && own.type === column.type && own.text === column.text && own.repeated === column.repeated) return own;
    throw new HybridError(
      'E_DATA',
      `${path} and ${first?.file.path} have other columns: ${JSON.stringify(column.path.join('.'))} is in the second as ${typeName(column)}, and in the first ${own ? `as ${typeName(own)}` : 'not at all'}`,
      'Give files of one set.',
    );
  };
  const imageColumn = first ? like(first.file.images) : await chooseImages(path, parquet, images, features);
  const labels = first ? like(first.labels) : chooseLabels(path, parquet, imageColumn, features, labelColumn);
  const file: OpenFile = { path, identity: `${size} ${mtimeMs}`, parquet, images: imageColumn };
  return { file, labels, classNames: features.get(labels.path[0])?.names };
}

interface Feature {
  readonly type?: string;
  readonly names?: readonly string[];
}

/** What Hugging Face's datasets says of the columns. */
function featuresOf(text: string | undefined): Map<string, Feature> {
  try {
    const features: unknown = JSON.parse(text ?? '{}').info?.features;
    return new Map(
      Object.entries(Object(features)).map(([name, feature]) => {
        const { _type: type, names } = Object(feature) as { _type?: unknown; names?: unknown };
        const list = Array.isArray(names) && names.every((one) => typeof one === 'string') ? (names as string[]) : undefined;
        return [name, { type: typeof type === 'string' ? type : undefined, names: list }];
      }),
    );
  } catch {
    return new Map();
  }
}

/** Those of bytes, alone or in a structure with their path. Values are looked at only where the description does not say which it is. */
async function chooseImages(
  path: string,
  parquet: ParquetFile,
  wanted: string | undefined,
  features: ReadonlyMap<string, Feature>,
): Promise<ParquetColumn> {
  const bytes = parquet.columns.filter(
    ({ path: names, type, text, repeated }) =>
      !repeated && !text && type === 'BYTE_ARRAY' && (names.length === 1 || (names.length === 2 && names[1] === 'bytes')),
  );
  if (wanted !== undefined) {
    const column = bytes.find(({ path: [name] }) => name === wanted);
    if (column) return column;
    throw missingColumn(path, parquet, wanted, 'of images');
  }
  const told = bytes.filter(({ path: [name] }) => features.get(name)?.type === 'Image');
  if (told.length === 1) return told[0];
  const group = parquet.groups.findIndex((rows) => rows > 0);
  if (group < 0) throw parquetError(path, 'has no rows');
  const images: ParquetColumn[] = [];
  for (const column of told.length > 0 ? told : bytes) {
    // Not the first one alone: it may be the one that is damaged.
    const values = await parquet.peek(column, group, PROBED);
    if (values.some((value) => value instanceof Uint8Array && formatOf(value.subarray(0, FORMAT_BYTES)))) images.push(column);
  }
  if (images.length === 1) return images[0];
  const names = images.map(({ path: [name] }) => JSON.stringify(name)).join(', ');
  if (images.length > 1) throw parquetError(path, `has several columns of images: ${names}`, 'Name the one that is meant with `images`.');
  throw parquetError(path, `has no column with the bytes of images, but ${columnsOf(parquet)}`);
}

function chooseLabels(
  path: string,
  parquet: ParquetFile,
  images: ParquetColumn,
  features: ReadonlyMap<string, Feature>,
  wanted: string | undefined,
): ParquetColumn {
  const plain = parquet.columns.filter(
    ({ path: names, type, text, repeated }) =>
      !repeated &&
      names.length === 1 &&
      names[0] !== images.path[0] &&
      (type.startsWith('INT') || type === 'BOOLEAN' || (type === 'BYTE_ARRAY' && text)),
  );
  const named = (name: string): ParquetColumn | undefined => plain.find(({ path: [own] }) => own.toLowerCase() === name.toLowerCase());
  if (wanted !== undefined) {
    const column = named(wanted);
    if (column) return column;
    throw missingColumn(path, parquet, wanted, 'of classes');
  }
  const labels = plain.filter(({ path: [name] }) => features.get(name)?.type === 'ClassLabel');
  if (labels.length === 1) return labels[0];
  const usual = named('fine_label') ?? named('label');
  if (usual) return usual;
  const likely = (labels.length > 0 ? labels : plain).filter(({ path: [name] }) => LABEL_NAMES.test(name));
  if (likely.length === 1) return likely[0];
  if (plain.length === 1) return plain[0];
  if (plain.length === 0) throw parquetError(path, `has no column of classes, but ${columnsOf(parquet)}`);
  const names = (likely.length > 0 ? likely : plain).map(({ path: [name] }) => JSON.stringify(name)).slice(0, 10);
  throw parquetError(
    path,
    `has several columns that could say the class: ${names.join(', ')}`,
    'Name the column of classes with `labelColumn`.',
  );
}

function labelOf(value: ParquetValue | undefined): LabelValue | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value : undefined;
  if (typeof value === 'boolean') return Number(value);
  return value ? new TextDecoder().decode(value) : undefined;
}

const columnsOf = ({ columns }: ParquetFile): string =>
  columns
    .slice(0, 10)
    .map((column) => `${JSON.stringify(column.path.join('.'))} (${typeName(column)})`)
    .join(', ');

const typeName = ({ type, text }: ParquetColumn): string => (text ? 'text' : type);

function missingColumn(path: string, parquet: ParquetFile, wanted: string, what: string): HybridError {
  const meant = nearest(wanted, new Set(parquet.columns.map((column) => column.path[0])));
  return parquetError(
    path,
    `has no column ${what} ${JSON.stringify(wanted)}, but ${columnsOf(parquet)}`,
    meant && meant !== wanted ? `Did you mean ${meant}?` : undefined,
  );
}

const parquetError = (
  path: string,
  what: string,
  remedy = 'Give a set with a column of images, as bytes, and one of classes.',
): HybridError => new HybridError('E_DATA', `${path} ${what}`, remedy);
