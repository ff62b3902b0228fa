// Sets whose images have to be decoded: files of a folder, members of archives, values of a table. Every image is decoded once, when the set is
// opened for the first time, into a packed file in the cache: training never waits for a decoder, and what cannot be decoded is known before
// the first step. The packed file is found again by what the images are and by the sizes and times of their files, and hashed before it is used.

import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { HybridError } from '../../runtime/base/errors.ts';
import type { Files } from '../../runtime/base/files.ts';
import {
  type DataSource,
  type Dataset,
  type ModuleImages,
  PARTS,
  type PartName,
  partTitle,
  type SkippedImage,
  sourceOf,
} from '../../runtime/data/dataset.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import { DataPipeline } from '../../runtime/data/pipeline.ts';
import type { Interpolation } from '../../runtime/data/preprocessing.ts';
import { loadSharp } from './image-file.ts';
import { openPacked, type PackedSource, writePacked } from './packed.ts';

/** An image of such a set. */
export interface ListedImage {
  /** What people call it: its path in the folder, or the file and its place there. */
  readonly path: string;
  readonly label: number;
}

type Listed<T> = ReadonlyMap<PartName, readonly T[]>;

/** All images: the number of an image is its place in this list. (Their paths need not differ: an archive may have two of a name.) */
const listOf = <T>(parts: Listed<T>): T[] => PARTS.flatMap((part) => parts.get(part) ?? []);

/** A set as it lies on the disk. */
export interface EncodedSet<T extends ListedImage = ListedImage> {
  /** For messages, and for the names of its parts. */
  readonly name: string;
  readonly classes: readonly string[];
  readonly parts: Listed<T>;
  /** How many images are read at a time, and by whom. */
  readonly decoder: {
    /** Reads and decodes images by their index in `images`; marks those that cannot be decoded in `bad` and makes them zeros. */
    readonly open: (images: readonly T[], bad: Uint8Array) => Pick<Dataset, 'read'> & { readonly images?: ModuleImages };
    /** Why an image cannot be decoded. */
    readonly reason: (image: T) => Promise<string>;
  };
  /** Beside names and labels: what the pixels of each image follow from, such as size and time of its file. Called once. */
  identity(): AsyncIterable<string> | Iterable<string>;
  /** What to do about a class without an image. */
  readonly remedy: string;
}

export interface DecodeSetOptions {
  readonly files: Files;
  /** [height, width, channels] that images are brought to; channels is 1 or 3. */
  readonly shape: Dataset['shape'];
  /** Images that may be undecodable and are left out; one more is an error. One in a hundred and ten at most by default. */
  readonly maxBad?: number;
  /** Of one image, before it is decoded. */
  readonly maxPixels?: number;
  /** As `decodeImage` takes them. */
  readonly crop?: number;
  readonly interpolation?: Interpolation;
  /** Packed files are kept in its folder `images`, which may be deleted at any time. */
  readonly cacheDir: string;
  /** Images of more bytes than this in all stay on the disk. */
  readonly memoryBudget: number;
  /** Whether every image is decoded again, whatever the cache has. */
  readonly anew?: boolean;
  readonly signal?: AbortSignal;
  readonly onDecoded?: (images: number, total: number) => void;
  readonly onNotice?: (level: 'info' | 'warning', text: string) => void;
}

/** Part of the name of a packed file: changes when the same files would give other pixels. */
const DECODER = 'sharp 0.35, cover by even numbers, srgb, 2';
/** Folder of the cache for packed files. */
export const IMAGES_FOLDER = 'images';
/** Files that are left out unasked because they cannot be decoded: this share, and no more than so many. */
const BAD_SHARE = 0.01;
const MOST_BAD = 10;
/** Images decoded at a time. */
const PIECE = 64;
const LEAST_FOR_WORKERS = 256;
/** sharp decodes in threads that all workers share, of which Node has four by default. */
const MOST_WORKERS = 4;
/** A task has eight images or more, each of which may take decodeImage's limit. */
const TASK_LIMIT_MS = 600_000;

/** Opens the set. Throws E_DATA (undecodable images beyond `maxBad` …), E_ENVIRONMENT without sharp, E_DISK, or an AbortError. */
export async function openDecoded<T extends ListedImage>(set: EncodedSet<T>, options: DecodeSetOptions): Promise<DataSource> {
  const { files, cacheDir, shape, onNotice } = options;
  const key = await keyOf(set, options);
  const path = join(cacheDir, IMAGES_FOLDER, `${key.slice(0, 32)}.safetensors`);
  const cached = !options.anew && (await files.stat(path).catch(() => null)) && (await openCached(path, key, set, options));
  if (cached) return cached;

  await loadSharp(); // says what is missing before any worker misses it
  const pass = new DecodePass(set, options);
  try {
    await pass.into(async (parts, images) => {
      await files.mkdir(dirname(path)).catch(() => {}); // the next call says why
      const metadata = new Map([
        ['key', key],
        ['skipped', JSON.stringify(pass.skipped)],
      ]);
      const labels = new Map([...parts].map(([part, list]) => [part, labelsOf(list)] as const));
      await writePacked({ files, path, shape, classes: set.classes, name: set.name, labels, metadata, signal: options.signal, images });
    });
    const packed = await openCached(path, key, set, options);
    if (packed) return packed;
    throw new HybridError('E_DATA', `${path} was changed while it was written`, 'Start again.');
  } catch (error) {
    // A cache that cannot be written is no reason not to train, as long as the images fit into memory.
    if (!(error instanceof HybridError && error.code === 'E_DISK' && pass.bytes <= options.memoryBudget)) throw error;
    onNotice?.('warning', `the decoded images cannot be cached: ${error.message}`);
    const held = await pass.into((parts, images) => hold(set, parts, images, options));
    return named(held, set, pass.skipped, options);
  }
}

/** Null where the file in the cache is not the one that is wanted or is damaged: it is written anew then. */
async function openCached<T extends ListedImage>(
  path: string,
  key: string,
  set: EncodedSet<T>,
  options: DecodeSetOptions,
): Promise<DataSource | null> {
  let packed: PackedSource;
  try {
    packed = await openPacked(path, options);
    if (packed.metadata.get('key') !== key) return null;
  } catch (error) {
    if (!(error instanceof HybridError)) throw error;
    options.onNotice?.('warning', `${error.message}; the images are decoded again`);
    return null;
  }
  const skipped: unknown = JSON.parse(packed.metadata.get('skipped') ?? '[]');
  const total = listOf(set.parts).length;
  if (!Array.isArray(skipped) || !skipped.every((number) => Number.isInteger(number) && number >= 0 && number < total)) return null;
  return named(packed, set, skipped, options);
}

/** The set with what its images are called, and those that are left out. */
async function named<T extends ListedImage>(
  source: DataSource,
  set: EncodedSet<T>,
  numbers: readonly number[],
  options: DecodeSetOptions,
): Promise<DataSource> {
  const skipped = await judge(numbers, set, options);
  const parts = without(set.parts, numbers);
  const withNames = (part: PartName): Dataset | null => {
    const dataset = source[part];
    const kept = parts.get(part) ?? [];
    return dataset ? { ...dataset, fileOf: (index) => kept[index]?.path } : null;
  };
  const { mixed } = source;
  return { train: withNames('train') as Dataset, validation: withNames('validation'), test: withNames('test'), mixed, skipped };
}

/** What the pixels follow from. */
async function keyOf<T extends ListedImage>(set: EncodedSet<T>, options: DecodeSetOptions): Promise<string> {
  const { shape, maxPixels, crop = 1, interpolation = 'lanczos' } = options;
  const way = crop === 1 && interpolation === 'lanczos' ? [] : [crop, interpolation];
  const hash = createHash('sha256').update(JSON.stringify([DECODER, shape, maxPixels, set.classes, ...way]));
  for await (const text of set.identity()) hash.update(text);
  return hash.digest('hex');
}

type Pieces = () => AsyncGenerator<Uint8Array, void, undefined>;

const labelsOf = (images: readonly ListedImage[]): Int32Array => Int32Array.from(images, ({ label }) => label);

/** Thrown by the pieces of a pass at their end where images were found undecodable: the pass is made again without them. */
class SkippedFiles extends Error {}

/** Decodes the images of a set. Only a pass without an undecodable one is complete: sizes must be known before the first image. */
class DecodePass<T extends ListedImage> {
  /** Numbers of the images found undecodable so far. */
  readonly skipped: number[] = [];
  readonly #set: EncodedSet<T>;
  readonly #options: DecodeSetOptions;

  constructor(set: EncodedSet<T>, options: DecodeSetOptions) {
    this.#set = set;
    this.#options = options;
  }

  /** Of all images. */
  get bytes(): number {
    const [height, width, channels] = this.#options.shape;
    return listOf(this.#kept()).length * height * width * channels;
  }

  /** Calls `take` with what can be decoded, again without the images that turned out not to. */
  async into<R>(take: (parts: Listed<T>, images: Pieces) => Promise<R>): Promise<R> {
    for (;;) {
      const parts = this.#kept();
      try {
        return await take(parts, () => this.#decode(listOf(parts)));
      } catch (error) {
        if (!(error instanceof SkippedFiles)) throw error;
      }
    }
  }

  #kept(): Listed<T> {
    const parts = without(this.#set.parts, this.skipped);
    const present = new Set(parts.get('train')?.map(({ label }) => label));
    const before = this.skipped.length === 0 ? present : new Set(this.#set.parts.get('train')?.map(({ label }) => label));
    const empty = this.#set.classes.find((_, label) => before.has(label) && !present.has(label));
    if (empty !== undefined) {
      throw new HybridError('E_DATA', `${this.#set.name}: no image of the class ${JSON.stringify(empty)} can be decoded`, this.#set.remedy);
    }
    return new Map(PARTS.flatMap((part) => (parts.get(part)?.length ? [[part, parts.get(part) as readonly T[]]] : [])));
  }

  async *#decode(images: readonly T[]): AsyncGenerator<Uint8Array, void, undefined> {
    const { shape, signal, onDecoded } = this.#options;
    const bad = new Uint8Array(new SharedArrayBuffer(images.length));
    const { read, images: byWorkers } = this.#set.decoder.open(images, bad);
    const about = { name: this.#set.name, size: images.length, shape, classes: [], labels: new Uint8Array(images.length) };
    const dataset: Dataset = { ...about, read, ...(byWorkers && { images: byWorkers }) };
    const before = this.skipped.length;
    const numbers = numbersBut(listOf(this.#set.parts).length, this.skipped);
    // A few images are decoded sooner than workers are ready.
    const workers = images.length < LEAST_FOR_WORKERS ? 0 : Math.min(MOST_WORKERS, availableParallelism());
    const options = { workers, crew: { taskLimitMs: TASK_LIMIT_MS } };
    const pipeline = await DataPipeline.open({ decode: { dataset, batch: PIECE, seed: 0n, shuffle: false } }, options);
    try {
      let first = 0;
      for await (const batch of pipeline.loader('decode').epoch(0, { signal })) {
        for (let i = first; i < first + batch.rows; i++) if (bad[i] === 1) this.skipped.push(numbers[i]);
        if (this.skipped.length > allowedOf(this.#set, this.#options)) await judge(this.skipped, this.#set, this.#options);
        first += batch.rows;
        onDecoded?.(first, images.length);
        yield batch.images;
      }
    } finally {
      await pipeline.close();
    }
    if (this.skipped.length > before) throw new SkippedFiles();
  }
}

/** The numbers of all images but those. */
function numbersBut(total: number, numbers: readonly number[]): number[] {
  const left = new Set(numbers);
  return Array.from({ length: total }, (_, i) => i).filter((i) => !left.has(i));
}

/** The parts without the images of those numbers. */
function without<T>(parts: Listed<T>, numbers: readonly number[]): Listed<T> {
  if (numbers.length === 0) return parts;
  const left = new Set(numbers);
  let first = 0;
  return new Map(
    PARTS.flatMap((part) => {
      const images = parts.get(part) ?? [];
      const before = first;
      first += images.length;
      return parts.has(part) ? [[part, images.filter((_, i) => !left.has(before + i))] as const] : [];
    }),
  );
}

/** How many images may be left out: as the caller says, or one in a hundred and ten at most. */
function allowedOf<T extends ListedImage>({ parts }: EncodedSet<T>, { maxBad }: DecodeSetOptions): number {
  const total = [...parts.values()].reduce((sum, { length }) => sum + length, 0);
  return maxBad ?? Math.min(MOST_BAD, Math.floor(total * BAD_SHARE));
}

/** Images whose reasons are found out: each is decoded once more. */
const MOST_REASONS = 100;

/** Those that are left out, with the reasons. A warning where they are no more than allowed, else an error; both name the first of them. */
async function judge<T extends ListedImage>(
  numbers: readonly number[],
  set: EncodedSet<T>,
  options: DecodeSetOptions,
): Promise<SkippedImage[]> {
  if (numbers.length === 0) return [];
  const allowed = allowedOf(set, options);
  const images = listOf(set.parts);
  const told = numbers.length > allowed ? 5 : MOST_REASONS;
  const skipped: SkippedImage[] = [];
  for (const [i, number] of numbers.entries()) {
    const { path } = images[number];
    skipped.push({ path, reason: i < told ? await set.decoder.reason(images[number]) : `${path} cannot be decoded` });
  }
  const shown = skipped.slice(0, 5).map(({ reason }) => reason);
  const more = skipped.length > shown.length ? [`… and ${skipped.length - shown.length} more`] : [];
  if (skipped.length > allowed) {
    throw new HybridError(
      'E_DATA',
      [...shown, ...more].join('\n'),
      `Replace or remove the files, or allow more to be skipped with \`maxBad\`: ${allowed} ${allowed === 1 ? 'is' : 'are'} allowed.`,
    );
  }
  const left = skipped.length === 1 ? '1 file is skipped because it' : `${skipped.length} files are skipped because they`;
  options.onNotice?.('warning', [`${left} cannot be decoded:`, ...shown, ...more].join('\n'));
  return skipped;
}

/** Decodes everything into memory. */
async function hold<T extends ListedImage>(
  { name, classes }: EncodedSet<T>,
  parts: Listed<T>,
  images: Pieces,
  { shape }: DecodeSetOptions,
): Promise<DataSource> {
  const imageBytes = shape[0] * shape[1] * shape[2];
  const total = [...parts.values()].reduce((sum, { length }) => sum + length, 0);
  const pixels = new Uint8Array(new SharedArrayBuffer(total * imageBytes));
  let at = 0;
  for await (const piece of images()) {
    pixels.set(piece, at);
    at += piece.length;
  }
  let first = 0;
  const sets = [...parts].map(([part, list]) => {
    const of = pixels.subarray(first * imageBytes, (first + list.length) * imageBytes);
    first += list.length;
    return [part, memoryDataset({ name: `${name} ${partTitle(part)}`, shape, classes, labels: labelsOf(list), images: of })] as const;
  });
  return sourceOf(new Map(sets));
}
