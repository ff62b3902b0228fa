// Named recipes: the settings with which the script trains each of its models (keras-semantics.md, sections 4 and 5), and a
// fast one with which they get beyond 85 % on CIFAR-10 in about an hour on two cores.

import type { ArchitectureName } from '../runtime/model/architectures.ts';
import type { Freeze } from '../runtime/train/freeze.ts';
import type { TrainSettings } from '../runtime/train/settings.ts';

/** What a recipe decides. */
export const PRESET_SETTINGS = [
  'epochs',
  'batch',
  'learningRate',
  'weightDecay',
  'earlyStopping',
  'plateau',
  'schedule',
  'bnMomentum',
  'recalibrateBn',
  'shuffle',
  'freeze',
  'labelSmoothing',
  'optimizer',
  'normBiasRate',
  'lookahead',
  'tta',
] as const satisfies readonly (keyof TrainSettings)[];

/** What a recipe decides of a run. */
export type Preset = Pick<TrainSettings, (typeof PRESET_SETTINGS)[number]>;

/** The script's run_experiment and run_experiment_2. */
const patient: Preset = {
  epochs: 30,
  batch: 128,
  learningRate: 2e-3,
  weightDecay: 1e-4,
  earlyStopping: { patience: 4 },
  plateau: { patience: 2, factor: 0.5, minLearningRate: 1e-5 },
  schedule: { name: 'constant' },
  bnMomentum: 0.99,
  recalibrateBn: 0,
  shuffle: true,
  freeze: 'none',
  labelSmoothing: 0,
  optimizer: 'adamw',
  normBiasRate: 1,
  lookahead: 0,
  tta: 'none',
};

/** The script's run_experiment_3: less patience, a lower floor. Its results are therefore not like for like with the others. */
const brisk: Preset = {
  ...patient,
  earlyStopping: { patience: 3 },
  plateau: { patience: 1, factor: 0.5, minLearningRate: 5e-6 },
};

/**
 * One cycle of the learning rate. Rate and decay are those behind the published log of convmixer-cifar10 (0.01 and 0.01 at
 * batches of 512), brought to batches of 128: AdamW's rate goes with the root of the batch, and rate × decay × steps is kept.
 * There is no early stopping: the loss may rise while the rate is high, and falls at the end.
 */
const fast: Preset = {
  ...patient,
  epochs: 10,
  batch: 128,
  learningRate: 5e-3,
  weightDecay: 5e-3,
  earlyStopping: null,
  plateau: null,
  schedule: { name: 'one-cycle' },
  // The statistics of the last epoch are those of weights that hardly move: about thirty batches are enough of them.
  bnMomentum: 0.97,
};

/**
 * The published recipe of airbench94 (KellerJordan/cifar10-airbench, legacy/airbench94.py), with whole epochs and a short last batch. Rate and decay
 * are given there without what the momentum makes of them, 1 + 1/(1 − momentum) = 7.667: the rate is 11.5/7.667 of a mean loss, and what decays in a
 * step, 0.0153/7.667, goes through the momentum, which makes it 1/(1 − momentum) times as large in the long run. Here it is apart from the momentum, and
 * that large: 0.0153/7.667/0.15 over the rate.
 * The bias of the first convolution is trained to the end, not for three epochs.
 */
const speedrun: Preset = {
  ...patient,
  epochs: 10,
  batch: 1024,
  optimizer: { name: 'sgd', momentum: 0.85, nesterov: true },
  learningRate: 1.5,
  weightDecay: 8.87e-3,
  normBiasRate: 64,
  earlyStopping: null,
  plateau: null,
  schedule: {
    name: 'piecewise',
    points: [
      [0, 0.2],
      [0.23, 1],
      [1, 0.07],
    ],
  },
  bnMomentum: 0.6,
  labelSmoothing: 0.2,
  lookahead: 5,
  tta: 'shift',
};

/**
 * Plain convolutions take smaller steps and more of them: with `fast` as above conv-pooling ends at 82.2 % of CIFAR-10's test images, and
 * learns its training images no better than that.
 */
const fastPlain: Preset = { ...fast, epochs: 24, learningRate: 2e-3, weightDecay: 1.25e-2 };

/** The family `convmixer` and networks of others, which the script does not have, are trained as its first model is. */
const SCRIPT = {
  'convmixer-256-8': patient,
  'conv-pooling': patient,
  'convmixer-2stage-flatten': patient,
  'convmixer-2stage': brisk,
  'convmixer-256-8-block-residual': brisk,
  convmixer: patient,
  'resnet-20': patient,
  'efficientnet-lite0': patient,
  airbench: patient,
} as const satisfies Record<ArchitectureName, Preset>;

/** Steps that a run of few images has, as nearly as whole epochs allow: its length must not depend on how many images there are. */
const SMALL_STEPS = 600;
const TUNE_STEPS = 250;
/** Images a step where there are few: more steps an epoch, and statistics of a batch that are noisy, which holds back learning by heart. */
const SMALL_BATCH = 32;
const MOST_EPOCHS = 200;

/** Epochs that come to so many steps. */
const epochsOf = (steps: number, images: number, batch: number): number =>
  Math.max(3, Math.min(MOST_EPOCHS, Math.round(steps / Math.max(1, Math.ceil(images / batch)))));

/** For some hundred images: one cycle over many epochs of small batches. */
function small(images: number): Preset {
  return {
    ...fast,
    epochs: epochsOf(SMALL_STEPS, images, SMALL_BATCH),
    batch: SMALL_BATCH,
    learningRate: 2e-3,
    weightDecay: 1e-2,
    bnMomentum: 0.9,
    labelSmoothing: 0.1,
  };
}

/** From weights of other classes: the head alone for an epoch, then everything, the first layers least. */
function tune(images: number): Preset {
  return { ...small(images), epochs: 1 + epochsOf(TUNE_STEPS, images, SMALL_BATCH), freeze: 1 };
}

/**
 * `script`: as the original script trains each model; `fast`: one cycle of ten epochs, 24 for conv-pooling; `speedrun`: ten epochs of large batches
 * with SGD, on all training images, for `airbench`; `small`: for some hundred images; `tune`:
 * from weights that were trained on other classes.
 */
export const RECIPES = ['script', 'fast', 'speedrun', 'small', 'tune'] as const;
/** A set of presets. */
export type Recipe = (typeof RECIPES)[number];

/** Sets of at most so many training images are small. */
export const SMALL_SET = 5000;

/** The settings that a recipe has for an architecture and a number of training images, which `small` and `tune` go by. */
export function presetFor(arch: ArchitectureName, recipe: Recipe = 'script', images = SMALL_SET): Preset {
  switch (recipe) {
    case 'script':
      return SCRIPT[arch];
    case 'fast':
      return arch === 'conv-pooling' ? fastPlain : fast;
    case 'speedrun':
      return speedrun;
    case 'small':
      return small(images);
    case 'tune':
      return tune(images);
  }
}

/** Augmentation that a recipe has in place of the usual one, as `augmentOptions` reads it: photographs come in any size and light. */
const RECIPE_AUGMENT: { readonly [name in Recipe]?: string } = {
  speedrun: 'alternating-flip,crop-reflect=2',
  small: 'colour,flip,resize',
  tune: 'colour,flip,resize',
};

/** Augmentation that a recipe has in place of the usual one; undefined: the usual one. */
export const recipeAugment = (recipe: Recipe, freeze: Freeze): string | undefined =>
  // What is computed of an image once must not change from epoch to epoch.
  (recipe === 'tune' || recipe === 'small') && freeze === 'backbone' ? 'flip' : RECIPE_AUGMENT[recipe];

/** Share of the training images that a recipe keeps for validation in place of the usual one; undefined: the usual one. */
export const recipeValFraction = (recipe: Recipe): number | undefined => (recipe === 'speedrun' ? 0 : undefined);
