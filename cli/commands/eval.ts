// hybrid eval RUN|FILE: loss and accuracy of saved weights on the test images.

import { resolve } from 'node:path';
import type { Command } from 'commander';
import { buildModel, checkGraph, type Evaluation, evaluate, HybridError, openDevice, partsOf, readWeights } from '../../runtime/index.ts';
import { openSettingsData } from '../data.ts';
import type { CliIo } from '../io.ts';
import { givenFlags } from '../options.ts';
import { count, Progress, percent } from '../progress.ts';
import { modelOptions, resolveSettings } from '../settings.ts';

/**
 * What of the training run's configuration holds for its evaluation. Not its limit: all test images count. And nothing that a file
 * from elsewhere could use to make this program reach into the network.
 */
const KEPT = new Set(['arch', 'dim', 'depth', 'kernel', 'patch', 'dropout', 'data', 'image-size', 'batch']);

export async function evalCommand(path: string, command: Command, io: CliIo): Promise<number> {
  const json = command.opts().json === true;
  const flags = givenFlags(command);
  const saved = await readWeights(resolve(io.cwd, path), io.files);
  if (!saved.config && !flags.has('arch')) {
    throw new HybridError('E_USAGE', `${path} does not say which architecture its weights are for`, 'Name it with --arch.');
  }
  const values = new Map<unknown, unknown>(Object.entries(saved.config ?? {}).filter(([key]) => KEPT.has(key)));
  const settings = resolveSettings(flags, { path: `the configuration of ${path}`, values });

  const progress = new Progress(io);
  const source = await openSettingsData(settings, io, progress, !json);
  const model = buildModel(settings.arch, modelOptions(settings, source.train));
  checkGraph(saved, model);
  if (!source.test)
    throw new HybridError('E_DATA', 'the data has no test images', 'Add some: test_batch.bin, a folder test, or x_test and y_test.');
  const { train: dataset } = partsOf({ train: source.test, test: null }, { valFraction: 0, limit: settings.limit });
  const device = await openDevice(settings.device, { threads: settings.threads, revectorize: settings.revectorize, v8Flags: true });
  try {
    const evaluation = await evaluate({
      device,
      model,
      weights: saved.weights,
      dataset,
      batch: settings.batch,
      workers: settings.workers,
      signal: io.signal,
      onProgress(done, total) {
        if (!json) progress.status(`${count(done)} of ${count(total)} images  ${Math.floor((100 * done) / total)}%`);
      },
    });
    progress.clear();
    const about = { arch: model.arch, weights: saved.source, data: dataset.name, images: dataset.size };
    io.stdout.write(json ? `${JSON.stringify({ ...about, ...asJson(evaluation, model.classes) })}\n` : asText(about, evaluation));
    return 0;
  } finally {
    progress.clear();
    await device.close();
  }
}

function asJson({ loss, accuracy, perClass, confusion }: Evaluation, classes: number) {
  const rows = Array.from({ length: classes }, (_, label) => [...confusion.subarray(label * classes, (label + 1) * classes)]);
  return { loss, accuracy, perClass, confusion: rows };
}

function asText(about: { arch: string; weights: string; data: string; images: number }, { loss, accuracy, perClass }: Evaluation): string {
  const width = Math.max(...perClass.map(({ name }) => name.length));
  return [
    `${about.arch}, weights in ${about.weights}`,
    ...perClass.map((entry) => `  ${entry.name.padEnd(width)}  ${percent(entry.accuracy).padStart(8)} of ${count(entry.count)}`),
    `accuracy ${percent(accuracy)}, loss ${loss.toFixed(4)} (${about.data}, ${count(about.images)} images)`,
    '',
  ].join('\n');
}
