// What `--data` may say, what it comes to, and where images are kept in the cache: types and names, which load nothing.

import { homedir, totalmem } from 'node:os';
import { isAbsolute, join } from 'node:path';
import type { Files } from '../../runtime/base/files.ts';
import type { Interpolation } from '../../runtime/data/preprocessing.ts';
import type { ArchiveContents } from './archive.ts';
import type { CifarSet } from './cifar.ts';
import type { PythonCifarFolder } from './cifar-python.ts';
import type { RemoteFile } from './download.ts';
import type { IdxFolder } from './idx.ts';
import type { Shards } from './shards.ts';

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

/** Bytes of images that are held in memory: a quarter of the machine's, and at most 1 GiB. */
export const defaultMemoryBudget = (): number => Math.min(2 ** 30, Math.floor(totalmem() / 4));

/** The cache of who runs this process. */
export const ownCacheDir = (): string => userCacheDir(process.platform, process.env, homedir());

/** The folder for things that can be fetched again, where the system wants it. */
export function userCacheDir(platform: NodeJS.Platform, env: Readonly<Record<string, string | undefined>>, home: string): string {
  if (platform === 'win32') return join(env.LOCALAPPDATA || join(home, 'AppData', 'Local'), 'hybrid');
  if (platform === 'darwin') return join(home, 'Library', 'Caches', 'hybrid');
  // The specification of XDG says to pass over paths that are not absolute.
  const xdg = env.XDG_CACHE_HOME;
  return join(xdg && isAbsolute(xdg) ? xdg : join(home, '.cache'), 'hybrid');
}
