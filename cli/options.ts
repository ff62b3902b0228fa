// What a run can be told on the command line: the library's tables of settings, and what is an argument there or a matter of the command
// line alone. Flags, the configuration file and the configuration written to the run folder all come from here; a key of the file is the
// flag without its dashes. How they come together is in settings.ts. Loads nothing but commander and the tables: `--help` needs this file.

import { type Command, Option as CommandOption } from 'commander';
import type { ArchitectureName } from '../runtime/index.ts';
import {
  camelCase,
  choice,
  DATA_SETTINGS,
  DEVICE_SETTINGS,
  type Flag,
  type FlagGroup,
  GROUP_SETTINGS,
  kebabCase,
  MODEL_SETTINGS,
  numberList,
  PART_SETTINGS,
  type PlainOf,
  PRESET_SETTINGS,
  type SettingTable,
  TRAIN_SETTINGS,
  text,
  usualPlain,
} from '../runtime/settings.ts';

/** What the library takes as an argument, and what only the command line knows. */
const OWN = {
  arch: {
    ...{ name: 'arch', group: 'Model', kind: text('ARCH', 'the name of an architecture') },
    example: 'convmixer-2stage',
    usual: 'convmixer-2stage',
    help: 'convmixer-256-8, conv-pooling, convmixer-2stage-flatten, convmixer-2stage, convmixer-256-8-block-residual, convmixer, resnet-20, efficientnet-lite0 or airbench',
  },
  model: {
    ...{ name: 'model', group: 'Model', kind: text('FILE', 'a file that Keras wrote, an ONNX file, a module, or a run') },
    example: 'net.keras',
    otherwise: 'the architecture',
    help: 'network to train instead of an architecture: a .keras or .onnx file, or a run or file of such a network, with its weights; or a module (.mjs, .ts) whose default export is a network',
  },
  init: {
    ...{ name: 'init', group: 'Model', kind: text('MODEL', 'a run folder, a file of weights, or a model that comes with hybrid') },
    example: 'model.safetensors',
    otherwise: "Keras' initialisers",
    help: 'initial weights, and without --arch also their network: a run, a file as for eval, or a model bundled with hybrid; layers that do not fit the data are initialised randomly. none: ignore the weights of --model',
  },
  mean: {
    ...{ name: 'mean', group: 'Model', kind: numberList('one number, or one for each channel, separated by commas') },
    example: '0.485,0.456,0.406',
    otherwise: "ImageNet's for three channels, else 0",
    help: 'mean of the pixels, on a scale from 0 to 1, for an ONNX file that takes floats',
  },
  std: {
    ...{ name: 'std', group: 'Model', kind: numberList('one number above 0, or one for each channel, separated by commas', 0) },
    example: '0.229,0.224,0.225',
    otherwise: "ImageNet's for three channels, else 1",
    help: 'standard deviation of the pixels, for an ONNX file that takes floats; 0.00392157 keeps pixels from 0 to 255 as they are',
  },
  data: {
    ...{ name: 'data', group: 'Data', kind: text('auto|cifar10|cifar100|synthetic|PATH', 'auto, cifar10, cifar100, synthetic or a path') },
    example: 'cifar10',
    usual: 'auto',
    help: "data set: a name, a folder (of class folders, images and a table of labels, CIFAR, MNIST, Parquet files, WebDataset shards), an .npz, .parquet, .tar, packed file or CIFAR's .tar.gz, or a pattern such as train-*.tar; auto: CIFAR-10 from ./data, the cache, Keras' folder, the network, else synthetic",
  },
  recipe: {
    ...{ name: 'recipe', group: 'Training', kind: choice('script', 'fast', 'speedrun', 'small', 'tune') },
    example: 'fast',
    otherwise: 'tune for --init with other classes, small for a folder of at most 5,000 images, else script',
    help: 'defaults of the options below; script: as in the original script for the architecture; fast: one cycle of ten epochs, 24 for conv-pooling; speedrun: ten epochs for airbench, on all training images; small: for a few hundred images; tune: train the head first, then all layers',
  },
  device: {
    ...{ name: 'device', group: 'Machine', kind: choice('auto', 'wasm', 'webgpu', 'reference') },
    example: 'wasm',
    usual: 'auto',
    help: 'compute device',
  },
  out: {
    ...{ name: 'out', group: 'Output', kind: text('DIR', 'the path of a folder') },
    example: 'runs',
    usual: 'runs',
    help: 'folder that holds the runs',
  },
  name: {
    ...{ name: 'name', group: 'Output', kind: text('NAME', 'a name') },
    example: 'first',
    otherwise: 'architecture, date and time',
    help: 'name of the run folder; a second run of that name gets a suffix',
  },
} as const satisfies Record<string, Flag>;

const TABLES = [
  MODEL_SETTINGS,
  DATA_SETTINGS,
  PART_SETTINGS,
  DEVICE_SETTINGS,
  TRAIN_SETTINGS,
  GROUP_SETTINGS,
] as const satisfies readonly SettingTable[];

/** A resolved configuration: plain values by the flag in camel case. */
export interface Settings
  extends PlainOf<typeof MODEL_SETTINGS>,
    PlainOf<typeof DATA_SETTINGS>,
    PlainOf<typeof PART_SETTINGS>,
    PlainOf<typeof DEVICE_SETTINGS>,
    PlainOf<typeof TRAIN_SETTINGS>,
    PlainOf<typeof GROUP_SETTINGS> {
  readonly arch: ArchitectureName;
  readonly model?: string;
  readonly init?: string;
  readonly mean?: string;
  readonly std?: string;
  readonly data: string;
  readonly recipe: 'script' | 'fast' | 'speedrun' | 'small' | 'tune';
  readonly device: 'auto' | 'wasm' | 'webgpu' | 'reference';
  readonly out: string;
  readonly name?: string;
}

/** A flag in camel case: `weightDecay` of `--weight-decay`. */
export type Key = keyof Settings;

/** What is meant where nobody says, as far as it depends on nothing. */
export const USUAL = Object.assign(
  Object.fromEntries(Object.entries(OWN).flatMap(([key, flag]) => ('usual' in flag ? [[key, flag.usual]] : []))),
  ...TABLES.map(usualPlain),
) as Partial<Settings>;

const GROUPS: readonly FlagGroup[] = ['Model', 'Data', 'Training', 'Machine', 'Output'];

/** All flags by key, in the order of the help. */
export const OPTIONS = Object.fromEntries(
  [...Object.values<Flag>(OWN), ...TABLES.flatMap((table: SettingTable) => Object.values(table).flatMap(({ flag }) => flag ?? []))]
    .sort((a, b) => GROUPS.indexOf(a.group) - GROUPS.indexOf(b.group))
    .map((flag) => [camelCase(flag.name), flag]),
) as { readonly [K in Key]: Flag<string, NonNullable<Settings[K]>> };

export const KEYS = Object.keys(OPTIONS) as Key[];

/** What measures the architecture `convmixer`. */
export const MEASURES = ['dim', 'depth', 'kernel', 'patch', 'activation', 'epsilon'] as const satisfies readonly Key[];

/** Of a run's configuration: which of its images were held back for validation. */
export const PART_KEYS = ['val-fraction', 'split', 'seed'] as const;

/** Of a run's configuration: how its data is read, for the commands that read it again. */
export const SOURCE_KEYS = [
  'crop',
  'interpolation',
  'max-bad',
  'max-megapixels',
  'image-array',
  'labels',
  'label-column',
  'follow-links',
] as const;

/** `weightDecay` → `weight-decay`: its flag without dashes and its key in files. */
export const spelling = (key: Key): string => kebabCase(key);

export const KEY_OF = new Map(KEYS.map((key) => [spelling(key), key]));

/** Flag by the name of its setting in the library. */
export const FLAG_OF: ReadonlyMap<string, string> = new Map(
  TABLES.flatMap((table: SettingTable) => Object.entries(table).flatMap(([name, { flag }]) => (flag ? [[name, flag.name] as const] : []))),
);

/** Options of `hybrid train` that are no settings of a run: no keys of a configuration. */
export const FLAGS_ONLY: readonly string[] = [
  ...['config', 'seeds', 'resume', 'allow-changed', 'dry-run', 'distributed', 'rank-timeout'],
  ...['trace', 'json', 'quiet', 'figures', 'tensorboard'],
];

/** Keys whose default is a matter of the recipe. */
const OF_RECIPE: ReadonlySet<string> = new Set(
  PRESET_SETTINGS.flatMap((name) => {
    const { flag } = TRAIN_SETTINGS[name];
    return flag ? [camelCase(flag.name)] : [];
  }),
);

/** What the help says of a default. Undefined: nothing. */
function usualText(key: Key, hasRecipe: boolean): string | undefined {
  if (OF_RECIPE.has(key)) return hasRecipe ? 'the recipe, see --recipe' : 'that of the original script for the architecture';
  return OPTIONS[key].otherwise ?? (USUAL[key] === undefined ? undefined : `${USUAL[key]}`);
}

/**
 * Adds the flags of the keys, all by default, to a command. Values stay text: `resolveSettings` reads them.
 * @param ofModel What the trained model says that the command takes: it goes before the defaults.
 */
export function addFlags(command: Command, keys: readonly Key[] = KEYS, ofModel: readonly Key[] = []): Command {
  const trains = keys === KEYS && ofModel.length === 0; // all settings, from nothing: `hybrid train`
  for (const key of keys) {
    const { kind, help, group } = OPTIONS[key];
    const { placeholder } = kind;
    const flags = placeholder ? `--${spelling(key)} <${placeholder}>` : `--${USUAL[key] === true ? 'no-' : ''}${spelling(key)}`;
    const usual = usualText(key, keys.includes('recipe'));
    // Without its architecture nothing is assumed of a model.
    const from = ofModel.includes(key) ? `that of the model${key === 'arch' ? '' : `, else ${usual}`}` : usual;
    const all = key === 'arch' && trains ? '; all: the first five one after the other' : '';
    const flag = new CommandOption(flags, placeholder && from ? `${help}${all} (default: ${from})` : help);
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
