// The settings of a run that nobody has given: the script's, with nothing that ends a run early or changes its rate.

import { HybridError } from '../base/errors.ts';
import { own } from '../base/own.ts';
import type { Dataset } from '../data/dataset.ts';
import type { TrainableModel } from '../model/model.ts';
import type { CompleteTrainOptions, TrainOptions, TrainSettings } from './events.ts';

const DEFAULTS: TrainSettings = {
  validation: null,
  test: null,
  batch: 128,
  learningRate: 2e-3,
  weightDecay: 1e-4,
  schedule: { name: 'constant' },
  earlyStopping: null,
  plateau: null,
  augment: { crop: 0, flip: false },
  shuffle: true,
  seed: 0n,
  bnMomentum: 0.99,
  recalibrateBn: 0,
};

/** A copy of the options with every setting; one that is given as undefined counts as not given. */
export function completeOptions(given: TrainOptions): CompleteTrainOptions {
  const options = own(given);
  const settings = Object.entries(DEFAULTS).map(([name, value]) => [name, options[name as keyof TrainSettings] ?? value]);
  return Object.assign(options, Object.fromEntries(settings)); // which keeps it without a prototype
}

/** Throws E_USAGE for settings with which there is no run. */
export function checkSettings(settings: CompleteTrainOptions): void {
  for (const name of ['epochs', 'batch'] as const) checkCount(name, settings[name]);
  checkCount('recalibrateBn', settings.recalibrateBn, 0);
  for (const name of ['learningRate', 'weightDecay'] as const) checkRange(name, settings[name], Number.MAX_VALUE);
  checkRange('bnMomentum', settings.bnMomentum, 1);
}

/** Throws E_USAGE where `value` is no whole number, or too small. */
export function checkCount(name: string, value: number, least = 1): void {
  if (!(Number.isSafeInteger(value) && value >= least))
    throw new HybridError('E_USAGE', `${name} is ${value}`, `Give a whole number from ${least} on.`);
}

function checkRange(name: string, value: number, most: number): void {
  const range = most === Number.MAX_VALUE ? 'a number from 0 on' : `a number from 0 to ${most}`;
  if (!(value >= 0 && value <= most)) throw new HybridError('E_USAGE', `${name} is ${value}`, `Give ${range}.`);
}

/** Throws E_DATA where the images of a set, or its classes, are not those that the model takes. */
export function checkDataset(model: TrainableModel, { name, shape, classes, size, labels }: Dataset): void {
  if (size < 1 || labels.length < size)
    throw new HybridError(
      'E_DATA',
      `${name} has ${labels.length} labels for ${size} images`,
      'Give at least one image, and a label for each.',
    );
  const stray = labels.findIndex((label: number) => label < 0 || label >= classes.length);
  const wrong =
    `${shape}` !== `${model.input}`
      ? `has images of ${shape.join(' × ')}, but ${model.arch} takes ${model.input.join(' × ')}`
      : classes.length > model.classes
        ? `has ${classes.length} classes, but ${model.arch} tells only ${model.classes} apart`
        : stray >= 0
          ? `has label ${labels[stray]} at image ${stray}, but only ${classes.length} classes`
          : undefined;
  if (wrong)
    throw new HybridError('E_DATA', `${name} ${wrong}`, 'Build the model for the image size and the number of classes of the data.');
}
