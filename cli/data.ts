// Opens the data that the settings name, telling a person what happens meanwhile.

import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { DATA_NAMES, type DataProgress, duplicateConcerns, type OpenDataOptions } from '../runtime/entries/data.ts';
import { userCacheDir } from '../runtime/entries/internal.ts';
import { type DataSource, type Dataset, openData } from '../runtime/index.ts';
import { DATA_SETTINGS } from '../runtime/settings.ts';
import type { CliIo } from './io.ts';
import type { Settings } from './options.ts';
import { count, type Progress } from './progress.ts';
import { CIFAR10, sourceSettings } from './settings.ts';

/** A set of CIFAR by its numbers only, for a dry run: nothing is read, and above all nothing fetched. */
export function assumedData(settings: Settings): DataSource | null {
  const { data } = settings;
  if (data !== 'auto' && data !== 'cifar10' && data !== 'cifar100') return null;
  const [name, classes] = data === 'cifar100' ? ['CIFAR-100', 100] : ['CIFAR-10', 10];
  const assumed = (part: string, size: number): Dataset => ({
    name: `${name} ${part} set`,
    shape: [...(askedSize(settings) ?? CIFAR10.shape.slice(0, 2)), 3] as unknown as Dataset['shape'],
    classes: Array.from({ length: classes }, (_, i) => `class ${i}`),
    size,
    labels: new Uint8Array(size),
    read: () => {},
  });
  return { train: assumed('training', 50_000), test: assumed('test', 10_000) };
}

/** The image size that was asked for; undefined where it is the usual one, which nobody has to ask for: sets of pixels come as they are then. */
function askedSize(settings: Settings): readonly [number, number] | undefined {
  const { imageSize } = sourceSettings(settings);
  return `${imageSize}` === `${DATA_SETTINGS.imageSize.usual}` ? undefined : imageSize;
}

const CLASSES_SHOWN = 12;

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);

function progressText({ stage, done, total }: DataProgress): string {
  const amount = stage === 'decode' ? `${count(done)} of ${count(total)} images` : `${megabytes(done)} of ${megabytes(total)} MB`;
  return `${stage}  ${amount}  ${Math.floor((100 * done) / total)}%`;
}

/** Names of the classes, a bounded number of them. */
export function classesText(classes: readonly string[]): string {
  const shown = classes
    .slice(0, CLASSES_SHOWN)
    .map((name) => (/^[\p{L}\p{N}_.-]+( [\p{L}\p{N}_.-]+)*$/u.test(name) ? name : JSON.stringify(name)));
  return `${count(classes.length)} classes: ${shown.join(', ')}${classes.length > shown.length ? ', …' : ''}`;
}

/** Sets of more bytes are not searched for pictures that are in two parts when a run starts; \`data info\` and \`data verify\` search them all. */
const MOST_SEARCHED = 2 ** 30;

/** Tells, before a run, what people should know of its images. */
export async function tellConcerns(
  parts: DataSource,
  { io, progress }: { readonly io: CliIo; readonly progress: Progress },
): Promise<void> {
  const sets = [parts.train, parts.validation, parts.test].flatMap((dataset) => dataset ?? []);
  const bytes = sets.reduce((sum, { size, shape }) => sum + size * shape[0] * shape[1] * shape[2], 0);
  if (bytes > MOST_SEARCHED) return;
  for (const concern of await duplicateConcerns(parts, { signal: io.signal })) progress.warn(concern);
}

/** @param talk Whether anything but warnings is told. */
export async function openSettingsData(settings: Settings, io: CliIo, progress: Progress, talk: boolean): Promise<DataSource> {
  try {
    return await openData(dataSpec(settings, io), dataOptions(settings, io, progress, talk));
  } finally {
    progress.clear();
  }
}

/** A path stays as it was given where that means the same: messages then speak the user's words. */
export function dataSpec({ data }: Settings, { cwd }: CliIo): string {
  return DATA_NAMES.some((name) => name === data) || cwd === process.cwd() ? data : resolve(cwd, data);
}

export function dataOptions(settings: Settings, io: CliIo, progress: Progress, talk: boolean): OpenDataOptions {
  const given = sourceSettings(settings);
  return {
    ...given,
    imageSize: askedSize(settings),
    // Of arrays it is a name, of a folder the path of a table.
    labels: given.labels === undefined || given.images !== undefined ? given.labels : resolve(io.cwd, given.labels),
    files: io.files,
    localDir: resolve(io.cwd, 'data'),
    cacheDir: userCacheDir(process.platform, io.env, homedir()),
    kerasDir: io.env.KERAS_HOME === undefined ? undefined : join(io.env.KERAS_HOME, 'datasets'),
    signal: io.signal,
    onProgress(step) {
      if (talk) progress.status(progressText(step));
    },
    onNotice({ level, text }) {
      if (level === 'warning') progress.warn(text);
      else if (talk) progress.line(text);
    },
  };
}
