// hybrid eval MODEL: loss and accuracy of a trained model on the test images, and where it goes wrong.

import { resolve } from 'node:path';
import type { Command } from 'commander';
import { hasNames, matchClasses, relabelled } from '../../runtime/entries/data.ts';
import { argmax, checkGraph, measure, nodeFiles, probabilitiesOf, writeAtomically } from '../../runtime/entries/internal.ts';
import { buildModel, type Dataset, type Evaluation, evaluate, HybridError, openDevice, partsOf, readWeights } from '../../runtime/index.ts';
import { csv } from '../csv.ts';
import { openSettingsData } from '../data.ts';
import { type CliIo, shown } from '../io.ts';
import { MODEL_FLAGS, tellNotices, toldOf, ttaOf } from '../model.ts';
import { givenFlags, PART_KEYS, SOURCE_KEYS } from '../options.ts';
import { count, Progress, percent } from '../progress.ts';
import { findModel } from '../run-names.ts';
import { deviceSettings, keptSettings, modelOptions, resolveSettings } from '../settings.ts';

/**
 * What of the training run's configuration holds for its evaluation. Not its limit: all test images count. And nothing that a file
 * from elsewhere could use to make this program reach into the network.
 */
const KEPT = new Set([...MODEL_FLAGS, 'data', 'image-size', ...SOURCE_KEYS, 'batch', ...PART_KEYS]);

export async function evalCommand(path: string, command: Command, io: CliIo): Promise<number> {
  const json = command.opts().json === true;
  const flags = givenFlags(command);
  const saved = await readWeights(await findModel(path, 'runs', io), io.files, undefined, toldOf(flags));
  const { trained } = saved;
  if (trained) tellNotices(trained, io);
  if (!saved.config && !trained && !flags.has('arch')) {
    throw new HybridError('E_USAGE', `${path} does not say which architecture its weights are for`, 'Name it with --arch.');
  }
  const values = keptSettings(saved, KEPT);
  const tta = ttaOf(command);
  const settings = resolveSettings(flags, { path: `the configuration of ${path}`, values });

  const progress = new Progress(io);
  const source = await openSettingsData(settings, io, progress, !json);
  io.signal?.throwIfAborted();
  // The flags may name another model than the file: then the graphs differ, and that is told.
  const named = trained === undefined || MODEL_FLAGS.some((key) => flags.has(key));
  const { shape } = source.train;
  const classes = trained?.classes ?? source.train.classes;
  const asked = modelOptions(settings, { shape, classes });
  const measured = trained ? undefined : measure(settings.arch, saved.shapes ?? new Map(), asked)?.options;
  const model = named ? buildModel(settings.arch, measured ?? asked) : trained.model;
  checkGraph(saved, model);
  if (`${shape}` !== `${model.input}`) {
    throw new HybridError(
      'E_USAGE',
      `the model takes ${model.input.join('×')} images; those of ${source.train.name} are ${shape.join('×')}`,
      `Name the data it was trained on with --data, or bring the images to its size with --image-size ${model.input.slice(0, 2).join('x')}.`,
    );
  }
  // Without test images those that training held back, if it was on these images; else all: whoever names a folder wants it measured.
  const isOwn = saved.config?.data === settings.data;
  const { validation } = isOwn
    ? partsOf(source, { valFraction: settings.valFraction, split: settings.split, seed: settings.seed })
    : source;
  const held = source.test ?? validation ?? (isOwn ? null : source.train);
  if (!held)
    throw new HybridError('E_DATA', 'the data has no test images', 'Add some: test_batch.bin, a folder test, or x_test and y_test.');
  if (!source.test && !json) {
    const which = held === validation ? 'its validation images' : `all its ${count(held.size, 'image')}`;
    progress.line(`the data has no test images: measuring ${which}`);
  }
  const known = { name: `the model in ${shown(saved.source, io)}`, classes };
  const matched = relabelled(held, classes, matchClasses(known, held));
  if (!json && hasNames(held.classes) && !hasNames(classes))
    progress.warn(`${known.name} has no class names: class 0 is matched with ${held.classes[0]}, and so on`);
  const { train: dataset } = partsOf({ train: matched, test: null, mixed: source.mixed }, { valFraction: 0, limit: settings.limit });
  const device = await openDevice(settings.device, {
    ...deviceSettings(settings),
    v8Flags: true,
  });
  const { csv: table } = command.opts<{ csv?: string }>();
  const rows: string[] | undefined = table === undefined ? undefined : [];
  try {
    io.signal?.throwIfAborted();
    const evaluation = await evaluate({
      device,
      model,
      weights: saved.weights,
      dataset,
      batch: settings.batch,
      workers: settings.workers,
      tta,
      signal: io.signal,
      onLogits(first, logits) {
        if (rows) for (const row of predictionRows(dataset, first, logits, model.classes)) rows.push(row);
      },
      onProgress(done, total) {
        if (!json) progress.status(`${count(done)} of ${count(total)} images  ${Math.floor((100 * done) / total)}%`);
      },
    });
    progress.clear();
    if (table !== undefined) {
      const text = `image,label,predicted,label_probability,predicted_probability\n${rows?.join('') ?? ''}`;
      await writeAtomically(io.files ?? nodeFiles, resolve(io.cwd, table), [Buffer.from(text)]);
    }
    // A set that was not parted has images for training by name only.
    const data = held === source.train ? dataset.name.replace(' training set', '') : dataset.name;
    const about = { arch: model.arch, weights: saved.source, data, images: dataset.size, tta };
    const names = evaluation.perClass.map(({ name }) => name);
    io.stdout.write(
      json
        ? `${JSON.stringify({ ...about, ...asJson(evaluation, names) })}\n`
        : asText({ ...about, weights: shown(saved.source, io) }, evaluation, names),
    );
    return 0;
  } finally {
    progress.clear();
    await device.close();
  }
}

/** Lines of a table, of the images from `first` on. */
function predictionRows(dataset: Dataset, first: number, logits: Float32Array, classes: number): string[] {
  return Array.from({ length: logits.length / classes }, (_, row) => {
    const probabilities = probabilitiesOf(logits, row, classes, `image ${first + row + 1}`);
    const predicted = argmax(logits, row * classes, classes);
    const label = dataset.labels[first + row];
    const probability = (index: number) => probabilities[index].toFixed(6);
    const name = dataset.fileOf?.(first + row) ?? `${first + row}`;
    const fields = [csv(name), csv(dataset.classes[label]), csv(dataset.classes[predicted]), probability(label), probability(predicted)];
    return `${fields.join(',')}\n`;
  });
}

function asJson({ loss, accuracy, perClass, confusion, confused, largestLosses }: Evaluation, names: readonly string[]) {
  const named = confused.map(({ label, predicted, count }) => ({ label: names[label], predicted: names[predicted], count }));
  return { loss, accuracy, perClass, confusion: confusion && matrix(confusion, names.length), confused: named, largestLosses };
}

const matrix = (confusion: Uint32Array, classes: number): number[][] =>
  Array.from({ length: classes }, (_, label) => [...confusion.subarray(label * classes, (label + 1) * classes)]);

/** A wider matrix does not fit a terminal. */
const MAX_MATRIX = 20;
const SHOWN = 10;

function asText(
  about: { arch: string; weights: string; data: string; images: number; tta: string },
  { loss, accuracy, perClass, confusion, confused: pairs, largestLosses }: Evaluation,
  names: readonly string[],
): string {
  const width = names.reduce((most, { length }) => Math.max(most, length), 0);
  const confused = pairs.slice(0, SHOWN);
  const shownMatrix = confusion && names.length <= MAX_MATRIX ? confusion : null;
  const cell = Math.max(4, `${shownMatrix?.reduce((most, n) => Math.max(most, n), 0)}`.length);
  return [
    `${about.arch}, weights in ${about.weights}`,
    ...perClass.map(
      (entry) =>
        `  ${entry.name.padEnd(width)}  ${(entry.count > 0 ? percent(entry.accuracy) : 'none').padStart(8)} of ${count(entry.count)}`,
    ),
    ...(shownMatrix ? ['', 'confusion: a row for each class, a column for each answer, in the order above'] : []),
    ...(shownMatrix
      ? matrix(shownMatrix, names.length).map((row, i) => `  ${names[i].padEnd(width)} ${row.map((n) => `${n}`.padStart(cell)).join(' ')}`)
      : []),
    ...(confused.length > 0 ? ['', 'most confused'] : []),
    ...confused.map(({ label, predicted, count }) => `  ${names[label]} taken for ${names[predicted]}: ${count}`),
    ...(largestLosses.length > 0 ? ['', 'largest losses'] : []),
    ...largestLosses
      .slice(0, SHOWN)
      .map(
        ({ sample, file, label, predicted, predictedProbability, loss }) =>
          `  ${file ?? `image ${sample}`}: ${names[label]}${predicted === label ? '' : ` taken for ${names[predicted]}`} with ${percent(predictedProbability)}, loss ${loss.toFixed(2)}`,
      ),
    '',
    `accuracy ${percent(accuracy)}, loss ${loss.toFixed(4)} (${about.data}, ${count(about.images, 'image')}${about.tta === 'none' ? '' : `, test-time augmentation: ${about.tta}`})`,
    '',
  ].join('\n');
}
