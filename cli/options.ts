// The one table of what a training run can be told. Flags, the configuration file and the configuration written to the run
// folder all come from it; a key of the file is the flag without its dashes. How they come together is in settings.ts.
// Loads nothing but commander: `--help` needs this file.

import { type Command, Option as Flag } from 'commander';
import type { ArchitectureName } from '../runtime/index.ts';

type Group = 'Model' | 'Data' | 'Training' | 'Machine' | 'Output';

export interface Option<T> {
  readonly group: Group;
  readonly help: string;
  /** What stands for the value in the help. Absent: a switch, with a `--no-` form if it is on by default. */
  readonly placeholder?: string;
  /** A switch that is off by default. */
  readonly off?: true;
  /** Of the help: where the value comes from if nobody gives one. */
  readonly otherwise?: string;
  readonly expected: string;
  readonly example: string;
  /** Undefined: not what is expected. */
  parse(text: string): T | undefined;
}

/** Digits only: `1e3`, `0x10` or `5.0` would be a number in some languages and a mistake in others. */
const integer = (least: number, most = 2 ** 31 - 1) => ({
  placeholder: 'N',
  expected: `a whole number from ${least} to ${most.toLocaleString('en-US')}`,
  parse: (text: string) => (/^\d{1,15}$/.test(text) ? within(Number(text), least, most) : undefined),
});

/** Finite also as the float32 that devices compute with. */
const number = (expected: string, accepts: (value: number) => boolean) => ({
  placeholder: 'X',
  expected,
  parse: (text: string) => {
    const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
    return Number.isFinite(Math.fround(value)) && accepts(value) ? value : undefined;
  },
});

const choice = <T extends string>(...values: readonly T[]) => ({
  placeholder: values.join('|'),
  expected: `one of ${values.join(', ')}`,
  parse: (text: string) => values.find((value) => value === text),
});

const text = (placeholder: string, expected: string) => ({
  placeholder,
  expected,
  parse: (value: string) => (value === '' || value.includes('\0') ? undefined : value),
});

/** A switch. */
const toggle = {
  expected: 'true or false',
  parse: (value: string) => (value === 'true' ? true : value === 'false' ? false : undefined),
};

const within = (value: number, least: number, most: number) => (value >= least && value <= most ? value : undefined);

const PRESET = 'the recipe, see --recipe';
/** The same where there is no --recipe. */
const SCRIPT = 'that of the original script for the architecture';

export const OPTIONS = {
  arch: {
    ...text('ARCH', 'the name of an architecture'),
    group: 'Model',
    otherwise: 'convmixer-2stage',
    example: 'convmixer-2stage',
    help: 'convmixer-256-8, conv-pooling, convmixer-2stage-flatten, convmixer-2stage, convmixer-256-8-block-residual or convmixer',
  },
  dim: { ...integer(1, 65_536), group: 'Model', otherwise: '256', example: '64', help: 'channels of convmixer' },
  depth: { ...integer(1, 1000), group: 'Model', otherwise: '8', example: '4', help: 'blocks of convmixer' },
  kernel: { ...integer(1, 1000), group: 'Model', otherwise: '5', example: '5', help: 'size of the depthwise kernels of convmixer' },
  patch: { ...integer(1, 1000), group: 'Model', otherwise: '2', example: '2', help: 'size and stride of the patches of convmixer' },
  dropout: {
    ...number('a number from 0 to below 1', (x) => x >= 0 && x < 1),
    group: 'Model',
    otherwise: '0.5',
    example: '0.5',
    help: 'rate of the dropout before the last layer',
  },
  init: {
    ...text('MODEL', 'a run folder, a file of weights, or a model that comes with hybrid'),
    group: 'Model',
    otherwise: "Keras' initialisers",
    example: 'model.safetensors',
    help: 'initial weights: a run, a file as for eval, or a model that comes with hybrid',
  },

  data: {
    ...text('auto|cifar10|cifar100|synthetic|PATH', 'auto, cifar10, cifar100, synthetic or a path'),
    group: 'Data',
    otherwise: 'auto',
    example: 'cifar10',
    help: 'a name, a folder (CIFAR in binary form; class folders of images), an .npz or packed file; auto: CIFAR-10 from ./data, the cache, the network, else synthetic',
  },
  dataUrl: {
    ...text('URL', 'a URL'),
    group: 'Data',
    otherwise: 'the official archive',
    example: 'http://localhost/cifar-10-binary.tar.gz',
    help: 'where to fetch the CIFAR-10 archive from',
  },
  imageSize: {
    placeholder: 'N|HxW',
    expected: 'a size from 1 to 4096, or height x width',
    parse: parseSize,
    group: 'Data',
    otherwise: '32',
    example: '40x48',
    help: 'size in pixels that the images of a folder are brought to, cut to their middle',
  },
  maxBad: {
    ...integer(0),
    group: 'Data',
    otherwise: '0',
    example: '10',
    help: 'image files of a folder that may be left out because they cannot be decoded',
  },
  dataMemory: {
    ...integer(0),
    group: 'Data',
    otherwise: 'a quarter of the memory, at most 1024',
    example: '512',
    help: 'MiB of images held in memory; larger sets are read from the disk as they are needed',
  },
  valFraction: {
    ...number('a number from 0 to below 1', (x) => x >= 0 && x < 1),
    group: 'Data',
    otherwise: '0.1',
    example: '0.1',
    help: 'share of the training images, the first ones, kept for validation; 0: training loss is monitored',
  },
  limit: {
    ...integer(1),
    group: 'Data',
    otherwise: 'all',
    example: '2000',
    help: 'only the first N training images; validation and test then are at most max(100, N/5)',
  },
  augment: {
    placeholder: 'AUGMENTATIONS',
    expected: 'names of augmentations separated by commas, or none',
    parse: parseAugment,
    group: 'Data',
    otherwise: 'crop,flip',
    example: 'crop,flip',
    help: 'random changes of training images, separated by commas: crop, crop-reflect, flip, alternating-flip, resize, rotate, zoom, colour, randaugment, erase, cutout, mixup, cutmix, each also as NAME=VALUE; none',
  },
  shuffle: {
    ...toggle,
    group: 'Data',
    otherwise: 'true',
    example: 'false',
    help: 'train on the images in the order in which they are stored',
  },

  recipe: {
    ...choice('script', 'fast'),
    group: 'Training',
    otherwise: 'script',
    example: 'fast',
    help: 'defaults of the options below; script: those of the original script for the architecture; fast: one cycle of ten epochs, 24 for conv-pooling',
  },
  epochs: { ...integer(1), group: 'Training', otherwise: PRESET, example: '30', help: 'passes over the training images' },
  batch: { ...integer(1), group: 'Training', otherwise: PRESET, example: '128', help: 'images per step' },
  lr: {
    ...number('a number above 0', (x) => x > 0),
    group: 'Training',
    otherwise: PRESET,
    example: '0.002',
    help: 'learning rate; the highest one of a schedule',
  },
  weightDecay: {
    ...number('a number from 0 on', (x) => x >= 0),
    group: 'Training',
    otherwise: PRESET,
    example: '0.0001',
    help: 'weight decay of AdamW',
  },
  schedule: {
    ...choice('constant', 'cosine', 'one-cycle'),
    group: 'Training',
    otherwise: PRESET,
    example: 'one-cycle',
    help: 'of the learning rate; any but constant switches the reduction on a plateau off',
  },
  patience: {
    ...integer(0),
    group: 'Training',
    otherwise: PRESET,
    example: '4',
    help: 'epochs without improvement after which training stops; 0: never',
  },
  bnMomentum: {
    ...number('a number from 0 to below 1', (x) => x >= 0 && x < 1),
    group: 'Training',
    otherwise: PRESET,
    example: '0.9',
    help: 'momentum of the moving statistics of batch normalisation; short runs need less than 0.99',
  },
  recalibrateBn: {
    ...integer(0),
    group: 'Training',
    otherwise: PRESET,
    example: '20',
    help: 'training batches over which these statistics are measured anew before each validation; 0: off',
  },
  seed: {
    placeholder: 'N',
    expected: 'a whole number from 0 to 2^64 - 1',
    parse: (value: string) => (/^\d{1,20}$/.test(value) && BigInt(value) < 1n << 64n ? BigInt(value) : undefined),
    group: 'Training',
    otherwise: '0',
    example: '42',
    help: 'of the initial weights, the order of the images, augmentation and dropout',
  },

  onNan: {
    ...choice('stop', 'skip', 'rollback'),
    group: 'Training',
    otherwise: 'stop',
    example: 'skip',
    help: 'where loss or gradients are not finite: stop; skip the step; or roll back to the last saved state and halve the rate',
  },

  device: { ...choice('auto', 'wasm', 'webgpu', 'reference'), group: 'Machine', otherwise: 'auto', example: 'wasm', help: 'what computes' },
  precision: {
    ...choice('auto', 'f32', 'f16', 'f16x3'),
    group: 'Machine',
    otherwise: 'auto',
    example: 'f16',
    help: "numbers of the webgpu device: f16 stores activations as f16, f16x3 multiplies in three passes on the GPU's matrix units; auto: f32, until the others have been measured on hardware",
  },
  threads: {
    ...integer(1, 256),
    group: 'Machine',
    otherwise: 'all cores, from four on all but one',
    example: '2',
    help: 'threads of the wasm device',
  },
  workers: {
    ...integer(0, 256),
    group: 'Machine',
    otherwise: '1',
    example: '2',
    help: 'threads that read and augment images while the device computes; 0: none, the main thread does',
  },
  dataOnDevice: {
    ...choice('auto', 'on', 'off'),
    group: 'Machine',
    otherwise: 'auto',
    example: 'off',
    help: 'whether a GPU takes all training images to itself; auto: up to 512 MiB, with no augmentation but crop and flip',
  },
  revectorize: {
    ...toggle,
    group: 'Machine',
    otherwise: 'true',
    example: 'false',
    help: "do without V8's revectorizer, even where a test at the start finds it equal and faster",
  },

  syncBn: {
    ...toggle,
    off: true,
    group: 'Machine',
    example: 'true',
    help: 'batch normalisation over the rows of all ranks, not those of each: the result of one process with the same batch',
  },

  out: { ...text('DIR', 'the path of a folder'), group: 'Output', otherwise: 'runs', example: 'runs', help: 'folder that holds the runs' },
  name: {
    ...text('NAME', 'a name'),
    group: 'Output',
    otherwise: 'architecture, date and time',
    example: 'first',
    help: 'of the run folder; a second run of that name gets a suffix',
  },
  checkpointEvery: {
    placeholder: 'N|Nm',
    expected: 'a number of steps, or of minutes with an m behind it',
    parse: (value: string) => (/^[1-9]\d{0,8}m?$/.test(value) ? value : undefined),
    group: 'Output',
    otherwise: 'after each epoch only',
    example: '10m',
    help: 'save the last state also within epochs, every N steps or N minutes',
  },
  keepEvery: {
    ...integer(0),
    group: 'Output',
    otherwise: '0',
    example: '10',
    help: 'keep the state of every N-th epoch for good, beside the last and the best; 0: none',
  },
} as const satisfies Record<string, Option<unknown>>;

export type Key = keyof typeof OPTIONS;
type ValueOf<K extends Key> = NonNullable<ReturnType<(typeof OPTIONS)[K]['parse']>>;
/** These have no default: absent means what the help says. */
type OptionalKey =
  | 'dim'
  | 'depth'
  | 'kernel'
  | 'patch'
  | 'init'
  | 'dataUrl'
  | 'dataMemory'
  | 'limit'
  | 'threads'
  | 'workers'
  | 'name'
  | 'checkpointEvery';

/** A resolved configuration. */
export type Settings = { readonly arch: ArchitectureName } & { readonly [K in Exclude<Key, OptionalKey | 'arch'>]: ValueOf<K> } & {
  readonly [K in OptionalKey]?: ValueOf<K>;
};

/** `32` is short for `32x32`. */
function parseSize(value: string): string | undefined {
  const sides = value.split('x');
  const good = sides.length <= 2 && sides.every((side) => /^\d{1,4}$/.test(side) && within(Number(side), 1, 4096) !== undefined);
  return good ? value : undefined;
}

/** Sorted, so that equal lists are equal words. What the names mean, and which there are, the library knows. */
function parseAugment(value: string): string | undefined {
  return /^[a-z-]+(=[\d.]+)?(,[a-z-]+(=[\d.]+)?)*$/.test(value) ? value.split(',').sort().join(',') : undefined;
}

export const KEYS = Object.keys(OPTIONS) as Key[];

/** What measures the architecture `convmixer`. */
export const MEASURES = ['dim', 'depth', 'kernel', 'patch'] as const satisfies readonly Key[];

/** `weightDecay` → `weight-decay`: its flag without dashes and its key in files. */
export const spelling = (key: Key): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

export const KEY_OF = new Map(KEYS.map((key) => [spelling(key), key]));

/**
 * Adds the flags of the keys, all by default, to a command. Values stay text: `resolveSettings` reads them.
 * @param ofModel What the trained model says that the command takes: it goes before the defaults.
 */
export function addFlags(command: Command, keys: readonly Key[] = KEYS, ofModel: readonly Key[] = []): Command {
  const trains = keys === KEYS && ofModel.length === 0; // all settings, from nothing: `hybrid train`
  for (const key of keys) {
    const { placeholder, off, help, otherwise, group }: Option<unknown> = OPTIONS[key];
    const flags = placeholder ? `--${spelling(key)} <${placeholder}>` : `--${off ? '' : 'no-'}${spelling(key)}`;
    const usual = otherwise === PRESET && !keys.includes('recipe') ? SCRIPT : otherwise;
    // Without its architecture nothing is assumed of a model.
    const from = ofModel.includes(key) ? `that of the model${key === 'arch' ? '' : `, else ${usual}`}` : usual;
    const all = key === 'arch' && trains ? '; all: the first five one after the other' : '';
    const flag = new Flag(flags, placeholder && from ? `${help}${all} (default: ${from})` : help);
    command.addOption(flag.helpGroup(`${group}:`));
  }
  return command;
}

/** What the user gave for a command's options, by key; the values are text, or false for a switch that is off. */
export function givenFlags(command: Command): ReadonlyMap<Key, string> {
  return new Map(
    KEYS.filter((key) => command.getOptionValueSource(key) === 'cli').map((key) => [key, String(command.getOptionValue(key))]),
  );
}
