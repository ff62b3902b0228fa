// hybrid visualize RUN|FILE: figures of a run as files, and its report anew.

import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { matchClasses, relabelled } from '../../runtime/entries/data.ts';
import { checkGraph, nearest, nodeFiles, writeAtomically } from '../../runtime/entries/internal.ts';
import {
  drawFigures,
  FIGURES,
  type Figure,
  type FigureName,
  FIGURE_FORMATS as FORMATS,
  type FigureFormat as Format,
  guessOf,
  isSkipped,
  RunRecord,
  renderFigure as render,
  writeReport,
} from '../../runtime/entries/runs.ts';
import { augmentOptions, buildModel, HybridError, openDevice, partsOf, readWeights } from '../../runtime/index.ts';
import { openSettingsData } from '../data.ts';
import { type CliIo, shown } from '../io.ts';
import { MODEL_FLAGS, toldOf } from '../model.ts';
import { givenFlags, PART_KEYS, SOURCE_KEYS } from '../options.ts';
import { count, Progress } from '../progress.ts';
import { findRun } from '../run-names.ts';
import { deviceSettings, keptSettings, modelOptions, quote, resolveSettings } from '../settings.ts';

interface Flags {
  readonly figures?: string;
  readonly layer?: string;
  readonly block?: string;
  readonly image?: string;
  readonly images?: string;
  readonly format?: string;
  readonly output?: string;
  readonly json?: boolean;
}

/** What of the training run's configuration its figures need. Nothing that makes this program reach into the network. */
const KEPT = new Set([...MODEL_FLAGS, ...['data', 'image-size', ...SOURCE_KEYS, 'batch'], ...[...PART_KEYS, 'augment', 'shuffle']]);

export async function visualizeCommand(path: string, command: Command, io: CliIo): Promise<number> {
  const flags = command.opts<Flags>();
  const talk = flags.json !== true;
  const names = list(flags.figures, FIGURES, '--figures');
  const formats = list(flags.format, FORMATS, '--format');
  const options = {
    layer: flags.layer,
    block: flags.block === 'all' ? ('all' as const) : wholeNumber(flags.block, '--block', 1),
    image: wholeNumber(flags.image, '--image', 0),
    images: wholeNumber(flags.images, '--images', 1),
  };
  const files = io.files ?? nodeFiles;
  const location = await findRun(path, resolve(io.cwd, 'runs'), io);
  const given = givenFlags(command);
  const saved = await readWeights(location, files, undefined, toldOf(given));
  if (!saved.config && !saved.trained && !given.has('arch')) {
    throw new HybridError('E_USAGE', `${path} does not say which architecture its weights are for`, 'Name it with --arch.');
  }
  const values = keptSettings(saved, KEPT);
  const settings = resolveSettings(given, { path: `the configuration of ${path}`, values });
  const isRun = (await files.stat(location))?.kind === 'folder';
  const record = isRun ? await RunRecord.read(location, files) : undefined;

  const progress = new Progress(io);
  const source = await openSettingsData(settings, io, progress, talk);
  io.signal?.throwIfAborted();
  const parts = partsOf(source, { valFraction: settings.valFraction, split: settings.split, seed: settings.seed });
  const { trained } = saved;
  const named = trained === undefined || MODEL_FLAGS.some((key) => given.has(key));
  const model = named ? buildModel(settings.arch, modelOptions(settings, source.train)) : trained.model;
  checkGraph(saved, model);
  const classes = trained?.classes ?? source.train.classes;
  const known = { name: `the model in ${shown(saved.source, io)}`, classes };
  const [test, validation] = [parts.test, parts.validation].map((part) =>
    part ? relabelled(part, classes, matchClasses(known, part)) : null,
  );
  const folder =
    flags.output === undefined ? (isRun ? join(location, 'figures') : resolve(io.cwd, 'figures')) : resolve(io.cwd, flags.output);
  await files.mkdir(folder);
  const device = await openDevice(settings.device, { ...deviceSettings(settings), v8Flags: true });
  const written: string[] = [];
  const say = (file: string) => {
    written.push(file);
    progress.clear();
    if (talk) io.stdout.write(`${shown(file, io)}\n`);
  };
  try {
    io.signal?.throwIfAborted();
    const sources = {
      ...{ model, weights: saved.weights, device, record, train: parts.train, test, validation },
      ...{ augment: augmentOptions(settings.augment), shuffle: settings.shuffle, seed: settings.seed, batch: settings.batch },
    };
    const drawn = drawFigures(names, sources, {
      ...options,
      testLimit: settings.limit,
      signal: io.signal,
      onProgress(done, total) {
        if (talk) progress.status(`evaluated ${count(done)} of ${count(total)} images  ${Math.floor((100 * done) / total)}%`);
      },
    });
    const figures: Figure[] = [];
    for await (const figure of drawn) {
      io.signal?.throwIfAborted(); // not all figures look at it
      if (isSkipped(figure)) {
        if (talk) progress.line(`no figure ${figure.name}: ${figure.reason}`);
        continue;
      }
      figures.push(figure);
      for (const format of formats) {
        const file = join(folder, `${figure.name}.${format}`);
        await writeAtomically(files, file, [await render(figure, format)]);
        say(file);
      }
    }
    // A page with some of the figures in place of all of them would be a loss.
    if (record && flags.figures === undefined) {
      const measured = test ?? validation;
      say(await writeReport(record, { files, figures, guess: measured ? guessOf(measured) : null }));
    }
  } finally {
    progress.clear();
    await device.close();
  }
  if (!talk) io.stdout.write(`${JSON.stringify({ files: written })}\n`);
  return 0;
}

/** Names separated by commas; all by default. */
function list<T extends FigureName | Format>(given: string | undefined, known: readonly T[], flag: string): readonly T[] {
  if (given === undefined) return known;
  return given.split(',').map((name) => {
    const found = known.find((candidate) => candidate === name.trim());
    if (found) return found;
    const near = nearest(name, known);
    throw new HybridError(
      'E_USAGE',
      `${flag} has ${quote(name)}${near ? `; did you mean ${near}?` : ''}`,
      `Give one or more of ${known.join(', ')}, separated by commas.`,
    );
  });
}

function wholeNumber(text: string | undefined, flag: string, least: number): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/.test(text) && Number(text) >= least) return Number(text);
  throw new HybridError(
    'E_USAGE',
    `${flag} is ${quote(text)}, but must be a whole number from ${least} on`,
    `Give one, such as ${flag} ${least + 3}.`,
  );
}
