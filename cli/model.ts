// The trained model that a person names: a run folder or a file, with the flags that say what the place itself does not.

import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { ARCHITECTURE_NAMES, measure, nodeFiles, type SavedWeights } from '../runtime/entries/internal.ts';
import type { TestTimeAugmentation } from '../runtime/entries/runs.ts';
import { buildModel, HybridError, type Model, readWeights, type TrainedModel } from '../runtime/index.ts';
import { ttaKind, WEIGHT_FILES } from '../runtime/settings.ts';
import type { CliIo } from './io.ts';
import { isModule, moduleNetwork } from './module-network.ts';
import { givenFlags, type Key, MEASURES, type Settings } from './options.ts';
import { count, Progress } from './progress.ts';
import { findModel } from './run-names.ts';
import { CIFAR10, modelOptions, quote, resolveSettings, settingsOf, sourceSettings } from './settings.ts';

/** Of the commands that take a model: the architecture of a file that does not name it. */
export const MODEL_FLAGS = ['arch', ...MEASURES, 'dropout'] as const;
const OF_MODEL = new Set<string>(MODEL_FLAGS);

/** Lines of a file of class names are at most this many bytes together. */
const MAX_LABEL_BYTES = 1 << 20;

/** What flags say of a network that its file does not. */
export function toldOf(flags: ReadonlyMap<Key, string>) {
  const settings = resolveSettings(new Map([...flags].filter(([key]) => TOLD.includes(key))));
  return { ...toldIn(settings), imageSize: flags.has('imageSize') ? sourceSettings(settings).imageSize : undefined };
}
const TOLD: readonly Key[] = ['activation', 'imageSize', 'mean', 'std'];

/** The same of settings, but for the size. */
export const toldIn = ({ activation, mean, std }: Settings) => ({
  activation,
  ...(mean !== undefined && { mean: mean.split(',').map(Number) }),
  ...(std !== undefined && { std: std.split(',').map(Number) }),
});

/** What --tta of a command says. */
export function ttaOf(command: Command): TestTimeAugmentation {
  const { tta = 'none' } = command.opts<{ tta?: string }>();
  const parsed = ttaKind.parse(tta);
  if (parsed) return parsed;
  throw new HybridError('E_USAGE', `--tta is ${quote(tta)}, but must be ${ttaKind.expected}`, 'Give mirror, which is twice the work.');
}

export interface OpenedModel {
  readonly saved: SavedWeights;
  readonly trained: TrainedModel;
}

export async function openModel(given: string, command: Command, io: CliIo): Promise<OpenedModel> {
  const { classNames, license, out } = command.opts<{ classNames?: string; license?: string; out?: string }>();
  const flags = givenFlags(command);
  const path = await findModel(given, out ?? 'runs', io);
  const named = new Map([...flags].filter(([key]) => OF_MODEL.has(key)));
  const saved = await readWeights(
    path,
    io.files,
    (shapes) => {
      if (!flags.has('arch'))
        throw new HybridError('E_USAGE', `${given} does not say which architecture its weights are for`, 'Name it with --arch.');
      const settings = resolveSettings(new Map([...flags].filter(([key]) => OF_MODEL.has(key) || key === 'imageSize')));
      const { input, ...measures } = modelOptions(settings, { ...CIFAR10, shape: [...sourceSettings(settings).imageSize, 3] });
      const measured = measure(settings.arch, shapes, flags.has('imageSize') ? { ...measures, input } : measures);
      if (!measured) {
        throw new HybridError(
          'E_CHECKPOINT',
          `${given} has no weights of convolutions and dense layers under Keras' names, such as layers/dense/vars/1`,
          `Name a run folder, or a file of weights: ${WEIGHT_FILES}.`,
        );
      }
      const { options, knowsSize } = measured;
      const size = options.input.slice(0, 2).join('×');
      const notice = `${given} does not say for which image size it was trained: ${size} is assumed. Give --image-size otherwise.`;
      return { model: buildModel(settings.arch, options), notices: knowsSize ? [] : [notice] };
    },
    toldOf(flags),
  );
  const { trained } = saved;
  if (!trained)
    throw new HybridError(
      'E_CHECKPOINT',
      `${given} holds a model that this version does not support`,
      'Train it again, or use another one.',
    );
  if (named.has('arch') && named.get('arch') !== trained.model.arch) {
    throw new HybridError(
      'E_USAGE',
      `${given} holds the architecture ${trained.model.arch}, not ${named.get('arch')}`,
      'Leave --arch out.',
    );
  }
  const classes = classNames === undefined ? trained.classes : await readClassNames(classNames, trained.model.classes, io);
  return { saved, trained: { ...trained, classes, license: license ?? trained.license } };
}

/** What the place says and training here does not do, as lines. */
export function tellNotices({ notices = [] }: Pick<TrainedModel, 'notices'>, io: CliIo): void {
  const progress = new Progress(io);
  for (const notice of notices.slice(0, MOST_NOTICES)) progress.warn(notice);
  if (notices.length > MOST_NOTICES) progress.warn(`and ${count(notices.length - MOST_NOTICES, 'more notice')} of that kind`);
}

const MOST_NOTICES = 3;

/** The model that an argument names: an architecture, for images as CIFAR-10 has them, or that of a run or file. */
export async function namedModel(given: string, command: Command, io: CliIo): Promise<Model> {
  const known: readonly string[] = ARCHITECTURE_NAMES;
  if (isModule(given)) return moduleNetwork(await findModel(given, 'runs', io), io);
  const isThere = (path: string) => (io.files ?? nodeFiles).stat(resolve(io.cwd, path)).catch(() => null);
  if (!known.includes(given) && (/[./\\]/.test(given) || (await isThere(given)) || (await isThere(join('runs', given)))))
    return (await openModel(given, command, io)).trained.model;
  const settings = settingsOf(command, { arch: given });
  return buildModel(settings.arch, modelOptions(settings, CIFAR10));
}

/** `a,b,c`, or the path of a text file with a name a line. */
async function readClassNames(given: string, classes: number, io: CliIo): Promise<string[]> {
  const files = io.files ?? nodeFiles;
  const path = resolve(io.cwd, given);
  const stat = given.includes(',') ? null : await files.stat(path).catch(() => null);
  if (stat && (stat.kind !== 'file' || stat.size > MAX_LABEL_BYTES)) {
    throw new HybridError('E_USAGE', `${quote(given)} is not a file of class names`, 'Give a text file with one name a line.');
  }
  const labels = stat
    ? new TextDecoder()
        .decode(await files.readFile(path))
        .trimEnd()
        .split(/\r?\n/)
    : given.split(',');
  const names = labels.map((label) => label.trim());
  if (names.length === classes) return names;
  throw new HybridError(
    'E_USAGE',
    `--class-names gives ${names.length} names, and the model has ${classes} classes`,
    'Give a name for each class in the order of the logits: separated by commas, or a text file with one a line.',
  );
}
