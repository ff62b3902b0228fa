// The options of a run, complete and checked.

import { HybridError } from '../base/errors.ts';
import { own } from '../base/own.ts';
import { checkSettings, completed } from '../base/setting.ts';
import type { Dataset } from '../data/dataset.ts';
import type { TrainableModel } from '../model/model.ts';
import type { CompleteTrainOptions, TrainInputs, TrainOptions } from './events.ts';
import { TRAIN_SETTINGS } from './settings.ts';

/** The options as a run has them: with a signal of its own. */
export type LoopOptions = CompleteTrainOptions & { readonly signal: AbortSignal };

/** Whether there is no run without it. */
const INPUTS: { readonly [name in keyof TrainInputs]-?: boolean } = {
  device: true,
  model: true,
  train: true,
  validation: false,
  test: false,
  init: false,
  origin: false,
  store: false,
  features: false,
  resume: false,
  allowChanged: false,
  onEpoch: false,
  trace: false,
  signal: false,
};

/**
 * A copy of the options with every setting; one that is given as undefined counts as not given. Throws E_USAGE where one is missing that
 * has no default, is not what it may be, or does not exist.
 */
export function completeOptions(given: TrainOptions): CompleteTrainOptions {
  const options = own<TrainOptions>(given);
  checkSettings(TRAIN_SETTINGS, options, { what: 'train', others: Object.keys(INPUTS) });
  for (const [name, isNeeded] of Object.entries(INPUTS)) {
    if (!isNeeded || typeof options[name as keyof TrainInputs] === 'object') continue;
    throw new HybridError('E_USAGE', `train needs the option ${name}`, `Give ${name} as an option.`, { field: name });
  }
  const { onEpoch } = options;
  if (onEpoch !== undefined && typeof onEpoch !== 'function')
    throw new HybridError('E_USAGE', `onEpoch is of type ${typeof onEpoch}`, 'Give a function; it is called after every epoch.', {
      field: 'onEpoch',
    });
  const settings = Object.entries(completed(TRAIN_SETTINGS, options)).map(([name, value]) => [name, isPlain(value) ? own(value) : value]);
  // Which keeps it without a prototype.
  return Object.assign(options, Object.fromEntries(settings), { validation: options.validation ?? null, test: options.test ?? null });
}

const isPlain = (value: unknown): value is object => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Throws E_DATA where the images of a set, or its classes, are not those that the model takes. */
export function checkDataset(model: TrainableModel, { name, shape, classes, size, labels }: Dataset): void {
  if (size < 1 || labels.length < size)
    throw new HybridError(
      'E_DATA',
      `${name} has ${labels.length} labels for ${size} images`,
      'Give at least one image, and a label for each.',
    );
  const stray = labels.findIndex((label: number) => !(Number.isInteger(label) && label >= 0 && label < classes.length));
  const wrong =
    `${shape}` !== `${model.input}`
      ? `has images of ${shape.join(' × ')}, but ${model.arch} takes ${model.input.join(' × ')}`
      : classes.length > model.classes
        ? `has ${classes.length} classes, but ${model.arch} has only ${model.classes} outputs`
        : stray >= 0
          ? `has label ${labels[stray]} at image ${stray}, but only ${classes.length} classes`
          : undefined;
  if (wrong)
    throw new HybridError('E_DATA', `${name} ${wrong}`, 'Build the model for the image size and the number of classes of the data.');
}
