// hybrid predict MODEL IMAGES…: the most probable classes of pictures. Files, folders with all that is in them, or one picture on standard input.

import { realpath } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { type DecodeOptions, decodeImage, IMAGE_ENDINGS } from '../../runtime/entries/data.ts';
import { isHidden, isImageFile, isImageName, nodeFiles, READ_FORMATS } from '../../runtime/entries/internal.ts';
import { HybridError, openDevice, predict } from '../../runtime/index.ts';
import { csv } from '../csv.ts';
import type { CliIo } from '../io.ts';
import { openModel, tellNotices, ttaOf } from '../model.ts';
import { givenFlags } from '../options.ts';
import { count, Progress } from '../progress.ts';
import { deviceSettings, quote, resolveSettings, sourceSettings } from '../settings.ts';

interface Flags {
  readonly topK: string;
  readonly format?: string;
  readonly json?: boolean;
}

interface Prediction {
  readonly image: string;
  readonly top: readonly { readonly label: string; readonly index: number; readonly probability: number }[];
}

const FORMATS = ['table', 'json', 'csv'] as const;
const STDIN = '-';
/** Images that are decoded and computed together. */
const BATCH = 32;
/** Of standard input: the limit for files as well. */
const MAX_BYTES = 2 ** 28;

export async function predictCommand(given: string, pictures: readonly string[], command: Command, io: CliIo): Promise<number> {
  const flags = command.opts<Flags>();
  const topK = /^[1-9]\d{0,5}$/.test(flags.topK) ? Number(flags.topK) : Number.NaN;
  if (Number.isNaN(topK))
    throw new HybridError('E_USAGE', `--top-k is ${quote(flags.topK)}, but must be a whole number from 1 on`, 'Give a number such as 3.');
  const format = FORMATS.find((name) => name === (flags.format ?? (flags.json ? 'json' : 'table')));
  if (!format)
    throw new HybridError('E_USAGE', `there is no format ${quote(String(flags.format))}`, `Choose one of ${FORMATS.join(', ')}.`);
  const settings = resolveSettings(
    new Map([...givenFlags(command)].filter(([key]) => ['device', 'precision', 'threads', 'revectorize', 'maxMegapixels'].includes(key))),
  );

  const tta = ttaOf(command);
  const { maxPixels } = sourceSettings(settings);
  const { trained } = await openModel(given, command, io);
  tellNotices(trained, io);
  const paths = (await Promise.all(pictures.map((picture) => listImages(picture, io)))).flat();
  if (paths.length === 0)
    throw new HybridError(
      'E_DATA',
      'there are no images there',
      `Name ${READ_FORMATS} files, or folders of them (${IMAGE_ENDINGS.join(', ')}).`,
    );
  const batch = Math.min(BATCH, paths.length);
  const progress = new Progress(io);
  // Looking for a GPU, or testing the revectorizer, takes longer than a few images do.
  const few = paths.length <= 20 * BATCH;
  const onlyWasm = few && settings.device === 'auto' && (settings.precision === 'auto' || settings.precision === 'f32');
  const device = await openDevice(onlyWasm ? 'wasm' : settings.device, {
    ...deviceSettings(settings),
    revectorize: settings.revectorize && !few,
    v8Flags: true,
  });
  const failures: HybridError[] = [];
  const decoded: string[] = [];
  const results: Prediction[] = [];
  async function* images(): AsyncGenerator<Uint8Array> {
    for (let first = 0; first < paths.length; first += batch) {
      const part = paths.slice(first, first + batch);
      const outcomes = await Promise.allSettled(
        part.map((path) => decode(path, { ...trained.preprocessing, shape: trained.model.input, maxPixels }, io)),
      );
      for (const [i, outcome] of outcomes.entries()) {
        if (outcome.status === 'fulfilled') {
          decoded.push(part[i]);
          yield outcome.value;
        } else if (outcome.reason instanceof HybridError && outcome.reason.code === 'E_DATA') failures.push(outcome.reason);
        else throw outcome.reason;
      }
    }
  }
  try {
    if (format !== 'json') io.stdout.write(heading(format));
    for await (const probabilities of predict({ device, trained, images: images(), batch, tta, signal: io.signal })) {
      const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a] || a - b).slice(0, topK);
      const top = order.map((index) => ({ label: trained.classes[index], index, probability: probabilities[index] }));
      const result = { image: decoded[results.length], top };
      results.push(result);
      if (format !== 'json') io.stdout.write(rows(result, format));
      if (paths.length > BATCH) progress.status(`${count(results.length)} of ${count(paths.length)} images`);
    }
    progress.clear();
    if (format === 'json') io.stdout.write(`${JSON.stringify(results)}\n`);
  } finally {
    progress.clear();
    await device.close();
  }
  if (failures.length === 0) return 0;
  // What could be read is answered; the rest is an error all the same.
  if (paths.length === 1) throw failures[0];
  const most = failures.slice(0, 5).map(({ message }) => message);
  const more = failures.length > most.length ? `; and ${failures.length - most.length} more` : '';
  throw new HybridError(
    'E_DATA',
    `${failures.length} of ${paths.length} images could not be read: ${most.join('; ')}${more}`,
    failures[0].remedy,
  );
}

async function decode(path: string, options: DecodeOptions, io: CliIo): Promise<Uint8Array> {
  if (path !== STDIN) return decodeImage(resolve(io.cwd, path), options);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of io.stdin ?? []) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) throw new HybridError('E_DATA', `standard input has more than ${count(MAX_BYTES)} bytes`, 'Give one image.');
    chunks.push(chunk);
  }
  return decodeImage(Buffer.concat(chunks), { ...options, name: 'standard input' });
}

/** A file as it is; of a folder all files that are images by name or contents, in the order of their names. Each folder once: links may lead back. */
async function listImages(given: string, io: CliIo, seen = new Set<string>()): Promise<string[]> {
  if (given === STDIN) return [given];
  const files = io.files ?? nodeFiles;
  const stat = await files.stat(resolve(io.cwd, given)).catch((cause: Error) => {
    throw new HybridError('E_DATA', `cannot read ${given}: ${cause.message}`, 'Name another file.', { cause });
  });
  if (!stat) throw new HybridError('E_DATA', `there is no ${given}`, 'Name a file or folder of images, or - for standard input.');
  if (stat.kind !== 'folder') return [given];
  const found: string[] = [];
  const real = await realpath(resolve(io.cwd, given));
  if (seen.has(real)) return found;
  seen.add(real);
  for (const name of await files.readdir(resolve(io.cwd, given))) {
    if (isHidden(name)) continue;
    const path = join(given, name);
    const kind = (await files.stat(resolve(io.cwd, path)).catch(() => null))?.kind;
    if (kind === 'folder') for (const inside of await listImages(path, io, seen)) found.push(inside);
    else if (kind === 'file' && (isImageName(name) || (await isImageFile(resolve(io.cwd, path))))) found.push(path);
  }
  return found;
}

const heading = (format: 'table' | 'csv'): string => (format === 'csv' ? 'image,rank,label,probability\n' : '');

function rows({ image, top }: Prediction, format: 'table' | 'csv'): string {
  if (format === 'csv')
    return top.map(({ label, probability }, i) => `${csv(image)},${i + 1},${csv(label)},${probability.toFixed(6)}\n`).join('');
  return `${image}  ${top.map(({ label, probability }) => `${label} ${(100 * probability).toFixed(1)} %`).join('  ')}\n`;
}
