// WebDataset: sets in tar archives (shards), in which the files of a sample follow each other under one name: 0001.jpg and 0001.cls. Nothing is
// unpacked. The index is read once (headers and classes, not images), then images by their places, front to back. Since the decoded set is one
// file, the order of an epoch is that of every set: drawn from all images by the seed, the same for any number of workers and after a resume.

import { open, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { HybridError } from '../../runtime/base/errors.ts';
import { systemCode } from '../../runtime/base/files.ts';
import { type DataSource, PARTS, type PartName } from '../../runtime/data/dataset.ts';
import type { Fail } from '../../runtime/formats/zip.ts';
import { checkBytes, maxBytesOf } from './decode-limits.ts';
import { type DecodeSetOptions, type ListedImage, openDecoded } from './decoded-images.ts';
import { type FolderImages, openReader } from './folder-reader.ts';
import { decodeImage } from './image-file.ts';
import { isImageName } from './image-formats.ts';
import { LABEL_NAMES } from './label-file.ts';
import { classesOf, type LabelValue } from './label-values.ts';
import { partOfName } from './part-names.ts';
import { type Shards, shardNames } from './shards.ts';
import { readTarIndex } from './tar-index.ts';
import { decodeText } from './text-file.ts';

export const isTar = (name: string): boolean => /\.tar$/i.test(name);

export interface WebDatasetOptions extends DecodeSetOptions {
  readonly shards: Shards;
  /** Of the object in a `.json`; by default the one that can be no other. */
  readonly labelColumn?: string;
}

/** An image by its place in a shard. */
interface Member extends ListedImage {
  readonly shard: string;
  readonly offset: number;
  readonly size: number;
}

const READER = new URL(import.meta.url.endsWith('.ts') ? '../../dist/app/sources/folder-reader.js' : 'folder-reader.js', import.meta.url)
  .href;
const MAX_CLASS_BYTES = 1024;
const MAX_JSON_BYTES = 2 ** 20;
/** Files beside the shards, or one folder above, that name the classes, one a line. */
const NAMES_FILES = ['classnames.txt', 'classes.txt', 'class_names.txt', 'labels.txt'];

/** Opens the set. Throws as `openDecoded` does, and E_DATA that names the shard and the sample that is not what it must be. */
export async function openWebDataset(options: WebDatasetOptions): Promise<DataSource> {
  const { shards, shape, maxPixels, crop, interpolation, signal, onNotice } = options;
  const read = new Map<PartName, { readonly members: Omit<Member, 'label'>[]; readonly values: LabelValue[] }>();
  const identities = new Map<string, string>();
  const called = shardNames(shards);
  let others = 0;
  for (const part of PARTS) {
    const members: Omit<Member, 'label'>[] = [];
    const values: LabelValue[] = [];
    for (const shard of shards.parts.get(part) ?? []) {
      const { samples, identity, passed } = await readShard(shard, called.get(shard) as string, options.labelColumn, signal);
      identities.set(shard, identity);
      others += passed;
      for (const { value, ...member } of samples) {
        members.push(member);
        values.push(value);
      }
    }
    if (members.length > 0) read.set(part, { members, values });
  }
  if (!read.has('train')) throw setError(shards.path, 'has no sample of an image and a class');
  if (others > 0)
    onNotice?.(
      'info',
      `${shards.path}: ${others === 1 ? '1 file that is' : `${others} files that are`} neither images nor classes: ignored`,
    );
  const beside = await classNames(dirname(shards.parts.get('train')?.[0] as string));
  const names = beside?.names;
  const { classes, labelsOf } = classesOf({ path: shards.path, values: [...read.values()].map(({ values }) => values), names, onNotice });
  if (beside) onNotice?.(...aboutNames(beside, classes, new Set([...read.values()].flatMap(({ values }) => values)).size));
  const parts = new Map<PartName, Member[]>();
  for (const [part, { members, values }] of read) {
    const labels = labelsOf(values);
    parts.set(
      part,
      members.map((member, i) => ({ ...member, label: labels[i] })),
    );
  }
  return openDecoded<Member>(
    {
      name: shards.path,
      ...{ classes, parts },
      remedy: 'Replace the images of this class, or leave its samples out of the shards.',
      decoder: {
        open(images, bad) {
          const files = [...new Set(images.map(({ shard }) => shard))];
          const numbers = new Map(files.map((file, i) => [file, i]));
          const data: FolderImages = {
            ...{ folder: '', paths: files, shape, maxPixels, crop, interpolation, bad },
            places: {
              file: Int32Array.from(images, ({ shard }) => numbers.get(shard) as number),
              offset: Float64Array.from(images, ({ offset }) => offset),
              size: Float64Array.from(images, ({ size }) => size),
            },
          };
          return {
            read: (indices, out) => openReader(data).read(Int32Array.from(indices), out),
            images: { kind: 'module', module: READER, data, first: 0 },
          };
        },
        async reason({ path, shard, offset, size }) {
          try {
            checkBytes(path, size, maxBytesOf({ maxPixels }));
            await decodeImage(await readPlace(shard, offset, size), { shape, maxPixels, crop, interpolation, name: path });
            return `${path} can no longer be decoded`;
          } catch (error) {
            return (error as Error).message;
          }
        },
      },
      *identity() {
        for (const [part, members] of parts) {
          for (const { path, label, offset, size } of members) yield JSON.stringify([part, path, label, offset, size]);
        }
        for (const [shard, identity] of identities) yield JSON.stringify([shard, identity]);
      },
    },
    options,
  );
}

interface Sample extends Omit<Member, 'label'> {
  readonly value: LabelValue;
}

/** The samples of a shard: files that follow each other and are called alike up to the first dot of the name. */
async function readShard(
  shard: string,
  called: string,
  wanted: string | undefined,
  signal: AbortSignal | undefined,
): Promise<{ readonly samples: readonly Sample[]; readonly identity: string; readonly passed: number }> {
  const fail: Fail = (what, cause) => {
    throw setError(
      shard,
      `cannot be read as a shard: ${what}`,
      'Write it with tar or webdataset, uncompressed; if it was copied or downloaded, download it again.',
      cause,
    );
  };
  const found = await stat(shard).catch((error: unknown) =>
    fail(systemCode(error) === 'ENOENT' ? 'it does not exist' : systemCode(error) || String(error)),
  );
  if (!found.isFile()) fail('it is not a file');
  const { size, mtimeMs } = found;
  const file = await open(shard).catch((error: unknown) => fail(systemCode(error) || String(error), error));
  try {
    const readAt = async (offset: number, length: number): Promise<Uint8Array> => {
      const bytes = new Uint8Array(length);
      for (let done = 0; done < length; ) {
        const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
        if (bytesRead === 0) fail(`it ends at byte ${offset + done}`);
        done += bytesRead;
      }
      return bytes;
    };
    const samples: Sample[] = [];
    let passed = 0;
    let key: string | undefined;
    let image: { readonly name: string; readonly offset: number; readonly size: number } | undefined;
    let value: LabelValue | undefined;
    const close = (): void => {
      if (image && value !== undefined)
        samples.push({ path: `${called}: ${image.name}`, shard, offset: image.offset, size: image.size, value });
      else if (image) fail(`its sample ${quoted(key)} has an image and no class (.cls or .json) beside it`);
      else if (value !== undefined) passed++;
      image = undefined;
      value = undefined;
    };
    for await (const member of readTarIndex({ size, readAt, fail, signal })) {
      const name = basename(member.name);
      if (name.startsWith('.') || /\p{Cc}/u.test(member.name)) {
        passed++;
        continue;
      }
      const dot = name.indexOf('.');
      const own = member.name.slice(0, member.name.length - name.length + (dot < 0 ? name.length : dot));
      if (own !== key) close();
      key = own;
      const ending = dot < 0 ? '' : name.slice(dot + 1).toLowerCase();
      if (isImageName(name)) {
        if (image) fail(`its sample ${quoted(key)} has two images, ${quoted(image.name)} and ${quoted(member.name)}`);
        image = member;
      } else if (ending === 'cls') value = classIn(await textAt(member, readAt, MAX_CLASS_BYTES, fail), member.name, fail);
      else if (ending === 'json') value ??= jsonClass(await textAt(member, readAt, MAX_JSON_BYTES, fail), member.name, wanted, fail);
      else passed++;
    }
    close();
    if (samples.length === 0) fail('it holds no sample of an image and a class, such as 0001.jpg and 0001.cls');
    return { samples, identity: `${size} ${mtimeMs}`, passed };
  } finally {
    await file.close();
  }
}

async function textAt(
  { name, offset, size }: { readonly name: string; readonly offset: number; readonly size: number },
  readAt: (offset: number, length: number) => Promise<Uint8Array>,
  most: number,
  fail: Fail,
): Promise<string> {
  if (size > most) fail(`its file ${quoted(name)} has ${size} bytes, more than ${most}`);
  return decodeText(await readAt(offset, size))?.text.trim() ?? fail(`its file ${quoted(name)} is not text`);
}

function classIn(text: string, name: string, fail: Fail): LabelValue {
  if (text === '') fail(`its file ${quoted(name)} is empty`);
  return /^-?\d{1,9}$/.test(text) ? Number(text) : text;
}

function jsonClass(text: string, name: string, wanted: string | undefined, fail: Fail): LabelValue | undefined {
  let object: unknown;
  try {
    object = JSON.parse(text);
  } catch (error) {
    fail(`its file ${quoted(name)} is not JSON: ${(error as Error).message}`, error);
  }
  if (typeof object === 'number' || typeof object === 'string') return classIn(String(object), name, fail);
  const entries = Object.entries(Object(object)).filter(([, value]) => typeof value === 'number' || typeof value === 'string');
  const likely = wanted === undefined ? entries.filter(([key]) => LABEL_NAMES.test(key)) : entries.filter(([key]) => key === wanted);
  if (likely.length === 1) return classIn(String(likely[0][1]), name, fail);
  if (likely.length > 1)
    throw setError(
      name,
      `has several entries that could say the class: ${likely.map(([key]) => quoted(key)).join(', ')}`,
      'Name the one that is meant with `labelColumn`.',
    );
  if (wanted !== undefined)
    throw setError(
      name,
      `has no entry ${quoted(wanted)}`,
      `It has ${entries
        .slice(0, 10)
        .map(([key]) => quoted(key))
        .join(', ')}.`,
    );
  return undefined;
}

interface NamesFile {
  readonly path: string;
  readonly names: readonly string[];
}

/** From a file beside the shards, or one folder above where theirs is of a part. */
async function classNames(folder: string): Promise<NamesFile | undefined> {
  for (const place of partOfName(basename(folder)) === undefined ? [folder] : [folder, join(folder, '..')]) {
    for (const name of NAMES_FILES) {
      const path = join(place, name);
      // Asked before it is opened: it may be a pipe, or a huge file.
      const found = await stat(path).catch(() => undefined);
      if (!found?.isFile() || found.size > MAX_JSON_BYTES) continue;
      const text = decodeText(await readFile(path).catch(() => new Uint8Array(0)))?.text.trim();
      if (!text) continue;
      const names = text.split(/\r?\n/).map((line) => line.trim());
      return { path, names: names.filter((line) => line !== '') };
    }
  }
  return undefined;
}

/** What is told of such a file: nobody named it. */
function aboutNames({ path, names }: NamesFile, classes: readonly string[], present: number): ['info' | 'warning', string] {
  if (classes !== names) return ['warning', `${path} has ${names.length} names, which do not fit the ${present} classes: it is not used`];
  if (names.length >= 2 * present)
    return [
      'warning',
      `${path} names ${names.length} classes, and only ${present} have images; if it is not a list of the classes, move it away`,
    ];
  return ['info', `the names of the classes are those in ${path}`];
}

async function readPlace(path: string, offset: number, size: number): Promise<Uint8Array> {
  const file = await open(path);
  try {
    const bytes = new Uint8Array(size);
    const { bytesRead } = await file.read(bytes, 0, size, offset);
    return bytes.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

const quoted = (text = ''): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);

const setError = (
  path: string,
  what: string,
  remedy = 'Give shards with an image and a class for each sample: 0001.jpg and 0001.cls.',
  cause?: unknown,
): HybridError => new HybridError('E_DATA', `${path} ${what}`, remedy, { cause });
