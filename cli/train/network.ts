// What is trained, where it is no architecture, and the weights that it begins with.

import type { Command } from 'commander';
import { checkGraph, weightsFor } from '../../runtime/entries/internal.ts';
import { type Dataset, HybridError, type Model, readWeights, type TrainedModel } from '../../runtime/index.ts';
import type { CliIo } from '../io.ts';
import { openModel } from '../model.ts';
import { MEASURES, type Settings } from '../options.ts';
import { findModel } from '../run-names.ts';
import type { FileValues } from '../settings.ts';
import type { Earlier } from './earlier.ts';

/** The network that --model names, or that an earlier run has; undefined: an architecture is trained. */
export async function networkOf(
  { model, init }: Settings,
  command: Command,
  file: FileValues | undefined,
  earlier: Earlier | null,
  io: CliIo,
): Promise<(Pick<TrainedModel, 'model' | 'notices'> & Partial<Pick<TrainedModel, 'weights'>>) | undefined> {
  if (model === undefined) {
    if (init === 'none')
      throw new HybridError('E_USAGE', '--init none is for --model, whose file has weights', 'Leave it out: an architecture begins anew.');
    return undefined;
  }
  if (earlier) {
    if (earlier.network) return { model: earlier.network };
    throw new HybridError('E_CHECKPOINT', 'the run has no checkpoint that says which network it trains', 'Begin it again.');
  }
  for (const key of ['arch', ...MEASURES, 'dropout'] as const) {
    if (command.getOptionValueSource(key) !== 'cli' && !file?.values.has(key)) continue;
    throw new HybridError('E_USAGE', `--model and --${key} exclude each other`, 'The file says what the network is.');
  }
  return (await openModel(model, command, io)).trained;
}

/** The network, if it is for such images. */
export function fitting(model: Model, { shape, classes, name }: Dataset): Model {
  if (`${shape}` === `${model.input}` && classes.length === model.classes) return model;
  throw new HybridError(
    'E_USAGE',
    `${model.arch} takes ${model.input.join('×')} images of ${model.classes} classes; those of ${name} are ${shape.join('×')} of ${classes.length} classes`,
    'Name other data with --data, or give folders of images their size with --image-size.',
  );
}

export async function initialWeights(
  given: string,
  out: string,
  model: Model,
  data: Dataset,
  io: CliIo,
): Promise<ReadonlyMap<string, Float32Array>> {
  const saved = await readWeights(await findModel(given, out, io), io.files);
  checkGraph(saved, model);
  return weightsFor(saved, model, data);
}
