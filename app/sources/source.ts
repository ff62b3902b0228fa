// Where the data comes from: turns what a person says (`--data`) into datasets.

import { randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';
import { homedir, totalmem } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { HybridError, nearest } from '../../runtime/base/errors.ts';
import { type Files, nodeFiles, systemCode } from '../../runtime/base/files.ts';
import { type OptionNames, refuseUnknownOptions } from '../../runtime/base/kinds.ts';
import { own } from '../../runtime/base/own.ts';
import type { DataSource } from '../../runtime/data/dataset.ts';
import type { Interpolation } from '../../runtime/data/preprocessing.ts';
import { syntheticSource } from '../../runtime/data/synthetic.ts';
import { type ArchiveContents, unpackArchive } from './archive.ts';
import { CIFAR10, CIFAR100, type CifarSet, findCifar, labelKindOf, nothingFound, readCifar } from './cifar.ts';
import { isTarGz, readCifarArchive } from './cifar-archive.ts';
import { findPythonCifar, type PythonCifarFolder, readPythonCifar } from './cifar-python.ts';
import { type DecodeSetOptions, IMAGES_FOLDER } from './decoded-images.ts';
import { download, OFFICIAL_ARCHIVES, type RemoteFile } from './download.ts';
import { isHidden } from './hidden.ts';
import { findIdx, type IdxFolder, readIdx } from './idx.ts';
import { openImageFolder } from './image-folder.ts';
import { FORMAT_BYTES, formatOf, isImageName } from './image-formats.ts';
import { openNpz } from './npz.ts';
import { FEATURES_FOLDER, openPacked } from './packed.ts';
import { isParquet, openParquetSet } from './parquet.ts';
import { resized } from './resized.ts';
import { DATA_SETTINGS } from './settings.ts';
import { findShards, matchShards, oneShard, type Shards } from './shards.ts';
import { isTar, openWebDataset } from './webdataset.ts';

/** How far fetching or decoding a set is. */
export interface DataProgress {
  /** `decode` counts images, the others bytes of the archive. */
  readonly stage: 'download' | 'unpack' | 'decode';
  readonly done: number;
  readonly total: number;
}

/** A notice for people. */
export interface DataNotice {
  readonly level: 'info' | 'warning';
  readonly text: string;
}

/** Options for `openData`: where data is searched and cached, and how it is read. */
export interface OpenDataOptions {
  readonly files?: Files;
  /** Another place of the official archive: size and hash stay the same. */
  readonly url?: string;
  /** Where `cifar10`, `cifar100` and `auto` look first; `data` by default. */
  readonly localDir?: string;
  /** Cache, searched next, for downloads and decoded images; `userCacheDir` by default. */
  readonly cacheDir?: string;
  /** Where they look after that: Keras' folder of datasets; `~/.keras/datasets` by default, or below KERAS_HOME. */
  readonly kerasDir?: string;
  /** [height, width] that images are brought to; by default [32, 32] for those of files, and as they are for sets of pixels (CIFAR, MNIST's files, arrays). */
  readonly imageSize?: readonly [number, number];
  /** Share of what covers the size that is kept of an image that is decoded, its middle; 1 by default. */
  readonly crop?: number;
  /** Interpolation for scaling such images down; `lanczos` by default. */
  readonly interpolation?: Interpolation;
  /** Number of files of a folder that may be skipped because they cannot be decoded; by default one in a hundred, at most ten. */
  readonly maxBad?: number;
  /** Images of files that have more pixels are refused before they are decoded; 2²⁶ (67 million) by default. */
  readonly maxPixels?: number;
  /** Name of the array of images in an `.npz` file, or of the column in Parquet files; one of the usual names by default. */
  readonly images?: string;
  /** Path of a table with the labels of a folder's images (by default one beside them, where that is clear), or the array of labels in an `.npz` file. */
  readonly labels?: string;
  /** The column of classes, of a table or of Parquet files, or the entry of WebDataset's `.json`; by default the one that can be no other. Of CIFAR-100: `coarse`. */
  readonly labelColumn?: string;
  /** Whether links that lead out of a folder, or to folders, are followed; false by default. */
  readonly followLinks?: boolean;
  /** Images of more bytes than this in all stay on the disk and are read by the workers; `defaultMemoryBudget` by default. */
  readonly memoryBudget?: number;
  /** Whether images of files are decoded again that are in the cache already; false by default. */
  readonly decodeAnew?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: DataProgress) => void;
  readonly onNotice?: (notice: DataNotice) => void;
  /** Timeout of a silent network connection, in milliseconds. */
  readonly silence?: number;
  /** What the archive is; the official one by default. */
  readonly archive?: { readonly remote: RemoteFile; readonly contents: ArchiveContents };
}

/** Words that are no path. A folder of such a name is given as `./cifar10`. */
export const DATA_NAMES = ['auto', 'cifar10', 'cifar100', 'synthetic'] as const;

const SETS = { auto: CIFAR10, cifar10: CIFAR10, cifar100: CIFAR100 } as const;

/** Bytes of images that are held in memory: a quarter of the machine's, and at most 1 GiB. */
export const defaultMemoryBudget = (): number => Math.min(2 ** 30, Math.floor(totalmem() / 4));

/** Location and kind of a data set, as resolved from `--data`. */
export type DataPlace =
  | { readonly kind: 'cifar'; readonly set: CifarSet; readonly path: string }
  | { readonly kind: 'cifar-python'; readonly found: PythonCifarFolder; readonly path: string }
  | { readonly kind: 'idx'; readonly found: IdxFolder; readonly path: string }
  | { readonly kind: 'parquet'; readonly shards: Shards; readonly path: string }
  | { readonly kind: 'webdataset'; readonly shards: Shards; readonly path: string }
  | { readonly kind: 'folder'; readonly path: string }
  | { readonly kind: 'npz' | 'packed' | 'cifar-archive'; readonly path: string }
  | { readonly kind: 'synthetic' };

const OPTIONS: OptionNames<OpenDataOptions> = {
  files: true,
  url: true,
  localDir: true,
  cacheDir: true,
  kerasDir: true,
  imageSize: true,
  crop: true,
  interpolation: true,
  maxBad: true,
  maxPixels: true,
  images: true,
  labels: true,
  labelColumn: true,
  followLinks: true,
  memoryBudget: true,
  decodeAnew: true,
  signal: true,
  onProgress: true,
  onNotice: true,
  silence: true,
  archive: true,
};

/**
 * Opens a dataset.
 *
 * - a folder: CIFAR-10 or CIFAR-100 in the binary version (`readCifar`) or the Python version (`readPythonCifar`), MNIST's files and those of
 *   its form (`readIdx`), or class folders of images (`openImageFolder`);
 * - a file: `.npz` (`openNpz`), `.safetensors` as `hybrid data convert` writes it (`openPacked`), or `.tar.gz` of CIFAR (`readCifarArchive`);
 * - `cifar10`, `cifar100`: `./data`, the user's cache folder, Keras' folder of datasets, then the official archive over the network, which is
 *   kept in the cache;
 * - `synthetic`: the built-in set, which needs nothing;
 * - `auto`: like `cifar10`, but where nothing is found and nothing can be fetched `onNotice` gets a warning and the built-in
 *   set is returned. Without `onNotice` it is `cifar10`.
 *
 * Throws E_USAGE for an unknown option or one of another kind, E_DATA, E_NETWORK, E_DISK, E_ENVIRONMENT, or an AbortError.
 *
 * @category Data
 */
export async function openData(spec: string, given: OpenDataOptions = {}): Promise<DataSource> {
  refuseUnknownOptions(given, OPTIONS, 'openData');
  const options = own(given);
  for (const [name, { kind }] of Object.entries(DATA_SETTINGS)) {
    const value = (options as Readonly<Record<string, unknown>>)[name];
    if (value !== undefined) kind.check(value, name);
  }
  const place = await locateData(spec, options);
  const { files = nodeFiles, memoryBudget = defaultMemoryBudget(), signal, onProgress, onNotice } = options;
  const cacheDir = options.cacheDir ?? ownCacheDir();
  const { maxBad, maxPixels, crop, interpolation, imageSize } = options;
  const decoding = {
    ...{ files, maxBad, maxPixels, crop, interpolation, memoryBudget, cacheDir, anew: options.decodeAnew, signal },
    onDecoded: (done: number, total: number) => onProgress?.({ stage: 'decode', done, total }),
    onNotice: (level: DataNotice['level'], text: string) => onNotice?.({ level, text }),
  };
  if (place.kind === 'folder' || place.kind === 'parquet' || place.kind === 'webdataset') {
    await removeAbandoned(files, cacheDir);
    const { images, labels, labelColumn, followLinks } = options;
    const decoded: DecodeSetOptions = { ...decoding, shape: [...(imageSize ?? DEFAULT_SIZE), 3] };
    if (place.kind === 'parquet') return openParquetSet({ ...decoded, shards: place.shards, images, labelColumn });
    if (place.kind === 'webdataset') return openWebDataset({ ...decoded, shards: place.shards, labelColumn });
    // folder-scan.ts deals the classes evenly.
    return mixed(openImageFolder({ ...decoded, folder: place.path, labels, labelColumn, followLinks }));
  }
  const source = await openPixels(place, options);
  return imageSize ? resized(source, { ...decoding, imageSize }) : source;
}

/** A set whose images are pixels already, at the size that they have. */
async function openPixels(
  place: Exclude<DataPlace, { readonly kind: 'folder' | 'parquet' | 'webdataset' }>,
  options: OpenDataOptions,
): Promise<DataSource> {
  const { files = nodeFiles, memoryBudget = defaultMemoryBudget(), signal, onNotice } = options;
  switch (place.kind) {
    case 'synthetic':
      return syntheticSource();
    case 'cifar':
      return mixed(readCifar(files, place.path, { memoryBudget, kind: labelKindOf(place.set, options.labelColumn) }));
    case 'cifar-python':
      return mixed(readPythonCifar(files, place.found, labelKindOf(place.found.set, options.labelColumn)));
    case 'cifar-archive':
      return mixed(readCifarArchive(files, place.path, { signal, labelColumn: options.labelColumn }));
    case 'idx':
      return readIdx(files, place.found);
    case 'npz':
      return openNpz({
        ...{ files, path: place.path, memoryBudget, images: options.images, labels: options.labels },
        onNotice: (level, text) => onNotice?.({ level, text }),
      });
    case 'packed':
      return openPacked(place.path, { memoryBudget, signal });
  }
}

/** Says of a set that its order has nothing to do with the classes. */
const mixed = async (source: DataSource | Promise<DataSource>): Promise<DataSource> => ({ ...(await source), mixed: true });

/** Finds a dataset, and fetches it where it is one that can be fetched; opens nothing. Throws as `openData` does. */
export async function locateData(spec: string, options: OpenDataOptions = {}): Promise<DataPlace> {
  refuseUnknownOptions(options, OPTIONS, 'locateData');
  const { files = nodeFiles, onNotice } = options;
  checkUrl(options.url);
  if (spec === 'synthetic') return { kind: 'synthetic' };
  if (spec !== 'auto' && spec !== 'cifar10' && spec !== 'cifar100') return locatePath(files, spec);
  try {
    return await locateCifar(files, SETS[spec], options);
  } catch (error) {
    // Of all that can go wrong only a missing network is expected. That includes answers with wrong contents: a login page of
    // a hotel's network is one. Damaged data and full disks are for a person to repair.
    // Nor is other data given to a caller who could not hear of it.
    if (spec !== 'auto' || !onNotice || !(error instanceof HybridError && error.code === 'E_NETWORK')) throw error;
    onNotice({ level: 'warning', text: syntheticWarning(error) });
    return { kind: 'synthetic' };
  }
}

/** A mistyped address must not pass for a missing network. */
function checkUrl(url: string | undefined): void {
  if (url === undefined || (URL.canParse(url) && ['http:', 'https:'].includes(new URL(url).protocol))) return;
  throw new HybridError('E_USAGE', `${JSON.stringify(url)} is not a valid address`, 'Give one that starts with https:// or http://.');
}

async function locatePath(files: Files, path: string): Promise<DataPlace> {
  const stat = await files.stat(path).catch(() => null); // where it cannot be looked at, `nothingFound` says why
  const meant = stat ? undefined : nearest(path, DATA_NAMES);
  if (meant) throw new HybridError('E_DATA', `there is no folder ${path}`, `Did you mean ${meant}?`);
  if (stat?.kind === 'file' && /\.npz$/i.test(path)) return { kind: 'npz', path };
  if (stat?.kind === 'file' && /\.safetensors$/i.test(path)) return { kind: 'packed', path };
  if (stat?.kind === 'file' && isTarGz(path)) return { kind: 'cifar-archive', path };
  if (stat?.kind === 'file' && isParquet(path)) return { kind: 'parquet', shards: oneShard(path), path };
  if (stat?.kind === 'file' && isTar(path)) return { kind: 'webdataset', shards: oneShard(path), path };
  if (stat?.kind === 'file') throw await unknownFile(path);
  const known =
    stat?.kind === 'folder' ? ((await placeOfCifar(files, path)) ?? (await placeOfIdx(files, path)) ?? (await placeOfShards(path))) : null;
  if (known) return known;
  const matched = stat ? null : await matchShards(path);
  if (matched) return placed(matched);
  // Without the files of a known set a folder can only be one of images, in class folders or with a table beside them.
  if (stat?.kind === 'folder' && (await mayHoldImages(files, path))) return { kind: 'folder', path };
  throw await nothingFound(files, path);
}

/** CIFAR in either version in a folder, or in one in it by a usual name. */
async function placeOfCifar(files: Files, path: string, sets?: readonly CifarSet[]): Promise<DataPlace | null> {
  const binary = await findCifar(files, path, sets);
  if (binary) return { kind: 'cifar', set: binary.set, path: binary.folder };
  const found = await findPythonCifar(files, path, sets);
  return found && { kind: 'cifar-python', found, path: found.folder };
}

async function placeOfIdx(files: Files, path: string): Promise<DataPlace | null> {
  const found = await findIdx(files, path);
  return found && { kind: 'idx', found, path: found.folder };
}

/** Parquet files or WebDataset's shards in a folder. */
async function placeOfShards(path: string): Promise<DataPlace | null> {
  const shards = (await findShards(path, isParquet)) ?? (await findShards(path, isTar));
  return shards && placed(shards);
}

function placed(shards: Shards): DataPlace {
  const names = [...shards.parts.values()].flat();
  const { path } = shards;
  if (names.every(isParquet)) return { kind: 'parquet', shards, path };
  if (names.every(isTar)) return { kind: 'webdataset', shards, path };
  throw new HybridError('E_DATA', `${path} means files that are neither all .parquet nor all .tar`, 'Correct the pattern.');
}

/** What a file is that is read as no set. */
async function unknownFile(path: string): Promise<HybridError> {
  const file = await open(path).catch((error: unknown) => error as Error);
  if (file instanceof Error)
    return new HybridError('E_DATA', `${path} cannot be read: ${systemCode(file) || file.message}`, 'Check that you may read it.');
  const { buffer } = await file.read(Buffer.alloc(FORMAT_BYTES), 0, FORMAT_BYTES, 0).finally(() => file.close());
  const start = buffer.toString('latin1');
  const image = formatOf(buffer);
  const [what, remedy] = image
    ? [`is one ${image.name} image`, 'Give a folder of images, one folder for each class.']
    : start.startsWith('PK')
      ? ['is a ZIP archive', 'Unpack it, and give the folder.']
      : /\.(csv|tsv|txt)$/i.test(path)
        ? ['is a table', 'Give the folder of images, and the table with `labels`.']
        : start.startsWith('\x89HDF')
          ? ['is an HDF5 file, which is not read', 'Save its arrays with numpy.savez(path, x_train=…, y_train=…).']
          : start.startsWith('\x93NUMPY')
            ? ['is one array', 'Save images and labels together with numpy.savez(path, x_train=…, y_train=…).']
            : start.startsWith('ARROW1') || /\.arrow$/i.test(path)
              ? ['is an Arrow file, which is not read', 'Save the set with to_parquet, or name the .parquet file that it was made from.']
              : /\.(tfrecords?|record|beton|mdb|lmdb|pkl|pickle|pt|mat)$/i.test(path)
                ? ['is of a form that is not read', 'Save its arrays with numpy.savez, or write the images as files.']
                : [
                    'is not a set of images that is read',
                    'Give a folder, or an .npz, .parquet, .tar, .tar.gz (CIFAR) or packed .safetensors file.',
                  ];
  return new HybridError('E_DATA', `${path} ${what}`, remedy);
}

const DEFAULT_SIZE = [32, 32] as const;

async function mayHoldImages(files: Files, path: string): Promise<boolean> {
  for (const name of await files.readdir(path)) {
    if (isHidden(name)) continue;
    if (isImageName(name) || (await files.stat(join(path, name)).catch(() => null))?.kind === 'folder') return true;
  }
  return false;
}

/** The cache of who runs this process. */
export const ownCacheDir = (): string => userCacheDir(process.platform, process.env, homedir());

/** Where Keras keeps the datasets that it fetched. */
const kerasDir = (): string => join(process.env.KERAS_HOME || join(homedir(), '.keras'), 'datasets');

/** A set of CIFAR: in `localDir`, in the cache, in Keras' folder, or in the cache after it was fetched to there. */
async function locateCifar(files: Files, set: CifarSet, options: OpenDataOptions): Promise<DataPlace> {
  const { localDir = 'data', cacheDir = ownCacheDir(), kerasDir: keras = kerasDir(), onNotice } = options;
  for (const place of [localDir, cacheDir, keras]) {
    // A place that cannot be looked at is as good as an empty one here: nobody named it.
    const found = await placeOfCifar(files, place, [set]).catch(() => null);
    if (!found) continue;
    if (place === keras && 'path' in found) onNotice?.({ level: 'info', text: `${set.title} is read from Keras' cache, ${found.path}` });
    return found;
  }
  await removeAbandoned(files, cacheDir);
  const { remote, contents } = options.archive ?? { remote: OFFICIAL_ARCHIVES[set.title], contents: undefined };
  const { silence, signal, onProgress, url = remote.url } = options;
  onNotice?.({
    level: 'info',
    text: `${set.title} is neither in ${localDir} nor in ${cacheDir}: downloading ${url} (${megabytes(remote.size)} MB)`,
  });

  // Not shared with other processes that fetch the same, so that none can spoil another's.
  const archive = join(cacheDir, `${set.title.toLowerCase()}-binary-${randomBytes(4).toString('hex')}${PART_SUFFIX}`);
  const folder = join(cacheDir, set.folder);
  await download(
    { ...remote, url },
    {
      files,
      path: archive,
      silence,
      signal,
      onProgress: (done, total) => onProgress?.({ stage: 'download', done, total }),
    },
  );
  try {
    onProgress?.({ stage: 'unpack', done: 0, total: remote.size });
    await unpackArchive({ files, archive, folder, set, contents, signal });
    onProgress?.({ stage: 'unpack', done: remote.size, total: remote.size });
  } finally {
    await files.remove(archive).catch(() => {}); // at worst it is removed as abandoned later
  }
  onNotice?.({ level: 'info', text: `${set.title} is in ${folder} now` });
  return { kind: 'cifar', set, path: folder };
}

const PART_SUFFIX = '.part';
// A download in progress changes its file at least every ten seconds, and unpacking takes a few.
const ABANDONED_AFTER_MS = 3_600_000;

/** Removes what processes that were killed while they fetched or decoded have left in the cache. */
async function removeAbandoned(files: Files, cacheDir: string): Promise<void> {
  for (const [folder, pattern] of [
    [cacheDir, /^cifar-10.*\.(part|tmp)$/],
    [join(cacheDir, IMAGES_FOLDER), /\.tmp$/],
    [join(cacheDir, FEATURES_FOLDER), /\.tmp$/],
  ] as const) {
    for (const name of await files.readdir(folder).catch(() => [])) {
      if (!pattern.test(name)) continue;
      const path = join(folder, name);
      const stat = await files.stat(path).catch(() => null);
      if (stat && Date.now() - stat.modified > ABANDONED_AFTER_MS) await files.remove(path).catch(() => {});
    }
  }
}

/** The folder for things that can be fetched again, where the system wants it. */
export function userCacheDir(platform: NodeJS.Platform, env: Readonly<Record<string, string | undefined>>, home: string): string {
  if (platform === 'win32') return join(env.LOCALAPPDATA || join(home, 'AppData', 'Local'), 'hybrid');
  if (platform === 'darwin') return join(home, 'Library', 'Caches', 'hybrid');
  // The specification of XDG says to pass over paths that are not absolute.
  const xdg = env.XDG_CACHE_HOME;
  return join(xdg && isAbsolute(xdg) ? xdg : join(home, '.cache'), 'hybrid');
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);

const syntheticWarning = (error: HybridError): string =>
  [
    '*** NOT CIFAR-10 *** This run uses the built-in synthetic images: CIFAR-10 was not found and could not be downloaded.',
    `Reason: ${error.message}.`,
    'Accuracies below say nothing about CIFAR-10. To train on the real set, put the binary version into ./data, or pass its folder with `data`.',
  ].join('\n');
