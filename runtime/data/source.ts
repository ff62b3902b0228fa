// Where the data comes from: turns what a person says (`--data`) into a training and a test set.

import { randomBytes } from 'node:crypto';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { HybridError, nearest } from '../base/errors.ts';
import { type Files, nodeFiles } from '../base/files.ts';
import { type ArchiveContents, OFFICIAL_CONTENTS, unpackArchive } from './archive.ts';
import { CIFAR10_FOLDER, findCifar10, readCifar10 } from './cifar10.ts';
import type { DataSource } from './dataset.ts';
import { download, OFFICIAL_ARCHIVE, type RemoteFile } from './download.ts';
import { syntheticSource } from './synthetic.ts';

export interface DataProgress {
  readonly stage: 'download' | 'unpack';
  /** Bytes so far, of the archive. */
  readonly bytes: number;
  readonly total: number;
}

export interface DataNotice {
  readonly level: 'info' | 'warning';
  readonly text: string;
}

export interface OpenDataOptions {
  readonly files?: Files;
  /** Another place of the official archive: size and hash stay the same. */
  readonly url?: string;
  /** Where `cifar10` and `auto` look first; `data` by default. */
  readonly localDir?: string;
  /** Where they look then and keep what they fetch; `userCacheDir` by default. */
  readonly cacheDir?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: DataProgress) => void;
  readonly onNotice?: (notice: DataNotice) => void;
  /** How long the network may be silent, in milliseconds. */
  readonly silence?: number;
  /** What the archive is; the official one by default. */
  readonly archive?: { readonly remote: RemoteFile; readonly contents: ArchiveContents };
}

/** Words that are no folder. A folder of such a name is given as `./cifar10`. */
export const DATA_NAMES = ['auto', 'cifar10', 'synthetic'] as const;

/**
 * Opens a dataset.
 *
 * - a path: the folder with CIFAR-10's binary files (`readCifar10`);
 * - `cifar10`: `./data`, then the user's cache folder, then the official archive over the network, kept in the cache;
 * - `synthetic`: the built-in set, which needs nothing;
 * - `auto`: like `cifar10`, but where nothing is found and nothing can be fetched `onNotice` gets a warning and the built-in
 *   set is returned. Without `onNotice` it is `cifar10`.
 *
 * Throws E_DATA, E_NETWORK, E_DISK, or an AbortError.
 */
export async function openData(spec: string, options: OpenDataOptions = {}): Promise<DataSource> {
  const { files = nodeFiles, onNotice } = options;
  checkUrl(options.url);
  if (spec === 'synthetic') return syntheticSource();
  if (spec !== 'auto' && spec !== 'cifar10') return readFolder(files, spec);
  try {
    return await readCifar10(files, await locateCifar10(files, options));
  } catch (error) {
    // Of all that can go wrong only a missing network is expected. That includes answers with wrong contents: a login page of
    // a hotel's network is one. Damaged data and full disks are for a person to repair.
    // Nor is other data given to a caller who could not hear of it.
    if (spec !== 'auto' || !onNotice || !(error instanceof HybridError && error.code === 'E_NETWORK')) throw error;
    onNotice({ level: 'warning', text: syntheticWarning(error) });
    return syntheticSource();
  }
}

/** A mistyped address must not pass for a missing network. */
function checkUrl(url: string | undefined): void {
  if (url === undefined || (URL.canParse(url) && ['http:', 'https:'].includes(new URL(url).protocol))) return;
  throw new HybridError('E_USAGE', `${JSON.stringify(url)} is no address to fetch from`, 'Give one that starts with https:// or http://.');
}

async function readFolder(files: Files, path: string): Promise<DataSource> {
  const meant = nearest(path, DATA_NAMES);
  if (meant && !(await files.stat(path).catch(() => null))) {
    throw new HybridError('E_DATA', `there is no folder ${path}`, `Did you mean --data ${meant}?`);
  }
  return readCifar10(files, path);
}

async function locateCifar10(files: Files, options: OpenDataOptions): Promise<string> {
  const { localDir = 'data', cacheDir = userCacheDir(process.platform, process.env, homedir()), onNotice } = options;
  for (const place of [localDir, cacheDir]) {
    // A place that cannot be looked at is as good as an empty one here: nobody named it.
    const found = await findCifar10(files, place).catch(() => null);
    if (found) return found;
  }
  await removeAbandoned(files, cacheDir);
  const { remote, contents } = options.archive ?? { remote: OFFICIAL_ARCHIVE, contents: OFFICIAL_CONTENTS };
  const { silence, signal, onProgress, url = remote.url } = options;
  onNotice?.({
    level: 'info',
    text: `CIFAR-10 is neither in ${localDir} nor in ${cacheDir}: fetching ${url} (${megabytes(remote.size)} MB)`,
  });

  // Not shared with other processes that fetch the same, so that none can spoil another's.
  const archive = join(cacheDir, `cifar-10-binary-${randomBytes(4).toString('hex')}${PART_SUFFIX}`);
  const folder = join(cacheDir, CIFAR10_FOLDER);
  await download(
    { ...remote, url },
    {
      files,
      path: archive,
      silence,
      signal,
      onProgress: (bytes, total) => onProgress?.({ stage: 'download', bytes, total }),
    },
  );
  try {
    onProgress?.({ stage: 'unpack', bytes: 0, total: remote.size });
    await unpackArchive({ files, archive, folder, contents, signal });
    onProgress?.({ stage: 'unpack', bytes: remote.size, total: remote.size });
  } finally {
    await files.remove(archive).catch(() => {}); // at worst it is removed as abandoned later
  }
  onNotice?.({ level: 'info', text: `CIFAR-10 is in ${folder} now` });
  return folder;
}

const PART_SUFFIX = '.part';
// A download in progress changes its file at least every ten seconds, and unpacking takes a few.
const ABANDONED_AFTER_MS = 3_600_000;

/** Removes what processes that were killed while they fetched have left in the cache. */
async function removeAbandoned(files: Files, cacheDir: string): Promise<void> {
  const names = await files.readdir(cacheDir).catch(() => []);
  for (const name of names) {
    if (!(name.startsWith('cifar-10-') && (name.endsWith(PART_SUFFIX) || name.endsWith('.tmp')))) continue;
    const path = join(cacheDir, name);
    const stat = await files.stat(path).catch(() => null);
    if (stat && Date.now() - stat.modified > ABANDONED_AFTER_MS) await files.remove(path).catch(() => {});
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
    '*** NOT CIFAR-10 *** This run uses the built-in synthetic images: CIFAR-10 was not found and could not be fetched.',
    `Reason: ${error.message}.`,
    'Accuracies below say nothing about CIFAR-10. To train on the real set, put the binary version into ./data, or name its folder with --data.',
  ].join('\n');
