// Makes one complete configuration out of what the user gave.
// Precedence: flag, then configuration file, then the recipe's preset for the architecture, then the default here.

import type { Command } from 'commander';
import {
  architectureName,
  augmentOptions,
  type Dataset,
  HybridError,
  type ModelOptions,
  nearest,
  type Preset,
  presetFor,
  type Recipe,
} from '../runtime/index.ts';
import { givenFlags, KEY_OF, KEYS, type Key, OPTIONS, type Option, type Settings, spelling } from './options.ts';

const DEFAULTS = {
  arch: 'convmixer-2stage',
  dropout: 0.5,
  recipe: 'script',
  data: 'auto',
  imageSize: '32',
  maxBad: 0,
  valFraction: 0.1,
  augment: 'crop,flip',
  seed: 0n,
  onNan: 'stop',
  dataOnDevice: 'auto',
  keepEvery: 0,
  device: 'auto',
  precision: 'auto',
  revectorize: true,
  syncBn: false,
  out: 'runs',
} as const satisfies Partial<Settings>;

function presetSettings(preset: Preset) {
  return {
    epochs: preset.epochs,
    batch: preset.batch,
    lr: preset.learningRate,
    weightDecay: preset.weightDecay,
    schedule: preset.schedule.name,
    patience: preset.earlyStopping?.patience ?? 0,
    bnMomentum: preset.bnMomentum,
    recalibrateBn: preset.recalibrateBn,
    shuffle: preset.shuffle,
  } satisfies Partial<Settings>;
}

/** Options of `hybrid train` that are no settings of a run: no keys of a configuration. */
export const FLAGS_ONLY: readonly string[] = [
  ...['config', 'resume', 'allow-changed', 'dry-run', 'distributed', 'rank-timeout'],
  ...['trace', 'json', 'quiet', 'figures', 'tensorboard'],
];
const WHICH_KEYS =
  'Keys are the options of `hybrid train` under Model, Data, Training and Machine, and out, name, checkpoint-every and keep-every, without their dashes.';

/** Values of a configuration file, by key as it is spelled there. */
export interface FileValues {
  readonly path: string;
  readonly values: ReadonlyMap<unknown, unknown>;
}

/** The complete configuration. Throws E_USAGE with a line for everything that is wrong. */
export function resolveSettings(flags: ReadonlyMap<Key, string>, file?: FileValues): Settings {
  const problems: string[] = [];
  const remedies: string[] = [];
  const given: Record<string, unknown> = {};
  const accept = (key: Key, value: string, source: string) => {
    const { parse, expected, example }: Option<unknown> = OPTIONS[key];
    const parsed = parse(value);
    const more = key === 'augment' && parsed !== undefined ? problemOf(() => augmentOptions(value)) : undefined;
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
      if (option && option !== key && !(OPTIONS[option] as Option<unknown>).placeholder) {
        problems.push(`${file?.path} has the key ${key}, but a switch is written in the positive there`);
        remedies.push(`Write \`${name}: false\`.`);
        continue;
      }
      if (FLAGS_ONLY.includes(name)) {
        problems.push(`${file?.path} has the key ${key}, but that is of the call and not of the configuration`);
        remedies.push(`Give it as a flag, --${name === 'figures' ? 'no-figures' : name}. ${WHICH_KEYS}`);
        continue;
      }
      const near = nearest(String(key), KEY_OF.keys());
      problems.push(`${file?.path} has an unknown key ${quote(String(key))}${near ? `; did you mean ${near}?` : ''}`);
      remedies.push(WHICH_KEYS);
    } else if (typeof value === 'object') {
      problems.push(
        `${spelling(known)} in ${file?.path} is ${value === null ? 'empty' : 'a list or a map'}, but must be ${OPTIONS[known].expected}`,
      );
      remedies.push(`Give ${OPTIONS[known].expected}, such as ${OPTIONS[known].example}.`);
    } else accept(known, String(value), `${spelling(known)} in ${file?.path}`);
  }
  for (const [key, value] of flags) accept(key, value, `--${spelling(key)}`);
  if (problems.length > 0) throw new HybridError('E_USAGE', problems.join('\n'), [...new Set(remedies)].join('\n'));

  const arch = (given.arch as string | undefined) ?? DEFAULTS.arch;
  const recipe = (given.recipe as Recipe | undefined) ?? DEFAULTS.recipe;
  return { ...DEFAULTS, ...presetSettings(presetFor(architectureName(arch), recipe)), ...given } as Settings;
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
  const entries = KEYS.filter((key) => settings[key] !== undefined).map((key) => {
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
export function modelOptions({ dropout, dim, depth, kernel, patch }: Settings, { shape, classes }: ImageKind): ModelOptions {
  return { input: shape, classes: classes.length, dropout, dim, depth, kernel, patch };
}

/** Text from a user, safe to print: escaped and of bounded length. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}
