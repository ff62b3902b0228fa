import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DATA_SETTINGS } from '../../app/sources/settings.ts';
import { readConfigFile } from '../../cli/config-file.ts';
import type { CliIo } from '../../cli/io.ts';
import { FLAGS_ONLY, KEY_OF, KEYS, type Key, OPTIONS, spelling } from '../../cli/options.ts';
import { describeProgram } from '../../cli/program.ts';
import { CIFAR10, deviceSettings, modelOptions, resolveSettings, sourceSettings, toConfig, trainSettings } from '../../cli/settings.ts';
import { inFlags } from '../../cli/spelling.ts';
import { camelCase, type SettingTable } from '../../runtime/base/setting.ts';
import { DEVICE_SETTINGS } from '../../runtime/device-settings.ts';
import { DEVICES } from '../../runtime/entries/internal.ts';
import { presetFor, RECIPES, SCHEDULES } from '../../runtime/entries/runs.ts';
import { ARCHITECTURES, HybridError } from '../../runtime/index.ts';
import { MODEL_SETTINGS } from '../../runtime/model/settings.ts';
import { TRAIN_SETTINGS } from '../../runtime/train/settings.ts';
import { tempFolder } from '../support/temp-folder.ts';

const flags = (values: Partial<Record<Key, string>> = {}) => new Map(Object.entries(values)) as Map<Key, string>;
const file = (values: Record<string, unknown>) => ({ path: 'c.yaml', values: new Map<unknown, unknown>(Object.entries(values)) });

function refusal(run: () => unknown): HybridError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(HybridError);
    expect((error as HybridError).code).toBe('E_USAGE');
    expect((error as HybridError).remedy).not.toBe('');
    return error as HybridError;
  }
  throw new Error('nothing was refused');
}

async function read(text: string | Uint8Array, name = 'c.yaml') {
  const cwd = tempFolder();
  writeFileSync(join(cwd, name), text);
  return readConfigFile(name, { cwd } as CliIo);
}

describe('precedence', () => {
  test('flag, then file, then preset, then default', () => {
    const preset = presetFor('convmixer-2stage');
    expect(resolveSettings(flags())).toMatchObject({
      arch: 'convmixer-2stage',
      data: 'auto',
      augment: 'crop,flip',
      epochs: preset.epochs,
      lr: preset.learningRate,
      patience: 3,
      seed: 0n,
      shuffle: true,
      revectorize: true,
    });
    expect(resolveSettings(flags(), file({ epochs: 5, lr: 0.5 }))).toMatchObject({ epochs: 5, lr: 0.5, batch: preset.batch });
    expect(resolveSettings(flags({ lr: '0.25' }), file({ epochs: 5, lr: 0.5 }))).toMatchObject({ epochs: 5, lr: 0.25 });
  });

  test('the preset is that of the architecture that wins', () => {
    expect(resolveSettings(flags(), file({ arch: 'conv-pooling' })).patience).toBe(4);
    expect(resolveSettings(flags({ arch: 'convmixer-2stage' }), file({ arch: 'conv-pooling' })).patience).toBe(3);
  });

  test('a recipe gives the defaults of training, from a flag or a file', () => {
    const fast = presetFor('convmixer-2stage', 'fast');
    const expected = { schedule: 'one-cycle', epochs: fast.epochs, lr: fast.learningRate, weightDecay: fast.weightDecay, patience: 0 };
    expect(resolveSettings(flags({ recipe: 'fast' }))).toMatchObject(expected);
    expect(resolveSettings(flags(), file({ recipe: 'fast', epochs: 3 }))).toMatchObject({ ...expected, epochs: 3 });
    expect(resolveSettings(flags({ recipe: 'script' }), file({ recipe: 'fast' })).schedule).toBe('constant');
    expect(resolveSettings(flags({ recipe: 'fast', arch: 'conv-pooling' }))).toMatchObject({
      epochs: 24,
      lr: 0.002,
      schedule: 'one-cycle',
    });
  });

  test('what is not given stays absent where there is no default', () => {
    const settings = resolveSettings(flags());
    for (const key of ['limit', 'threads', 'init', 'name', 'dim'] as const) expect(settings[key]).toBeUndefined();
  });
});

describe('values', () => {
  const bad: Partial<Record<Key, readonly string[]>> = {
    lr: ['abc', '', 'NaN', '-1', '0', '1e309', '1e39', 'Infinity', '0x10', '1,5', ' 1', '1e-400'],
    labelSmoothing: ['1', '-0.1'],
    optimizer: ['adam', 'adamw:beta2=1', 'adamw:beta3=0.5', 'adamw:', ''],
    weightDecay: ['-0.1', 'NaN', '1e309'],
    epochs: ['0', '-1', '1.5', '1e3', '99999999999', 'ten', '٣'],
    batch: ['0', '12.0', ''],
    limit: ['0', '-5'],
    valFraction: ['1', '-0.1', 'half'],
    dropout: ['1', '1.5', 'nan'],
    bnMomentum: ['1', '-1'],
    seed: ['-1', '1.5', '18446744073709551616', 'x'],
    augment: ['', 'flop', 'flip,flip', 'none,flip', 'crop;flip'],
    recipe: ['', 'slow', 'constructor'],
    schedule: ['Cosine', 'linear', 'constructor'],
    revectorize: ['no'],
    shuffle: ['yes', '__proto__', 'toString'],
    device: ['gpu'],
    threads: ['0', '257'],
    out: ['', 'a\0b'],
    patience: ['-1'],
  };
  for (const [key, values] of Object.entries(bad) as [Key, readonly string[]][]) {
    test.each(values)(`--${spelling(key)} %j is refused by name`, (value) => {
      expect(refusal(() => resolveSettings(flags({ [key]: value }))).message).toContain(`--${spelling(key)} is ${JSON.stringify(value)}`);
    });
  }

  test('the example that each option gives is accepted', () => {
    for (const key of KEYS) expect(OPTIONS[key].kind.parse(OPTIONS[key].example), key).toBeDefined();
  });

  test.each([
    ['lr', '1e-3', 0.001],
    ['lr', '.5', 0.5],
    ['lr', '+2.', 2],
    ['augment', 'flip,crop', 'crop,flip'],
    ['augment', 'none', 'none'],
    ['seed', '18446744073709551615', 18446744073709551615n],
    ['valFraction', '0', 0],
    ['shuffle', 'false', false],
    ['revectorize', 'false', false],
    ['patience', '0', 0],
  ] as const)('--%s %s is %s', (key, value, expected) => {
    expect(resolveSettings(flags({ [key]: value }))[key]).toBe(expected);
  });

  test('all mistakes are told at once, a line each', () => {
    const { message } = refusal(() => resolveSettings(flags({ epochs: '0' }), file({ lr: 'abc', bacth: 3 })));
    expect(message.split('\n')).toEqual([
      'lr in c.yaml is "abc", but must be a number above 0',
      'c.yaml has an unknown key "bacth"; did you mean batch?',
      expect.stringContaining('--epochs is "0"'),
    ]);
  });

  test('an unknown architecture is answered with the nearest one', () => {
    expect(refusal(() => resolveSettings(flags({ arch: 'convmixer-2stge' }))).message).toContain('did you mean convmixer-2stage?');
  });
});

test('the table agrees with the library about names', () => {
  for (const name of ARCHITECTURES) expect(OPTIONS.arch.help).toContain(name);
  expect(OPTIONS.device.kind.placeholder?.split('|')).toEqual([...DEVICES]);
  expect(OPTIONS.schedule.kind.placeholder?.split('|').map((word) => word.split(':')[0])).toEqual([...SCHEDULES]);
  expect(OPTIONS.recipe.kind.placeholder?.split('|')).toEqual([...RECIPES]);
});

test('a resolved configuration comes back through a file', async () => {
  const given = flags({
    arch: 'convmixer',
    dim: '8',
    seed: '18446744073709551615',
    shuffle: 'false',
    augment: 'flip',
    name: 'a b',
    limit: '7',
    lr: '1e-7',
  });
  const settings = resolveSettings(given);
  const config = await read(JSON.stringify(toConfig(settings), null, 2), 'config.json');
  expect(resolveSettings(flags(), config)).toEqual(settings);
  expect(toConfig(settings)).toMatchObject({ seed: '18446744073709551615', 'weight-decay': 0.0001 });
  expect(toConfig(resolveSettings(flags({ seed: '5' }))).seed).toBe(5);
});

test('what is no key of a configuration is known: every other option of train is one', () => {
  const program = describeProgram({ stdout: { write() {} }, stderr: { write() {} }, env: {}, cwd: '' }, () => {});
  const options = program.commands.find((command) => command.name() === 'train')?.options ?? [];
  const names = options.map(({ long }) => String(long).replace(/^--(no-)?/, ''));
  expect(names.filter((name) => !KEY_OF.has(name)).sort()).toEqual([...FLAGS_ONLY].sort());
  // As help and documents say it.
  const keys = options.filter(({ helpGroupHeading: group }) => group !== 'Run:' && group !== 'Output:').map(({ long }) => long);
  const output = KEYS.filter((key) => OPTIONS[key].group === 'Output').map(spelling);
  expect(output).toEqual(['out', 'name', 'checkpoint-every', 'keep-every']);
  expect(keys).toHaveLength(KEYS.length - output.length);
});

type Reach = readonly [part: 'command' | 'model' | 'source' | 'device' | 'train', text: string, value: unknown, setting?: string];

/** Flags that the library gets as they are: their settings, with the examples of the tables. A new setting of this kind needs no line below. */
const PLAIN = Object.fromEntries(
  Object.entries({ model: MODEL_SETTINGS, source: DATA_SETTINGS, device: DEVICE_SETTINGS, train: TRAIN_SETTINGS }).flatMap(
    ([part, table]) =>
      Object.entries(table as SettingTable).flatMap(([name, { flag }]) =>
        flag && !flag.read ? [[camelCase(flag.name), [part, flag.example, flag.kind.parse(flag.example), name]]] : [],
      ),
  ),
) as Partial<Record<Key, Reach>>;

/** What the other flags mean to the library: where they go, and as what; of some that are plain, too, what they are as a value. */
const REACHES: Partial<Record<Key, Reach>> = {
  ...PLAIN,
  arch: ['command', 'convmixer-256-8', 'convmixer-256-8'],
  model: ['command', 'net.keras', 'net.keras'],
  init: ['command', 'a', 'a'],
  mean: ['command', '0.5', '0.5'],
  std: ['command', '0.5,0.25,1', '0.5,0.25,1'],
  data: ['command', 'cifar100', 'cifar100'],
  recipe: ['command', 'fast', 'fast'],
  device: ['command', 'wasm', 'wasm'],
  out: ['command', 'x', 'x'],
  name: ['command', 'x', 'x'],
  dim: ['model', '64', 64, 'dim'],
  depth: ['model', '3', 3, 'depth'],
  kernel: ['model', '7', 7, 'kernel'],
  patch: ['model', '4', 4, 'patch'],
  activation: ['model', 'relu', 'relu', 'activation'],
  epsilon: ['model', '1e-5', 1e-5, 'epsilon'],
  dropout: ['model', '0.25', 0.25, 'dropout'],
  dataUrl: ['source', 'http://x', 'http://x', 'url'],
  imageSize: ['source', '40x48', [40, 48], 'imageSize'],
  crop: ['source', '0.875', 0.875, 'crop'],
  interpolation: ['source', 'cubic', 'cubic', 'interpolation'],
  imageArray: ['source', 'x', 'x', 'images'],
  labels: ['source', 'a.csv', 'a.csv', 'labels'],
  labelColumn: ['source', 'x', 'x', 'labelColumn'],
  maxMegapixels: ['source', '200', 200_000_000, 'maxPixels'],
  followLinks: ['source', 'true', true, 'followLinks'],
  maxBad: ['source', '3', 3, 'maxBad'],
  dataMemory: ['source', '2', 2 ** 21, 'memoryBudget'],
  valFraction: ['command', '0.25', 0.25],
  split: ['command', 'stratified', 'stratified'],
  limit: ['command', '50', 50],
  precision: ['device', 'f16', 'f16', 'precision'],
  threads: ['device', '3', 3, 'threads'],
  revectorize: ['device', 'false', false, 'revectorize'],
  epochs: ['train', '7', 7, 'epochs'],
  batch: ['train', '32', 32, 'batch'],
  lr: ['train', '0.5', 0.5, 'learningRate'],
  classWeights: ['train', 'balanced', 'balanced', 'classWeights'],
  normBiasRate: ['train', '64', 64, 'normBiasRate'],
  accumulate: ['train', '4', 4, 'accumulate'],
  ema: ['train', '0.9', 0.9, 'ema'],
  tta: ['train', 'shift', 'shift', 'tta'],
  lookahead: ['train', '5', 5, 'lookahead'],
  freeze: ['train', '2', 2, 'freeze'],
  optimizer: ['train', 'adamw:beta2=0.95', { name: 'adamw', beta2: 0.95 }, 'optimizer'],
  weightDecay: ['train', '0.25', 0.25, 'weightDecay'],
  schedule: ['train', 'cosine', { name: 'cosine' }, 'schedule'],
  patience: ['train', '9', { patience: 9 }, 'earlyStopping'],
  augment: ['train', 'flip', { crop: 0, flip: true }, 'augment'],
  augmentVersions: ['train', '3', 3, 'augmentVersions'],
  sampling: ['train', 'balanced', 'balanced', 'sampling'],
  shuffle: ['train', 'false', false, 'shuffle'],
  seed: ['train', '42', 42n, 'seed'],
  bnMomentum: ['train', '0.5', 0.5, 'bnMomentum'],
  recalibrateBn: ['train', '20', 20, 'recalibrateBn'],
  onNan: ['train', 'rollback', 'rollback', 'onNan'],
  workers: ['train', '2', 2, 'workers'],
  dataOnDevice: ['train', 'off', 'off', 'dataOnDevice'],
  keepFeatures: ['train', 'false', false, 'keepFeatures'],
  checkpointEvery: ['train', '10m', { minutes: 10 }, 'checkpointEvery'],
  keepEvery: ['train', '5', 5, 'keepEvery'],
  syncBn: ['command', 'true', true],
};

describe('every flag reaches what it is for, with its value', () => {
  const parts = (given: ReadonlyMap<Key, string>): Record<string, Record<string, unknown>> => {
    const settings = resolveSettings(given);
    return {
      command: { ...settings },
      model: { ...modelOptions(settings, CIFAR10) },
      source: { ...sourceSettings(settings) },
      device: { ...deviceSettings(settings) },
      train: { ...trainSettings(settings) },
    };
  };
  const usual = parts(flags());
  test.each(KEYS.map((key) => [key] as const))('%s', (key) => {
    expect(REACHES[key], `what --${spelling(key)} means to the library is in REACHES`).toBeDefined();
    const [where, text, value, name = key] = REACHES[key] as Reach;
    expect(usual[where][name]).not.toEqual(value);
    const changed = parts(flags({ [key]: text }));
    expect(changed[where][name]).toEqual(value);
    // And nothing else, but what a recipe or an architecture decides.
    for (const [part, values] of Object.entries(changed)) {
      if (part === 'command' || key === 'recipe' || key === 'arch') continue;
      for (const [other, one] of Object.entries(values))
        if (part !== where || other !== name) expect(one, `${part}.${other}`).toEqual(usual[part][other]);
    }
  });

  test('minutes and steps are told apart, and no patience is none', () => {
    expect(parts(flags({ checkpointEvery: '10' })).train.checkpointEvery).toEqual({ steps: 10 });
    expect(parts(flags({ patience: '0' })).train.earlyStopping).toBeNull();
    expect(parts(flags({ imageSize: '40' })).source.imageSize).toEqual([40, 40]);
  });

  test('what has no flag comes from the recipe', () => {
    expect(usual.train.plateau).toEqual(presetFor('convmixer-2stage').plateau);
    expect(parts(flags({ recipe: 'fast' })).train.plateau).toBeNull();
  });
});

test('sentences of the library name flags here', () => {
  expect(inFlags('Use a smaller batch: `batch: 48` is the largest that fits.')).toBe(
    'Use a smaller batch: --batch 48 is the largest that fits.',
  );
  expect(inFlags('Try a smaller `learningRate`, or `hybrid doctor`; `earlyStopping`, `url`, `memoryBudget`, `nothing`')).toBe(
    'Try a smaller --lr, or `hybrid doctor`; --patience, --data-url, --data-memory, `nothing`',
  );
  expect(inFlags('`shuffle: false`, `syncBatchNorm`, `allowChanged: lr,seed`, `device: wasm`')).toBe(
    '--no-shuffle, --sync-bn, --allow-changed lr,seed, --device wasm',
  );
});

describe('the configuration file', () => {
  test('is YAML or JSON, with tabs, comments or a byte order mark', async () => {
    for (const text of [
      'lr: 0.5\n# note\nepochs: 3\n',
      '{"lr": 0.5, "epochs": 3}',
      '\uFEFFlr: 0.5\nepochs: 3',
      '{\n\t"lr": 0.5,\n\t"epochs": 3\n}\n',
    ]) {
      expect(resolveSettings(flags(), await read(text))).toMatchObject({ lr: 0.5, epochs: 3 });
    }
  });

  test.each([
    ['seed: 18446744073709551615', { seed: 18446744073709551615n }],
    ['seed: 9007199254740993', { seed: 9007199254740993n }],
    ['{"seed": 9007199254740993, "epochs": 3}', { seed: 9007199254740993n, epochs: 3 }],
    ['lr: 1e-3\ndropout: 0\nbatch: 128\nval-fraction: .25', { lr: 0.001, dropout: 0, batch: 128, valFraction: 0.25 }],
    ['lr: 1\nimage-size: 40\nthreads: 2', { lr: 1, imageSize: '40', threads: 2 }],
  ])('has numbers as they are written: %j', async (text, expected) => {
    expect(resolveSettings(flags(), await read(text))).toMatchObject(expected);
  });

  test.each([
    ['an unknown key', 'lrr: 1', /unknown key "lrr"; did you mean lr/],
    ['a switch as its flag is written', 'no-shuffle: true', /has the key no-shuffle, but a switch is written in the positive/],
    ['a flag that is not a setting', 'no-figures: true', /has the key no-figures, which is a command-line flag/],
    ['a key of the code instead of the flag', 'weightDecay: 1', /did you mean weight-decay/],
    ['__proto__', '{"__proto__": {"lr": 1}}', /unknown key "__proto__"/],
    ['constructor', 'constructor: 1', /unknown key "constructor"/],
    ['a key that is not text', '[1]: 2', /unknown key/],
    ['a list', 'augment: [crop, flip]', /augment in c.yaml is a list or a map, but must be names of augmentations/],
    ['nothing after a key', 'lr:', /lr in c.yaml is empty/],
    ['NaN', 'lr: .nan', /lr in c.yaml is "NaN"/],
    ['a number too large', 'lr: 1e309', /lr in c.yaml is "Infinity"/],
    ['a word for a number', 'epochs: many', /epochs in c.yaml is "many"/],
    ['a number for a switch', 'shuffle: 1', /shuffle in c.yaml is "1"/],
  ])('with %s is refused', async (_, text, message) => {
    const config = await read(text);
    expect(refusal(() => resolveSettings(flags(), config)).message).toMatch(message);
    expect(({} as Record<string, unknown>).lr).toBeUndefined();
  });

  test.each([
    ['a key twice', 'lr: 1\nlr: 2', /not valid YAML or JSON: Map keys must be unique/],
    ['a list at the top', '- lr', /is not a map/],
    ['text', 'hello', /is not a map/],
    ['nothing', '', /is empty/],
    ['a broken line', 'lr: [', /not valid/],
    ['an alias', 'lr: &a 1\nepochs: *a', /not valid/],
    ['two documents', 'lr: 1\n---\nlr: 2', /not valid/],
    ['deep lists', '['.repeat(30_000), /is nested/],
    ['deep maps', '{a: '.repeat(10_000), /is nested/],
    ['deep block lists', '- '.repeat(30_000), /is nested/],
    ['deep indentation', Array.from({ length: 340 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'), /unknown key/],
    ['many bytes', `# ${'x'.repeat(70_000)}`, /has 70,002 bytes, more than the 65,536/],
  ])('with %s is refused quickly', async (_, text, message) => {
    const start = performance.now();
    const error = await read(text)
      .then((config) => resolveSettings(flags(), config))
      .then(
        () => null,
        (reason) => reason,
      );
    expect(error?.code).toBe('E_USAGE');
    expect(error.message).toMatch(message);
    expect(performance.now() - start).toBeLessThan(2000);
  });

  test.each([
    ['missing', /does not exist/],
    ['.', /is not a file/],
  ])('%s is refused', async (path, message) => {
    const error = await readConfigFile(path, { cwd: tempFolder() } as CliIo).catch((reason) => reason);
    expect(error.code).toBe('E_USAGE');
    expect(error.message).toMatch(message);
  });

  test('of any content is read or refused with E_USAGE', async () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc.json(),
      fc.dictionary(fc.constantFrom('lr', 'epochs', 'seed', '__proto__', 'augment'), fc.jsonValue()).map((value) => JSON.stringify(value)),
    );
    const cwd = tempFolder();
    await fc.assert(
      fc.asyncProperty(text, async (content) => {
        writeFileSync(join(cwd, 'c.yaml'), content);
        try {
          resolveSettings(flags(), await readConfigFile('c.yaml', { cwd } as CliIo));
        } catch (error) {
          expect((error as HybridError).code).toBe('E_USAGE');
        }
        expect(Object.keys(Object.prototype)).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});
