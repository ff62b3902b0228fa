// hybrid data download|verify|info|preview|convert: what there is to do with data besides training on it.

import { resolve } from 'node:path';
import type { Command } from 'commander';
import {
  classConcerns,
  convertData,
  type DatasetDescription as Description,
  describeDataset,
  duplicateConcerns,
  locateData,
  previewPicture,
  type DataVerification as Verification,
  verifyData,
} from '../../runtime/entries/data.ts';
import { nearest, nodeFiles, PUBLISHED, writeAtomically } from '../../runtime/entries/internal.ts';
import { formatBytes } from '../../runtime/entries/tools.ts';
import { augmentOptions, type DataSource, HybridError } from '../../runtime/index.ts';
import { classesText, dataOptions, dataSpec, openSettingsData } from '../data.ts';
import { type CliIo, shown } from '../io.ts';
import type { Settings } from '../options.ts';
import { count, Progress } from '../progress.ts';
import { fetchPublished, publishedName } from '../run-names.ts';
import { quote, settingsOf } from '../settings.ts';

/** Sets that can be fetched. */
const REMOTE = ['cifar10', 'cifar100'];

/** Fetches a set or the weights of a published model, unless they are there, and prints where they are. */
export async function downloadCommand(set: string | undefined, command: Command, io: CliIo): Promise<number> {
  const { json, to } = command.opts<{ json?: boolean; to?: string }>();
  const settings = settingsOf(command, { data: set ?? 'cifar10' });
  const folder = to === undefined ? undefined : resolve(io.cwd, to);
  const model = publishedName(settings.data);
  if (model) {
    const path = await fetchPublished(model, io, { to: folder, url: settings.dataUrl });
    io.stdout.write(json ? `${JSON.stringify({ model, path })}\n` : `${shown(path, io)}\n`);
    return 0;
  }
  if (!REMOTE.includes(settings.data)) {
    throw new HybridError(
      'E_USAGE',
      `${quote(settings.data)} cannot be downloaded`,
      `Choose one of ${[...REMOTE, ...Object.keys(PUBLISHED)].join(', ')}.`,
    );
  }
  const progress = new Progress(io);
  try {
    const options = dataOptions(settings, io, progress, !json);
    const place = await locateData(settings.data, { ...options, ...(folder && { localDir: folder, cacheDir: folder }) });
    const path = 'path' in place ? place.path : ''; // always: a set that can be fetched has a folder
    io.stdout.write(json ? `${JSON.stringify({ set: settings.data, path })}\n` : `${shown(path, io)}\n`);
    return 0;
  } finally {
    progress.clear();
  }
}

/** Checks every label, image and file. Status 4 where files of a folder cannot be decoded; they are listed. */
export async function verifyCommand(data: string | undefined, command: Command, io: CliIo): Promise<number> {
  const { json } = command.opts<{ json?: boolean }>();
  const settings = settingsOf(command, { data: data ?? 'cifar10' });
  const progress = new Progress(io);
  try {
    const verification = await verifyData(dataSpec(settings, io), dataOptions(settings, io, progress, !json));
    io.signal?.throwIfAborted(); // a set that was not looked at to its end is not verified
    progress.clear();
    io.stdout.write(json ? `${JSON.stringify(verification)}\n` : verificationText(verification, io));
    if (verification.bad.length === 0) return 0;
    throw new HybridError(
      'E_DATA',
      `${count(verification.bad.length)} of ${count(totalImages(verification))} files cannot be decoded`,
      `Replace or remove them, or train with --max-bad ${verification.bad.length}.`,
    );
  } finally {
    progress.clear();
  }
}

const totalImages = ({ images: { train, validation, test } }: Verification): number => train + validation + test;

function verificationText({ kind, files, images, classes, classNames, bad }: Verification, io: CliIo): string {
  const lines = files.map(
    ({ path, bytes, sha256, official }) => `${shown(path, io)}  ${count(bytes)} bytes  sha256 ${sha256}${official ? '  official' : ''}`,
  );
  const own = files.length > 0 && !files.some(({ official }) => official) ? ', files of their own making' : '';
  return [
    ...bad.map(({ reason }) => reason),
    ...lines,
    classesText(classNames),
    `${kind}: ${count(images.train)} training, ${count(images.validation)} validation, ${count(images.test)} test images of ${classes} classes` +
      `${kind === 'cifar' ? own : ''}; ${bad.length === 0 ? 'nothing is wrong with them' : `${count(bad.length)} ${bad.length === 1 ? 'is' : 'are'} bad`}`,
    '',
  ].join('\n');
}

/** Prints sizes, classes and colours. */
export async function infoCommand(data: string | undefined, command: Command, io: CliIo): Promise<number> {
  const { json } = command.opts<{ json?: boolean }>();
  const settings = settingsOf(command, { data: data ?? 'cifar10' });
  const progress = new Progress(io);
  try {
    const source = await openSettingsData(settings, io, progress, !json);
    const described = new Map<string, Description>();
    const concerns = [...classConcerns(source.train), ...(await duplicateConcerns(source, { signal: io.signal }))];
    for (const [part, dataset] of partsOfSource(source)) {
      const onProgress = (done: number, total: number) => {
        if (!json) progress.status(`${dataset.name}  ${count(done)} of ${count(total)} images`);
      };
      described.set(part, await describeDataset(dataset, { signal: io.signal, onProgress }));
    }
    progress.clear();
    io.stdout.write(
      json ? `${JSON.stringify({ ...Object.fromEntries(described), concerns })}\n` : infoText([...described.values()], concerns),
    );
    return 0;
  } finally {
    progress.clear();
  }
}

const partsOfSource = ({ train, validation, test }: DataSource) =>
  Object.entries({ train, validation, test }).flatMap(([part, dataset]) => (dataset ? [[part, dataset] as const] : []));

/** One column of counts for each part. */
function infoText(parts: readonly Description[], concerns: readonly string[]): string {
  const sides = ({ shape, size }: Description): string =>
    `${count(size, 'image')} of ${shape.join(' × ')}, ${formatBytes(size * shape[0] * shape[1] * shape[2])}`;
  const decimals = (values: readonly number[]): string => values.map((value) => value.toFixed(4)).join(' ');
  const [{ classes }] = parts;
  const width = classes.reduce((most, { name }) => Math.max(most, name.length), 0);
  return [
    ...parts.flatMap((part) => [`${part.name}: ${sides(part)}`, `  mean ${decimals(part.mean)}, deviation ${decimals(part.deviation)}`]),
    `${classes.length} classes`,
    ...classes.map(
      ({ name }, label) => `  ${name.padEnd(width)}${parts.map((part) => count(part.classes[label].count).padStart(9)).join('')}`,
    ),
    ...concerns,
    '',
  ].join('\n');
}

/** Writes a set as one file and prints its path. */
export async function convertCommand(data: string, out: string, command: Command, io: CliIo): Promise<number> {
  const { json } = command.opts<{ json?: boolean }>();
  const settings: Settings = settingsOf(command, { data });
  const progress = new Progress(io);
  const path = resolve(io.cwd, out);
  try {
    const source = await openSettingsData(settings, io, progress, !json);
    const name = source.train.name.replace(/ training set$/, '');
    const onProgress = (done: number, total: number) => {
      if (!json) progress.status(`convert  ${count(done)} of ${count(total)} images  ${Math.floor((100 * done) / total)}%`);
    };
    await convertData(source, { files: io.files, path, name, signal: io.signal, onProgress });
    progress.clear();
    const images = partsOfSource(source).reduce((sum, [, { size }]) => sum + size, 0);
    io.stdout.write(json ? `${JSON.stringify({ path, images })}\n` : `${shown(path, io)}\n`);
    return 0;
  } finally {
    progress.clear();
  }
}

interface PreviewFlags {
  readonly json?: boolean;
  readonly out?: string;
  readonly part?: string;
  readonly rows?: string;
  readonly columns?: string;
}

/** Draws images as a PNG picture, with --augment each of them epoch by epoch, and says what is in its rows. */
export async function previewCommand(data: string | undefined, command: Command, io: CliIo): Promise<number> {
  const { json, out = 'preview.png', part = 'train', ...flags } = command.opts<PreviewFlags>();
  const settings = settingsOf(command, { data: data ?? 'cifar10' });
  const augments = command.getOptionValueSource('augment') === 'cli';
  const augment = augments ? augmentOptions(settings.augment) : undefined;
  const rows = sizeOf('--rows', flags.rows);
  const columns = sizeOf('--columns', flags.columns);
  if (!/\.png$/i.test(out))
    throw new HybridError('E_USAGE', `--out is ${quote(out)}, but a PNG picture is written`, 'Give a name that ends in .png.');
  const progress = new Progress(io);
  try {
    const source = await openSettingsData(settings, io, progress, !json);
    const dataset = new Map(partsOfSource(source)).get(part);
    if (!dataset) {
      const parts = partsOfSource(source).map(([name]) => name);
      const near = nearest(part, parts);
      throw new HybridError(
        'E_USAGE',
        `the data has no part ${quote(part)}${near ? `; did you mean ${near}?` : ''}`,
        `It has ${parts.join(', ')}.`,
      );
    }
    const { encode } = await import('fast-png');
    const picture = await previewPicture(dataset, { rows, columns, augment, seed: settings.seed, signal: io.signal });
    const path = resolve(io.cwd, out);
    await writeAtomically(io.files ?? nodeFiles, path, [encode({ ...picture, depth: 8 })]);
    const images = Math.min(dataset.size, augment ? rows : rows * columns);
    const classes = Array.from({ length: images }, (_, i) => dataset.classes[dataset.labels[i]]);
    io.stdout.write(
      json
        ? `${JSON.stringify({ path, width: picture.width, height: picture.height, part, augment: augments ? settings.augment : 'none', classes })}\n`
        : previewText(shown(path, io), classes, { columns, augment: augments ? settings.augment : undefined }),
    );
    return 0;
  } finally {
    progress.clear();
  }
}

function previewText(path: string, classes: readonly string[], { columns, augment }: { columns: number; augment?: string }): string {
  const lines = augment
    ? classes.map((name, row) => `row ${row + 1}: ${name}, as stored and in epochs 1 to ${columns - 1} of ${augment}`)
    : Array.from(
        { length: Math.ceil(classes.length / columns) },
        (_, row) => `row ${row + 1}: ${classes.slice(row * columns, (row + 1) * columns).join(', ')}`,
      );
  return [...lines, path, ''].join('\n');
}

function sizeOf(flag: string, value = '8'): number {
  if (/^[1-9]\d{0,2}$/.test(value)) return Number(value);
  throw new HybridError('E_USAGE', `${flag} is ${quote(value)}, but must be a whole number from 1 to 999`, `Give one, such as ${flag} 8.`);
}
