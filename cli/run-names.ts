// Runs and models by the names that people give them.

import { homedir } from 'node:os';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { type Files, fetchModel, nearest, nodeFiles, PUBLISHED, type PublishedName, userCacheDir } from '../runtime/entries/internal.ts';
import { PRETRAINED, pretrainedPath } from '../runtime/entries/runs.ts';
import { HybridError } from '../runtime/index.ts';
import { WEIGHT_FILES } from '../runtime/settings.ts';
import { type CliIo, shown } from './io.ts';
import { Progress } from './progress.ts';
import { fittedTo } from './style.ts';

/**
 * A run by its path, or by its name among the others in the folder `out`. Of several that were given the same name, and so have `-2` and
 * `-3` after it, it is the newest, or the one of exactly that name. Throws E_CHECKPOINT where it is nowhere.
 */
export async function findRun(given: string, out: string, io: CliIo, which: 'newest' | 'of that name' = 'newest'): Promise<string> {
  const path = await look(given, out, io, which);
  if (path) return path;
  throw new HybridError('E_CHECKPOINT', nowhere(given, out, io), 'Name a run folder, or a run that `hybrid runs list` has.');
}

async function look(given: string, out: string, io: CliIo, which: 'newest' | 'of that name' = 'newest'): Promise<string | null> {
  const files = io.files ?? nodeFiles;
  const there = (path: string) => files.stat(path).catch(() => true); // who reads it tells what is wrong with it
  const path = resolve(io.cwd, given);
  const named = join(resolve(io.cwd, out), given);
  const isRun = (folder: string) => there(join(folder, 'config.json'));
  // A folder of pictures may be called as a run is.
  const isFolder = async (path: string) => (await files.stat(path).catch(() => null))?.kind === 'folder';
  const isOther = named !== path && !isAbsolute(given) && (await isFolder(path)) && !(await isRun(path)) && (await isRun(named));
  if (!isOther && (await there(path))) return path;
  if (isAbsolute(given) || !(await there(named))) return null;
  if (which === 'of that name') return named;
  const newest = await newestOf(given, dirname(named), files);
  if (newest === null) return named;
  const message = `${given} is the run ${shown(newest, io)}, the newest of that name; the first one is ${shown(named, io)}`;
  io.stderr.write(`${fittedTo(io.stderr, message)}\n`);
  return newest;
}

/** The last of the runs that were given a name that was taken; null where there is but one. */
async function newestOf(name: string, folder: string, files: Files): Promise<string | null> {
  const numbered = (await files.readdir(folder))
    .filter((entry) => entry.startsWith(`${name}-`) && /^[1-9]\d*$/.test(entry.slice(name.length + 1)))
    .sort((a, b) => Number(b.slice(name.length + 1)) - Number(a.slice(name.length + 1)));
  for (const entry of numbered) {
    const config = await files.readFile(join(folder, entry, 'config.json')).then(
      (bytes) => JSON.parse(new TextDecoder().decode(bytes)) as unknown,
      () => null, // no run, or one that cannot be read: not what is meant
    );
    // A run that was called first-2 on purpose is another one.
    if ((config as { name?: unknown } | null)?.name === name) return join(folder, entry);
  }
  return null;
}

/** A name may be a path, or that of a run: both were looked for. */
function nowhere(given: string, out: string, io: CliIo): string {
  const path = shown(resolve(io.cwd, given), io);
  const named = shown(join(resolve(io.cwd, out), given), io);
  // runs/first was not looked for in the folder runs: as a path it is there already.
  const isInside = !relative(resolve(io.cwd, out), resolve(io.cwd, given)).startsWith('..');
  return isAbsolute(given) || isInside ? `there is no ${path}` : `there is neither ${path} nor ${named}`;
}

/** A run as above, a file of weights, or a model that comes with the package: what people have made themselves goes first. Throws E_CHECKPOINT. */
export async function findModel(given: string, out: string, io: CliIo): Promise<string> {
  const path = await look(given, out, io);
  if (path) return path;
  const pretrained = PRETRAINED.find((name) => name === given);
  if (pretrained) return pretrainedPath(pretrained);
  const published = publishedName(given);
  if (published) return fetchPublished(published, io);
  const near = nearest(given, [...PRETRAINED, ...Object.keys(PUBLISHED)]);
  throw new HybridError(
    'E_CHECKPOINT',
    `${nowhere(given, out, io)}${near ? `; did you mean ${near}?` : ''}`,
    `Name a run folder, a file of weights (${WEIGHT_FILES}), a model that comes with hybrid (${PRETRAINED.join(', ')}) or one that it fetches (${Object.keys(PUBLISHED).join(', ')}).`,
  );
}

/** Undefined: no published model is called so. */
export const publishedName = (name: string): PublishedName | undefined =>
  Object.hasOwn(PUBLISHED, name) ? (name as PublishedName) : undefined;

/** The weights of a published model, in the cache, or in the folder `to`. `url`: of a mirror. */
export async function fetchPublished(
  name: PublishedName,
  io: CliIo,
  { to, url }: { readonly to?: string; readonly url?: string } = {},
): Promise<string> {
  const progress = new Progress(io);
  try {
    return await fetchModel(name, {
      ...{ files: io.files ?? nodeFiles, cacheDir: to ?? userCacheDir(process.platform, io.env, homedir()), url, signal: io.signal },
      onNotice: (text) => progress.line(text),
      onProgress: (bytes, total) => progress.status(`fetch  ${(bytes / 1e6).toFixed(1)} of ${(total / 1e6).toFixed(1)} MB`),
    });
  } finally {
    progress.clear();
  }
}
