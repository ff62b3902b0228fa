// A folder of image files as a set. Every file is decoded once, when the set is opened for the first time, into a packed file in the
// cache: training never waits for a decoder, and what cannot be decoded is known before the first step. The packed file is found again by
// the names, sizes and times of all files, and hashed before it is used.

import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { abortError, HybridError } from '../../runtime/base/errors.ts';
import type { Files } from '../../runtime/base/files.ts';
import { type DataSource, type Dataset, PARTS, type PartName, partTitle, sourceOf } from '../../runtime/data/dataset.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import { DataPipeline } from '../../runtime/data/pipeline.ts';
import { type FolderImages, openReader } from './folder-reader.ts';
import { type FolderListing, type ListedImage, scanFolder } from './folder-scan.ts';
import { decodeImage, loadSharp } from './image-file.ts';
import { openPacked, type PackedSource, writePacked } from './packed.ts';

export interface FolderOptions {
  readonly files: Files;
  readonly folder: string;
  /** [height, width, channels] that images are brought to; channels is 1 or 3. */
  readonly shape: Dataset['shape'];
  /** Files that may be undecodable and are left out; one more is an error. One in a hundred and ten at most by default. */
  readonly maxBad?: number;
  /** A table of labels, its column of classes, and whether links are followed: as `scanFolder` takes them. */
  readonly labels?: string;
  readonly labelColumn?: string;
  readonly followLinks?: boolean;
  /** Of one image, before it is decoded. */
  readonly maxPixels?: number;
  /** Packed files are kept in its folder `images`, which may be deleted at any time. */
  readonly cacheDir: string;
  /** Images of more bytes than this in all stay on the disk. */
  readonly memoryBudget: number;
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

// Workers load built files also where this one is run from its source, as the tests do.
const READER = new URL(import.meta.url.endsWith('.ts') ? '../../dist/app/sources/folder-reader.js' : 'folder-reader.js', import.meta.url)
  .href;

/** Opens the folder. Throws E_DATA (undecodable files beyond `maxBad`, links that lead out …), E_ENVIRONMENT without sharp, E_DISK, or an AbortError. */
export async function openImageFolder(options: FolderOptions): Promise<DataSource> {
  const { files, folder, cacheDir, shape, onNotice } = options;
  const listing = await scanFolder(folder, options);
  for (const { level, text } of listing.notices) onNotice?.(level, text);
  if (listing.others > 0)
    onNotice?.(
      'info',
      `${folder}: ${listing.others === 1 ? '1 file that is no image is' : `${listing.others} files that are no images are`} left out`,
    );
  const key = await keyOf(listing, options);
  const path = join(cacheDir, IMAGES_FOLDER, `${key.slice(0, 32)}.safetensors`);
  const cached = (await files.stat(path).catch(() => null)) && (await openCached(path, key, listing, options));
  if (cached) return cached;

  await loadSharp(); // says what is missing before any worker misses it
  const pass = new DecodePass(listing, options);
  try {
    await pass.into(async (parts, images) => {
      await files.mkdir(dirname(path)).catch(() => {}); // the next call says why
      const metadata = new Map([
        ['key', key],
        ['skipped', JSON.stringify(pass.skipped)],
      ]);
      const labels = new Map([...parts].map(([part, list]) => [part, labelsOf(list)] as const));
      await writePacked({ files, path, shape, classes: listing.classes, name: folder, labels, metadata, signal: options.signal, images });
    });
    const packed = await openCached(path, key, listing, options);
    if (packed) return packed;
    throw new HybridError('E_DATA', `${path} was changed while it was written`, 'Start again.');
  } catch (error) {
    // A cache that cannot be written is no reason not to train, as long as the images fit into memory.
    const fits = pass.bytes <= options.memoryBudget;
    if (!(error instanceof HybridError && error.code === 'E_DISK' && fits)) throw error;
    onNotice?.('warning', `the decoded images are not kept for the next time: ${error.message}`);
    const held = await pass.into((parts, images) => hold(listing, parts, images, options));
    if (pass.skipped.length > 0) await judge(pass.skipped, allowedOf(listing, options), options);
    return held;
  }
}

/** Null where the file in the cache is not the one that is wanted or is damaged: it is written anew then. */
async function openCached(path: string, key: string, listing: FolderListing, options: FolderOptions): Promise<PackedSource | null> {
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
  if (Array.isArray(skipped) && skipped.length > 0) await judge(skipped.map(String), allowedOf(listing, options), options);
  return packed;
}

/** What the pixels follow from. Times have their fractions: a file replaced within a second is another one. */
async function keyOf({ classes, parts }: FolderListing, { folder, shape, maxPixels, signal }: FolderOptions): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify([DECODER, shape, maxPixels, classes]));
  for (const [part, images] of parts) {
    for (const { path, label } of images) {
      if (signal?.aborted) throw abortError(signal);
      const { size, mtimeMs } = await stat(join(folder, path)).catch(() => ({ size: -1, mtimeMs: 0 }));
      hash.update(JSON.stringify([part, path, label, size, mtimeMs]));
    }
  }
  return hash.digest('hex');
}

type Listed = ReadonlyMap<PartName, readonly ListedImage[]>;
type Pieces = () => AsyncGenerator<Uint8Array, void, undefined>;

const labelsOf = (images: readonly ListedImage[]): Int32Array => Int32Array.from(images, ({ label }) => label);

/** Thrown by the pieces of a pass at their end where files were found undecodable: the pass is made again without them. */
class SkippedFiles extends Error {}

/** Decodes the images of a listing. Only a pass without an undecodable file is complete: sizes must be known before the first image. */
class DecodePass {
  /** Files found undecodable so far, relative to the folder. */
  readonly skipped: string[] = [];
  readonly #listing: FolderListing;
  readonly #options: FolderOptions;

  constructor(listing: FolderListing, options: FolderOptions) {
    this.#listing = listing;
    this.#options = options;
  }

  /** Of all images. */
  get bytes(): number {
    const [height, width, channels] = this.#options.shape;
    return this.#images(this.#kept()).length * height * width * channels;
  }

  /** Calls `take` with what can be decoded, again without the files that turned out not to. */
  async into<T>(take: (parts: Listed, images: Pieces) => Promise<T>): Promise<T> {
    for (;;) {
      const parts = this.#kept();
      try {
        return await take(parts, () => this.#decode(this.#images(parts)));
      } catch (error) {
        if (!(error instanceof SkippedFiles)) throw error;
      }
    }
  }

  #images(parts: Listed): ListedImage[] {
    return [...parts.values()].flat();
  }

  #kept(): Listed {
    const skipped = new Set(this.skipped);
    const parts = new Map([...this.#listing.parts].map(([part, images]) => [part, images.filter(({ path }) => !skipped.has(path))]));
    const present = new Set(parts.get('train')?.map(({ label }) => label));
    const empty = this.#listing.classes.find((_, label) => !present.has(label));
    if (empty !== undefined) {
      const { folder } = this.#options;
      throw new HybridError(
        'E_DATA',
        `${folder}: no image of the class ${JSON.stringify(empty)} can be decoded`,
        'Replace the files of this class, or remove its folder.',
      );
    }
    return new Map(PARTS.flatMap((part) => (parts.get(part)?.length ? [[part, parts.get(part) as ListedImage[]]] : [])));
  }

  async *#decode(images: readonly ListedImage[]): AsyncGenerator<Uint8Array, void, undefined> {
    const { folder, shape, maxPixels, signal, onDecoded } = this.#options;
    const allowed = allowedOf(this.#listing, this.#options);
    const bad = new Uint8Array(new SharedArrayBuffer(images.length));
    const data: FolderImages = { folder, paths: images.map(({ path }) => path), shape, maxPixels, bad };
    const dataset: Dataset = {
      ...{ name: folder, size: images.length, shape, classes: [], labels: new Uint8Array(images.length) },
      read: (indices, out) => openReader(data).read(Int32Array.from(indices), out),
      images: { kind: 'module', module: READER, data, first: 0 },
    };
    const before = this.skipped.length;
    // A few images are decoded sooner than workers are ready.
    const workers = images.length < LEAST_FOR_WORKERS ? 0 : Math.min(MOST_WORKERS, availableParallelism());
    const options = { workers, crew: { taskLimitMs: TASK_LIMIT_MS } };
    const pipeline = await DataPipeline.open({ decode: { dataset, batch: PIECE, seed: 0n, shuffle: false } }, options);
    try {
      let first = 0;
      for await (const batch of pipeline.loader('decode').epoch(0, { signal })) {
        for (let i = first; i < first + batch.rows; i++) if (bad[i] === 1) this.skipped.push(images[i].path);
        if (this.skipped.length > allowed) await judge(this.skipped, allowed, this.#options);
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

/** How many files may be left out: as the caller says, or one in a hundred and ten at most. */
function allowedOf({ parts }: FolderListing, { maxBad }: FolderOptions): number {
  const total = [...parts.values()].reduce((sum, { length }) => sum + length, 0);
  return maxBad ?? Math.min(MOST_BAD, Math.floor(total * BAD_SHARE));
}

/** A warning where no more files than allowed are undecodable, else an error; both name the first of them with the reason. */
async function judge(skipped: readonly string[], allowed: number, { folder, shape, maxPixels, onNotice }: FolderOptions): Promise<void> {
  const reasons = await Promise.all(
    skipped.slice(0, 5).map((path) =>
      decodeImage(join(folder, path), { shape, maxPixels }).then(
        () => `${path} could not be decoded a moment ago`,
        (error: Error) => error.message,
      ),
    ),
  );
  const more = skipped.length > reasons.length ? [`… and ${skipped.length - reasons.length} more`] : [];
  if (skipped.length <= allowed) {
    const left = skipped.length === 1 ? '1 file is left out because it' : `${skipped.length} files are left out because they`;
    onNotice?.('warning', [`${left} cannot be decoded:`, ...reasons, ...more].join('\n'));
    return;
  }
  throw new HybridError(
    'E_DATA',
    [...reasons, ...more].join('\n'),
    `Replace or remove the files, or allow more of them to be left out with \`maxBad\`: ${allowed} ${allowed === 1 ? 'is' : 'are'} allowed.`,
  );
}

/** Decodes everything into memory. */
async function hold({ classes }: FolderListing, parts: Listed, images: Pieces, { folder, shape }: FolderOptions): Promise<DataSource> {
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
    return [part, memoryDataset({ name: `${folder} ${partTitle(part)}`, shape, classes, labels: labelsOf(list), images: of })] as const;
  });
  return sourceOf(new Map(sets));
}
