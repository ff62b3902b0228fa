// Makes one complete configuration out of what the user gave.
// Precedence: flag, then configuration file, then the recipe's preset for the architecture, then the default here.

import { homedir } from 'node:os';
import type { Command } from 'commander';
import type { Preprocessing } from '../runtime/entries/data.ts';
import { architectureName, nearest, type SavedWeights, tuneStore, userCacheDir } from '../runtime/entries/internal.ts';
import { presetFor, type Recipe, recipeAugment, recipeValFraction } from '../runtime/entries/runs.ts';
import { type Dataset, type DeviceOptions, HybridError, type Model, type ModelOptions, type TrainSettings } from '../runtime/index.ts';
import {
  DATA_SETTINGS,
  DEVICE_SETTINGS,
  MODEL_SETTINGS,
  plainFrom,
  TRAIN_SETTINGS,
  type ValuesOf,
  valuesFrom,
} from '../runtime/settings.ts';
import type { CliIo } from './io.ts';
import { FLAGS_ONLY, givenFlags, KEY_OF, KEYS, type Key, OPTIONS, type Settings, spelling, USUAL } from './options.ts';

const WHICH_KEYS =
  'Keys are the options of `hybrid train` under Model, Data, Training and Machine, and out, name, checkpoint-every and keep-every, without their dashes.';

/** Values of a configuration file, by key as it is spelled there. */
export interface FileValues {
  readonly path: string;
  readonly values: ReadonlyMap<unknown, unknown>;
}

/** What is known when the configuration is resolved, besides what was given. */
export interface Known {
  /** Settings that the model that is begun with has, where nobody gives others. */
  readonly ofModel?: Partial<Settings>;
  /** The recipe where nobody names one; `script` by default. */
  readonly recipe?: Recipe;
  /** Of training. */
  readonly images?: number;
}

/** The complete configuration. Throws E_USAGE with a line for everything that is wrong. */
export function resolveSettings(
  flags: ReadonlyMap<Key, string>,
  file?: FileValues,
  { ofModel, recipe: usual = 'script', images }: Known = {},
): Settings {
  const problems: string[] = [];
  const remedies: string[] = [];
  const given: Record<string, unknown> = {};
  const accept = (key: Key, value: string, source: string) => {
    const { kind, example, read } = OPTIONS[key];
    const { expected } = kind;
    const parsed = kind.parse(value);
    const more = parsed === undefined ? undefined : problemOf(() => read?.(parsed as never));
    if (more) {
      problems.push(`${source} is ${quote(value)}: ${more.message}`);
      remedies.push(more.remedy);
    } else if (parsed !== undefined) given[key] = parsed;
    else {
      problems.push(`${source} is ${quote(value)}, but must be ${expected}`);
      remedies.push(`Give ${expected}, such as ${example}.`);
    }
  };

  for (const [key, value] of file?.values ?? []) {
    const known = KEY_OF.get(String(key));
    if (!known) {
      const name = String(key).replace(/^no-/, '');
      const option = KEY_OF.get(name);
      if (option && option !== key && !OPTIONS[option].kind.placeholder) {
        problems.push(`${file?.path} has the key ${key}, but a switch is written in the positive there`);
        remedies.push(`Write \`${name}: false\`.`);
        continue;
      }
      if (FLAGS_ONLY.includes(name)) {
        problems.push(`${file?.path} has the key ${key}, which is a command-line flag and cannot be set in a configuration file`);
        remedies.push(`Give it as a flag, --${name === 'figures' ? 'no-figures' : name}. ${WHICH_KEYS}`);
        continue;
      }
      const near = nearest(String(key), KEY_OF.keys());
      problems.push(`${file?.path} has an unknown key ${quote(String(key))}${near ? `; did you mean ${near}?` : ''}`);
      remedies.push(WHICH_KEYS);
    } else if (typeof value === 'object') {
      problems.push(
        `${spelling(known)} in ${file?.path} is ${value === null ? 'empty' : 'a list or a map'}, but must be ${OPTIONS[known].kind.expected}`,
      );
      remedies.push(`Give ${OPTIONS[known].kind.expected}, such as ${OPTIONS[known].example}.`);
    } else accept(known, String(value), `${spelling(known)} in ${file?.path}`);
  }
  for (const [key, value] of flags) accept(key, value, `--${spelling(key)}`);
  if (problems.length > 0) throw new HybridError('E_USAGE', problems.join('\n'), [...new Set(remedies)].join('\n'));

  const { arch, recipe } = { ...USUAL, recipe: usual, ...ofModel, ...given } as Settings;
  const preset = plainFrom(TRAIN_SETTINGS, presetFor(architectureName(arch), recipe, images));
  const augment = recipeAugment(recipe, ({ ...preset, ...given } as Partial<Settings>).freeze ?? 'none');
  const valFraction = recipeValFraction(recipe);
  const ofRecipe = { ...preset, ...(augment !== undefined && { augment }), ...(valFraction !== undefined && { valFraction }) };
  return { ...USUAL, ...ofRecipe, ...ofModel, ...given, recipe } as Settings;
}

/** What the library finds wrong with a value that only it understands. */
function problemOf(use: () => unknown): HybridError | undefined {
  try {
    use();
    return undefined;
  } catch (error) {
    if (error instanceof HybridError) return error;
    throw error;
  }
}

/** The configuration as the run folder keeps it: plain JSON that `-c` reads. */
export function toConfig(settings: Settings): Record<string, string | number | boolean> {
  // A network from a file is of no architecture.
  const keys = KEYS.filter((key) => settings[key] !== undefined && !(key === 'arch' && settings.model !== undefined));
  const entries = keys.map((key) => {
    const value = settings[key] as string | number | boolean | bigint;
    // JSON readers round integers beyond 2^53: such a seed is kept as text.
    if (typeof value !== 'bigint') return [spelling(key), value] as const;
    return [spelling(key), value <= Number.MAX_SAFE_INTEGER ? Number(value) : `${value}`] as const;
  });
  return Object.fromEntries(entries);
}

/** Of a command without a configuration file; `given` are those that are arguments and no flags. */
export function settingsOf(command: Command, given: { readonly arch?: string; readonly data?: string } = {}): Settings {
  return resolveSettings(new Map([...givenFlags(command), ...(Object.entries(given) as [Key, string][])]));
}

/** What images a model is for. */
type ImageKind = Pick<Dataset, 'shape' | 'classes'>;

export const CIFAR10: ImageKind = { shape: [32, 32, 3], classes: Array.from({ length: 10 }, (_, i) => `class ${i}`) };

/** The model's part of the settings, for images of a dataset. */
export function modelOptions(settings: Settings, { shape, classes }: ImageKind): ModelOptions {
  return { input: shape, classes: classes.length, ...valuesFrom(MODEL_SETTINGS, own(settings)) };
}

/** The part of a run's settings. What no flag says comes from the recipe. */
export const trainSettings = (settings: Settings): TrainSettings =>
  valuesFrom(TRAIN_SETTINGS, own(settings), presetFor(settings.arch, settings.recipe));

/** The part of the source of images. */
export const sourceSettings = (settings: Settings): ValuesOf<typeof DATA_SETTINGS> => valuesFrom(DATA_SETTINGS, own(settings));

/** How pictures become images; undefined: in the usual way. */
export function preprocessingOf(settings: Settings): Preprocessing | undefined {
  const { crop, interpolation } = sourceSettings(settings);
  return crop === 1 && interpolation === 'lanczos' ? undefined : { crop, interpolation };
}

/** How pictures become the images that a model takes: their size is that of its input, the rest travels with its weights. */
export const imageSettings = ({ model, preprocessing: { crop, interpolation } = {} }: ImagesOf): Partial<Settings> => ({
  imageSize: model.input.slice(0, 2).join('x'),
  ...(crop !== undefined && { crop }),
  ...(interpolation !== undefined && { interpolation }),
});
/** Of what is known of weights: how their images are read, and the keys of their run's configuration that count. */
export function keptSettings(
  { trained, config }: Pick<SavedWeights, 'trained' | 'config'>,
  keys: ReadonlySet<string> = new Set(),
): Map<unknown, unknown> {
  const images = Object.entries(trained ? imageSettings(trained) : {}).map(([key, value]) => [spelling(key as Key), value] as const);
  // Runs from before there was a choice have the first images as validation.
  const kept = Object.entries(config ? { split: 'first', ...config } : {}).filter(([key]) => keys.has(key));
  return new Map<unknown, unknown>([...images, ...kept]);
}

type ImagesOf = { readonly model: Pick<Model, 'input'>; readonly preprocessing?: Preprocessing };

/** The part of the device. */
export const deviceSettings = (settings: Settings): ValuesOf<typeof DEVICE_SETTINGS> => valuesFrom(DEVICE_SETTINGS, own(settings));

/** Where a GPU's choices of kernels are kept. */
export const tuning = ({ env, files }: Pick<CliIo, 'env' | 'files'>): Pick<DeviceOptions, 'tuneStore'> => ({
  tuneStore: tuneStore(userCacheDir(process.platform, env, homedir()), files),
});

const own = (settings: Settings): Readonly<Record<string, unknown>> => ({ ...settings });

/** Text from a user, safe to print: escaped and of bounded length. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}
