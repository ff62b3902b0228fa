// What `train` is told is checked, all of it, by the table: a value that is none, a name that does not exist.

import { describe, expect, it, test } from 'vitest';
import { checkSettings, type SettingTable } from '../../runtime/base/setting.ts';
import { type DeviceOptions, openDevice, type TrainOptions } from '../../runtime/index.ts';
import { train } from '../../runtime/train/run.ts';
import { describeSettings, GROUP_SETTINGS, TRAIN_SETTINGS } from '../../runtime/train/settings.ts';
import { hybridError } from '../support/expect-error.ts';
import { smallOptions } from '../support/runs.ts';

const refused = (changes: object) => hybridError('E_USAGE', train({ ...smallOptions(), ...changes } as TrainOptions).result);

describe('a value that is none is refused by the name of its setting', () => {
  it.each([
    [{ schedule: { name: 'linear' } }, 'schedule.name is "linear"'],
    [{ schedule: 'cosine' }, 'schedule.name is undefined'],
    [{ schedule: { name: 'cosine', warmup: -1 } }, 'schedule.warmup is -1'],
    [{ schedule: { name: 'one-cycle', peak: 2 } }, 'schedule.peak is 2'],
    [{ schedule: { name: 'one-cycle', peak: 0.9 } }, 'schedule.peak is 0.9, behind its tail, 0.8'],
    [{ schedule: { name: 'cosine', peak: 0.5 } }, 'schedule has no "peak"'],
    [{ earlyStopping: { patience: -3 } }, 'earlyStopping.patience is -3'],
    [{ earlyStopping: 3 }, 'earlyStopping is 3'],
    [{ plateau: { patience: 1, factor: 5, minLearningRate: 0 } }, 'plateau.factor is 5'],
    [{ plateau: { patience: 1, factor: 0.5 } }, 'plateau.minLearningRate is undefined'],
    [
      { plateau: { patience: 1, factor: 0.5, minLearningrate: 0, minLearningRate: 0 } },
      'plateau has no "minLearningrate"; did you mean minLearningRate?',
    ],
    [{ onNan: 'ignore' }, 'onNan is "ignore"'],
    [{ dataOnDevice: 'perhaps' }, 'dataOnDevice is "perhaps"'],
    [{ keepEvery: 1.5 }, 'keepEvery is 1.5'],
    [{ checkpointEvery: { steps: 0 } }, 'checkpointEvery.steps is 0'],
    [{ checkpointEvery: { step: 5 } }, 'checkpointEvery has no "step"; did you mean steps?'],
    [{ checkpointEvery: '10m' }, 'checkpointEvery is "10m"'],
    [{ stallSeconds: -1 }, 'stallSeconds is -1'],
    [{ workers: 1.5 }, 'workers is 1.5'],
    [{ seed: 5 }, 'seed is 5'],
    [{ seed: -1n }, 'seed is -1n'],
    [{ shuffle: 'no' }, 'shuffle is "no"'],
    [{ augment: 'crop' }, 'augment is "crop"'],
    [{ batch: '128' }, 'batch is "128"'],
    [{ bnMomentum: 1 }, 'bnMomentum is 1'],
    [{ learningRate: Number.POSITIVE_INFINITY }, 'learningRate is Infinity'],
    [{ weightDecay: null }, 'weightDecay is null'],
    [{ withoutRules: 'all' }, 'withoutRules is "all"'],
    [{ epochs: undefined }, 'epochs is undefined'],
  ] as const)('%#: $1', async (changes, message) => {
    const error = await refused(changes);
    expect(error.message).toBe(message);
    expect(error.field?.split('.')[0]).toBe(message.includes('has no') ? /"(\w+)"/.exec(message)?.[1] : message.split(/[. ]/)[0]);
  });

  it('has every entry of the table above, so that none goes unchecked', async () => {
    for (const [name, { kind }] of [...Object.entries(TRAIN_SETTINGS), ...Object.entries(GROUP_SETTINGS)]) {
      expect(() => kind.check(Symbol('nothing'), name), name).toThrow(name);
    }
  });
});

describe('a name that does not exist is refused with the nearest', () => {
  it.each([
    ['lr', 'learningRate'],
    ['patience', 'earlyStopping'],
    ['learningrate', 'learningRate'],
    ['bn-momentum', 'bnMomentum'],
    ['valdation', 'validation'],
    ['optimiser', 'optimizer'],
    ['colour', undefined],
  ])('%s: %s', async (name, near) => {
    const error = await refused({ [name]: 1 });
    expect(error.message).toBe(`train has no "${name}"${near ? `; did you mean ${near}?` : ''}`);
    expect(error).toMatchObject({ field: name, ...(near && { suggested: near }) });
    expect(error.remedy).toContain('learningRate');
  });

  it('but not one that is given as undefined', () => {
    expect(() => checkSettings(TRAIN_SETTINGS, { epochs: 1, nothing: undefined }, { what: 'train', others: [] })).not.toThrow();
  });

  it('and what is needed is asked for', async () => {
    expect((await refused({ model: undefined })).message).toBe('train needs the option model');
  });
});

const ADDED = Object.values(TRAIN_SETTINGS as SettingTable).filter(({ added }) => added);

test('what decides bits is kept as the words that checkpoints have had all along', () => {
  const { schedule, ...rest } = describeSettings(
    TRAIN_SETTINGS,
    smallOptions({
      schedule: { name: 'cosine', warmup: 0.1 },
      earlyStopping: { patience: 3 },
      augment: { crop: 1, flip: true, rotate: 0.1 },
    }),
    'bits',
  );
  expect(schedule).toBe('cosine, warmup 0.1');
  expect(rest).toEqual({
    batch: '8',
    lr: '0.02',
    // Checkpoints of version 0.1.0 are without these: they must say what such a run did.
    ...Object.fromEntries(ADDED.map(({ flag, usual, describe = String }) => [flag?.name, describe(usual, {})])),
    'weight-decay': '0.0001',
    patience: '3',
    plateau: 'none',
    augment: 'crop 1, flip true, rotate 0.1',
    shuffle: 'true',
    seed: '7',
    'bn-momentum': '0.9',
    'recalibrate-bn': '0',
  });
});

test.each([
  [{ threads: '2' }, 'threads is "2"'],
  [{ threads: 0 }, 'threads is 0'],
  [{ revectorize: 'no' }, 'revectorize is "no"'],
])('a device is told only what it may be: %j', async (options, message) => {
  const error = await hybridError('E_USAGE', openDevice('wasm', options as DeviceOptions));
  expect(error).toMatchObject({ message, field: message.split(' ')[0] });
});
