// Finds what `--data` means: which kind of set lies at a path, and where CIFAR is, on this machine or over the network.

import { randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { HybridError, nearest } from '../../runtime/base/errors.ts';
import { type Files, nodeFiles, systemCode } from '../../runtime/base/files.ts';
import { unpackArchive } from './archive.ts';
import { CIFAR10, CIFAR100, type CifarSet, findCifar, nothingFound } from './cifar.ts';
import { isTarGz } from './cifar-archive.ts';
import { findPythonCifar } from './cifar-python.ts';
import { IMAGES_FOLDER } from './decoded-images.ts';
import { download, OFFICIAL_ARCHIVES } from './download.ts';
import { isHidden } from './hidden.ts';
import { findIdx } from './idx.ts';
import { FORMAT_BYTES, formatOf, isImageName } from './image-formats.ts';
import { FEATURES_FOLDER } from './packed.ts';
import { isParquet } from './parquet.ts';
import { DATA_NAMES, type DataPlace, type OpenDataOptions, ownCacheDir } from './place.ts';
import { findShards, matchShards, oneShard, type Shards } from './shards.ts';
import { isTar } from './webdataset.ts';

const SETS = { auto: CIFAR10, cifar10: CIFAR10, cifar100: CIFAR100 } as const;

/** Finds a dataset, and fetches it where it is one that can be fetched; opens nothing. Throws as `openData` does. */
export async function locate(spec: string, options: OpenDataOptions): Promise<DataPlace> {
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

async function mayHoldImages(files: Files, path: string): Promise<boolean> {
  for (const name of await files.readdir(path)) {
    if (isHidden(name)) continue;
    if (isImageName(name) || (await files.stat(join(path, name)).catch(() => null))?.kind === 'folder') return true;
  }
  return false;
}

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
export async function removeAbandoned(files: Files, cacheDir: string): Promise<void> {
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

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);

const syntheticWarning = (error: HybridError): string =>
  [
    '*** NOT CIFAR-10 *** This run uses the built-in synthetic images: CIFAR-10 was not found and could not be downloaded.',
    `Reason: ${error.message}.`,
    'Accuracies below say nothing about CIFAR-10. To train on the real set, put the binary version into ./data, or pass its folder with `data`.',
  ].join('\n');
