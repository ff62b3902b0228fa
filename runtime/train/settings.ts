// The one table of what a training run can be told. To add a setting is to add it here, and to use it where it acts.

import {
  above0,
  anObject,
  below1,
  bits64,
  choice,
  form,
  from0,
  integer,
  type Kind,
  nullable,
  optional,
  record,
  toggle,
  words,
} from '../base/kinds.ts';
import { type SettingTable, setting, spellingOf, type ValuesOf } from '../base/setting.ts';
import type { AugmentOptions } from '../data/augment/augmentations.ts';
import { AUGMENT_NAMES, augmentOptions } from '../data/augment/names.ts';
import { LOSS_SETTINGS } from '../losses/settings.ts';
import {
  describeOptimizer,
  type OptimizerName,
  type OptimizerOptions,
  optimizerForms,
  optimizerNames,
  optimizerOf,
  parseOptimizer,
} from '../optim/index.ts';
import { type ClassWeights, classWeightsKind } from './class-weights.ts';
import { type Freeze, freezeKind, parseFreeze, readFreeze } from './freeze.ts';
import { describeSchedule, parseSchedule, SCHEDULES, type ScheduleOptions, scheduleKind, spellSchedule } from './schedule.ts';
import { STEP_SETTINGS } from './step-settings.ts';
import { ttaKind } from './views.ts';

/** Reduction of the learning rate after epochs without a better loss. */
export interface PlateauOptions {
  readonly patience: number;
  /** What the rate is multiplied by. */
  readonly factor: number;
  readonly minLearningRate: number;
}

/** When the state is saved within epochs: whichever comes first. */
export interface CheckpointInterval {
  readonly steps?: number;
  readonly minutes?: number;
}

const optimizerKind: Kind<OptimizerName | OptimizerOptions> = {
  expected: 'the name of an optimizer, or an object with name and constants',
  check: (value) => void optimizerOf(value as OptimizerOptions),
};

/** Settings of `train`, by their names in code. */
export const TRAIN_SETTINGS = {
  /** Passes over the training images, those before `resume` included. */
  epochs: setting({
    kind: integer(1),
    usual: undefined,
    needed: true,
    keeps: 'ranks',
    flag: { name: 'epochs', group: 'Training', kind: integer(1), example: '30', help: 'passes over the training images' },
  }),
  /** Images a step; 128 by default. The last batch of an epoch has what remains. */
  batch: setting({
    kind: integer(1),
    usual: 128,
    keeps: 'bits',
    flag: { name: 'batch', group: 'Training', kind: integer(1), example: '128', help: 'images per step' },
  }),
  /** Learning rate, or the highest one of a schedule; 0.002 by default. 0 leaves the weights as they are. */
  learningRate: setting({
    kind: from0,
    usual: 2e-3,
    keeps: 'bits',
    flag: { name: 'lr', group: 'Training', kind: above0, example: '0.002', help: 'learning rate; the highest one of a schedule' },
  }),
  /** How the weights follow the gradients: the name of an optimizer, or one with its constants, such as { name: 'adamw', beta2: 0.95 }. AdamW by default. */
  optimizer: setting({
    kind: optimizerKind,
    usual: 'adamw',
    keeps: 'bits',
    added: true,
    describe: describeOptimizer,
    flag: {
      name: 'optimizer',
      group: 'Training',
      kind: form('OPTIMIZER', `one of ${optimizerForms}, with constants behind colons`, (text) => {
        const options = parseOptimizer(text);
        return options && describeOptimizer(options);
      }),
      example: 'adamw:beta2=0.95',
      help: `optimizer: ${optimizerNames.join(', ')}, each also with constants as NAME:CONSTANT=VALUE`,
      read: (text): OptimizerOptions => parseOptimizer(text) as OptimizerOptions,
      write: describeOptimizer,
    },
  }),
  /** What the training loss can be told: the attributes of the loss. Validation and test measure without them. */
  ...LOSS_SETTINGS,
  /**
   * Factors of the classes on the training loss of their images: `none`, the default; `balanced`, so that every class weighs as much as the others,
   * however many images it has; or a list, one a class. Validation and test measure without them.
   */
  classWeights: setting({
    kind: classWeightsKind,
    usual: 'none' as ClassWeights,
    keeps: 'bits',
    added: true,
    describe: String,
    flag: {
      name: 'class-weights',
      group: 'Training',
      kind: choice('none', 'balanced'),
      example: 'balanced',
      help: 'class weights of the training loss; balanced: all classes count equally, however many images they have',
      read: (name): ClassWeights => name,
      write: (value) => (value === 'balanced' ? 'balanced' : 'none'),
    },
  }),
  /**
   * What stays as it is: `none`, the default; `backbone`, all but the last layer with weights; a number: the backbone for so many epochs, after which
   * everything is trained, at rates that grow from the first layer to the last; or names of layers, as `summary` prints them, separated by commas,
   * with * for any characters. Batch normalisation of what is frozen uses its moving statistics.
   */
  freeze: setting({
    kind: freezeKind,
    usual: 'none' as Freeze,
    keeps: 'bits',
    added: true,
    describe: String,
    flag: {
      name: 'freeze',
      group: 'Training',
      kind: form(
        'none|backbone|N|LAYERS',
        'none, backbone, a number of epochs, or names of layers separated by commas, with * for any characters',
        parseFreeze,
      ),
      example: '1',
      help: 'layers that are not trained; backbone: all but the last; N: those for N epochs, then none, with learning rates that grow towards the last layer; NAMES: as in the summary, such as "conv2d*,dense"',
      read: readFreeze,
      write: String,
    },
  }),
  /** Decoupled weight decay; 0.0001 by default. */
  weightDecay: setting({
    kind: from0,
    usual: 1e-4,
    keeps: 'bits',
    flag: { name: 'weight-decay', group: 'Training', kind: from0, example: '0.0001', help: 'decoupled weight decay' },
  }),
  /** Length that the gradients of a step, taken together as one vector, have at most; longer ones are made shorter. 0, the default: any. */
  clipNorm: setting({
    kind: from0,
    usual: 0,
    keeps: 'bits',
    added: true,
    flag: {
      name: 'clip-norm',
      group: 'Training',
      kind: from0,
      example: '1',
      help: 'length that all gradients of a step together have at most, as global_clipnorm in Keras; 0: any',
    },
  }),
  /** What weight decay makes smaller: `all` parameters, the default, or `kernels`, those of products and convolutions: no biases, and nothing of normalisation. */
  decayOn: setting({
    kind: choice('all', 'kernels'),
    usual: 'all',
    keeps: 'bits',
    added: true,
    flag: {
      name: 'decay-on',
      group: 'Training',
      kind: choice('all', 'kernels'),
      example: 'kernels',
      help: 'what weight decay makes smaller; kernels: those of products and convolutions, no biases and nothing of normalisation',
    },
  }),
  ...STEP_SETTINGS,
  /** How the learning rate changes from step to step; constant by default. */
  schedule: setting({
    kind: scheduleKind,
    usual: { name: 'constant' },
    keeps: 'bits',
    describe: describeSchedule,
    flag: {
      name: 'schedule',
      group: 'Training',
      kind: form(
        SCHEDULES.map((name) => (name === 'piecewise' ? `${name}:POINTS` : name)).join('|'),
        `${SCHEDULES.filter((name) => name !== 'piecewise').join(', ')} or piecewise:SHARE=FACTOR,... with shares that rise from 0 to 1, as in piecewise:0=0.2,0.25=1,1=0`,
        (text) => (parseSchedule(text) ? text : undefined),
      ),
      example: 'one-cycle',
      help: 'learning-rate schedule; piecewise:SHARE=FACTOR,...: straight lines between points, of the share of all steps and the factor on --lr; any other than constant disables the reduction on a plateau',
      read: (text): ScheduleOptions => parseSchedule(text) as ScheduleOptions,
      write: spellSchedule,
    },
  }),
  /** Epochs without a better loss after which the run ends. Null, the default: off. */
  earlyStopping: setting({
    kind: nullable(record<{ readonly patience: number }>({ patience: integer(0) })),
    usual: null,
    keeps: 'bits',
    describe: (value) => `${value?.patience ?? 0}`,
    flag: {
      name: 'patience',
      group: 'Training',
      kind: integer(0),
      example: '4',
      help: 'epochs without improvement before training stops; 0: never',
      read: (patience) => (patience > 0 ? { patience } : null),
      write: (value) => value?.patience ?? 0,
    },
  }),
  /**
   * Multiplies the rate by `factor` after `patience` epochs without a better loss, down to `minLearningRate`. Null, the default, and with
   * every schedule but `constant`: off.
   */
  plateau: setting({
    kind: nullable(record<PlateauOptions>({ patience: integer(0), factor: below1, minLearningRate: from0 })),
    usual: null,
    keeps: 'bits',
    // Of no effect, and so no difference, where a schedule decides the rate.
    describe: (value, { schedule }) =>
      value && (schedule as ScheduleOptions).name === 'constant'
        ? `${value.patience} epochs, ${value.factor}, ${value.minLearningRate}`
        : 'none',
    flag: null,
  }),
  /** Test-time augmentation: the test answers by the mean over several views of an image. `none` by default; what it is without is told besides. */
  tta: setting({
    kind: ttaKind,
    usual: 'none',
    keeps: 'nothing',
    flag: {
      name: 'tta',
      group: 'Training',
      kind: ttaKind,
      example: 'mirror',
      help: 'mean over views of each test image; mirror: it and its mirror image; shift: these moved by a pixel as well, six times the work',
    },
  }),
  /** Random changes of the training images; none by default. */
  augment: setting({
    kind: anObject<AugmentOptions>('an object such as { crop: 4, flip: true }'),
    usual: { crop: 0, flip: false },
    keeps: 'bits',
    describe: describeAugment,
    flag: {
      name: 'augment',
      group: 'Data',
      kind: form('AUGMENTATIONS', 'names of augmentations separated by commas, or none', parseAugment),
      example: 'crop,flip',
      usual: 'crop,flip',
      help: `random augmentation of training images, separated by commas: ${Object.keys(AUGMENT_NAMES).join(', ')}, each also as NAME=VALUE; none`,
      read: augmentOptions,
    },
  }),
  /**
   * Versions of each training image that augmentation makes: those of the first epochs, which later ones repeat. 0, the default: always new ones.
   * Where the backbone is frozen its features of all of them are kept.
   */
  augmentVersions: setting({
    kind: integer(0),
    usual: 0,
    keeps: 'bits',
    added: true,
    flag: {
      name: 'augment-versions',
      group: 'Data',
      kind: integer(0),
      example: '4',
      help: 'number of augmented versions of each training image, used by the epochs in turn; 0: new ones in each epoch',
    },
  }),
  /**
   * Which images an epoch has: `all`, the default, each once; `balanced`: as many of every class, however many images it has. Those of small classes
   * come several times, with draws of augmentation and dropout of their own, and of large ones each epoch has others.
   */
  sampling: setting({
    kind: choice('all', 'balanced'),
    usual: 'all',
    keeps: 'bits',
    added: true,
    flag: {
      name: 'sampling',
      group: 'Data',
      kind: choice('all', 'balanced'),
      example: 'balanced',
      help: 'images of an epoch; all: each once; balanced: equally many of each class, repeating those of small classes',
    },
  }),
  /** Another order of the images in each epoch; true by default. */
  shuffle: setting({
    kind: toggle,
    usual: true,
    keeps: 'bits',
    flag: {
      name: 'shuffle',
      group: 'Data',
      kind: toggle,
      example: 'false',
      help: 'disable shuffling: train on the images in stored order',
    },
  }),
  /** 64 bits, of the initial weights, the order of the images, augmentation and dropout; 0 by default. */
  seed: setting({
    kind: bits64,
    usual: 0n,
    keeps: 'bits',
    flag: {
      name: 'seed',
      group: 'Training',
      kind: bits64,
      example: '42',
      help: 'seed of the initial weights, the order of the images, augmentation and dropout',
    },
  }),
  /**
   * Momentum of the moving statistics of batch normalisation, from 0 to below 1, of layers that have none of their own; 0.99 by default, which takes
   * some 500 steps to mean anything.
   */
  bnMomentum: setting({
    kind: below1,
    usual: 0.99,
    keeps: 'bits',
    flag: {
      name: 'bn-momentum',
      group: 'Training',
      kind: below1,
      example: '0.9',
      help: 'momentum of the moving statistics of batch normalisation; short runs need less than 0.99',
    },
  }),
  /** Number of training batches used to recompute batch-norm statistics before each validation; 0, the default, disables it. */
  recalibrateBn: setting({
    kind: integer(0),
    usual: 0,
    keeps: 'bits',
    flag: {
      name: 'recalibrate-bn',
      group: 'Training',
      kind: integer(0),
      example: '20',
      help: 'number of training batches used to recompute batch-norm statistics before each validation; 0 disables',
    },
  }),
  /**
   * What to do when the loss or a gradient is NaN or infinite (the step is never applied): `stop`, the default, throws E_DIVERGED;
   * `skip` goes on with the next batch; `rollback` goes back to the last saved state and halves the rate.
   */
  onNan: setting({
    kind: choice('stop', 'skip', 'rollback'),
    usual: 'stop',
    keeps: 'ranks',
    flag: {
      name: 'on-nan',
      group: 'Training',
      kind: choice('stop', 'skip', 'rollback'),
      example: 'skip',
      help: 'what to do when the loss or a gradient is NaN or infinite: stop, skip the step, or roll back to the last saved state and halve the learning rate',
    },
  }),
  /** Threads that prepare batches; 1 by default. 0: the calling thread does. The same bytes in any case. */
  workers: setting({
    kind: integer(0, 256),
    usual: 1,
    keeps: 'nothing',
    flag: {
      name: 'workers',
      group: 'Machine',
      kind: integer(0, 256),
      example: '2',
      help: 'threads that read and augment images while the device computes; 0: the main thread does this',
    },
  }),
  /**
   * Whether the device takes all training images to itself, so that a step sends indices alone: with `auto`, the default, where that is
   * worthwhile; `on` throws E_USAGE where it is not possible. The same bytes in any case.
   */
  dataOnDevice: setting({
    kind: choice('auto', 'on', 'off'),
    usual: 'auto',
    keeps: 'nothing',
    flag: {
      name: 'data-on-device',
      group: 'Machine',
      kind: choice('auto', 'on', 'off'),
      example: 'off',
      help: 'whether all training images are stored on the GPU; auto: up to 512 MiB, with no augmentation except crop and flip',
    },
  }),
  /**
   * Whether the features that a frozen backbone has of images are computed once and kept, where augmentation gives few forms of each: none, flips
   * alone, or `augmentVersions`. True by default. The same results either way.
   */
  keepFeatures: setting({
    kind: toggle,
    usual: true,
    keeps: 'nothing',
    flag: {
      name: 'keep-features',
      group: 'Machine',
      kind: toggle,
      example: 'false',
      help: 'compute the features of a frozen backbone once instead of in each epoch; possible without augmentation, with flips only, and with --augment-versions',
    },
  }),
  /** Saves `last` also within epochs; absent: after each epoch only. */
  checkpointEvery: setting({
    kind: optional(record<CheckpointInterval>({ steps: integer(1), minutes: above0 }, ['steps', 'minutes'])),
    usual: undefined,
    keeps: 'nothing',
    flag: {
      name: 'checkpoint-every',
      group: 'Output',
      kind: form('N|Nm', 'a number of steps, or of minutes with an m behind it', (text) =>
        /^[1-9]\d{0,8}m?$/.test(text) ? text : undefined,
      ),
      example: '10m',
      otherwise: 'after each epoch only',
      help: 'also save a checkpoint within epochs, every N steps or N minutes',
      read: (text): CheckpointInterval => ({ [text.endsWith('m') ? 'minutes' : 'steps']: Number.parseInt(text, 10) }),
    },
  }),
  /** Keeps the checkpoint of every n-th epoch for good, as `epoch-0010`; 0, the default: none. */
  keepEvery: setting({
    kind: integer(0),
    usual: 0,
    keeps: 'nothing',
    flag: {
      name: 'keep-every',
      group: 'Output',
      kind: integer(0),
      example: '10',
      help: 'also keep the checkpoint of every N-th epoch, in addition to last and best; 0: none',
    },
  }),
  /** Seconds without any progress after which the run says what it waits for; 60 by default. */
  stallSeconds: setting({ kind: above0, usual: 60, keeps: 'nothing', flag: null }),
  /** Names of fusion rules that the compiler leaves out. */
  withoutRules: setting({ kind: optional(words), usual: undefined, keeps: 'nothing', flag: null }),
} as const satisfies SettingTable;

/** What a group of processes can be told besides. */
export const GROUP_SETTINGS = {
  /** Batch normalisation over the rows of all ranks; false by default: over those of each. */
  syncBatchNorm: setting({
    kind: toggle,
    usual: false,
    keeps: 'ranks',
    flag: {
      name: 'sync-bn',
      group: 'Machine',
      kind: toggle,
      example: 'true',
      help: 'batch normalisation over the images of all ranks: gives the result of a single process with the same batch',
    },
  }),
} as const satisfies SettingTable;

/**
 * Every setting of a training run.
 *
 * @category Training
 */
export interface TrainSettings extends ValuesOf<typeof TRAIN_SETTINGS> {}

/** Options that are off, or absent, say nothing: checkpoints from before there were any stay valid. */
function describeAugment({ crop, flip, ...more }: AugmentOptions): string {
  const rest = Object.entries<unknown>(more).filter(([, value]) => Boolean(value));
  return [`crop ${crop}, flip ${flip}`, ...rest.map(([name, value]) => `${name} ${JSON.stringify(value)}`).sort()].join(', ');
}

/** Sorted, so that equal lists are equal words. What the names mean, and which there are, `augmentOptions` knows. */
function parseAugment(value: string): string | undefined {
  return /^[a-z-]+(=[\d.]+)?(,[a-z-]+(=[\d.]+)?)*$/.test(value) ? value.split(',').sort().join(',') : undefined;
}

/** The settings that decide something, as text, by their words in checkpoints. `of`: which of them. */
export function describeSettings(table: SettingTable, values: object, of: 'bits' | 'ranks'): Record<string, string> {
  const all = values as Readonly<Record<string, unknown>>;
  const entries = Object.entries(table)
    .filter(([, { keeps }]) => keeps === 'bits' || keeps === of)
    .map(([name, entry]) => [spellingOf(name, entry), entry.describe ? entry.describe(all[name], all) : `${all[name]}`]);
  return Object.fromEntries(entries);
}
