// hybrid import FILE: a run folder from a file of another program, as if the model had been trained here up to now: `eval`, `predict` and
// `export` take it, and `train --resume` goes on with it, state of the optimizer included.

import { basename, relative, resolve } from 'node:path';
import type { Command } from 'commander';
import { describeOptimizer, parseOptimizer } from '../../runtime/entries/graph.ts';
import { importRun } from '../../runtime/entries/runs.ts';
import { HybridError, RunFolder } from '../../runtime/index.ts';
import type { CliIo } from '../io.ts';
import { MODEL_FLAGS, openModel, tellNotices } from '../model.ts';
import { givenFlags } from '../options.ts';
import { count } from '../progress.ts';
import { keptSettings, resolveSettings, toConfig } from '../settings.ts';

export async function importCommand(given: string, command: Command, io: CliIo): Promise<number> {
  const { saved, trained } = await openModel(given, command, io);
  tellNotices(trained, io);
  const { model, optimizer, optimizerSettings, bnMomentum } = trained;
  if (saved.config) {
    throw new HybridError(
      'E_USAGE',
      `${given} is a run of this program already`,
      'Use it as it is: eval, predict, export and train --resume take it.',
    );
  }
  const { config: measures } = model;
  if (measures.width !== undefined) {
    throw new HybridError(
      'E_CHECKPOINT',
      `${model.arch} in ${given} has ${measures.width} times its channels, which a run cannot say`,
      'Use the architecture convmixer.',
    );
  }
  const values = keptSettings({ trained });
  // A network of no architecture is in the checkpoint.
  if (measures.network) values.set('model', given);
  else for (const key of MODEL_FLAGS) if (measures[key] !== undefined) values.set(key, measures[key]);
  if (optimizerSettings) values.set('weight-decay', optimizerSettings.weightDecay);
  if (optimizerSettings?.clipNorm) values.set('clip-norm', optimizerSettings.clipNorm);
  if (optimizerSettings?.optimizer) values.set('optimizer', describeOptimizer(optimizerSettings.optimizer));
  // The rate that a schedule ends with is 0: nothing to go on with.
  if (optimizerSettings && optimizerSettings.learningRate > 0) values.set('lr', rounded(optimizerSettings.learningRate));
  if (bnMomentum !== undefined) values.set('bn-momentum', bnMomentum);
  const settings = resolveSettings(givenFlags(command), { path: given, values });

  const name = settings.name ?? basename(given).replace(/(\.weights)?\.[a-z0-9]+$/i, '');
  const folder = await RunFolder.create({ out: resolve(io.cwd, settings.out), name, config: toConfig(settings), files: io.files });
  try {
    await folder.save(
      'last',
      importRun(trained, {
        seed: settings.seed,
        batch: settings.batch,
        learningRate: settings.lr,
        optimizer: parseOptimizer(settings.optimizer),
      }),
    );
  } catch (error) {
    await folder.discard();
    throw error;
  } finally {
    await folder.close();
  }
  const run = relative(io.cwd, folder.location) || folder.location;
  const steps = optimizer?.get('optimizer/vars/0')?.[0] ?? null;
  const result = { run: folder.location, arch: model.arch, input: model.input, classes: model.classes, steps };
  const state = steps === null ? 'without a state of the optimizer' : `with the state of the optimizer after ${count(steps, 'step')}`;
  io.stdout.write(
    command.opts().json
      ? `${JSON.stringify(result)}\n`
      : `${model.arch} for ${model.input.join('×')} images and ${model.classes} classes, ${state}\nrun folder ${run}; resume with: hybrid train --resume ${run}\n`,
  );
  return 0;
}

/** A float32 from a file as the short number that it came from. */
const rounded = (value: number): number => Number(value.toPrecision(7));
