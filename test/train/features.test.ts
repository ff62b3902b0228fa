// Features of a frozen backbone that are kept: runs are those without them, whatever happens.

import { readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { featureStore } from '../../app/run/feature-store.ts';
import { openWasmDevice } from '../../asm/host/device.ts';
import { nodeFiles } from '../../runtime/base/files.ts';
import type { AugmentOptions } from '../../runtime/data/augment/augmentations.ts';
import type { Device } from '../../runtime/device.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import type { TrainOptions } from '../../runtime/train/events.ts';
import { stagesOf } from '../../runtime/train/freeze.ts';
import { splitGraphs } from '../../runtime/train/graphs.ts';
import { train } from '../../runtime/train/run.ts';
import { smallModels } from '../support/models.ts';
import { digestOf, MemoryStore, ofType, smallOptions as onReference, runPart } from '../support/runs.ts';
import { shapesDataset } from '../support/shapes-dataset.ts';
import { tempFolder } from '../support/temp-folder.ts';

let device: Device;
beforeAll(async () => {
  device = await openWasmDevice({ threads: 2 });
});
afterAll(() => device.close());

const NONE: AugmentOptions = { crop: 0, flip: false };
const options = (changes: Partial<TrainOptions> = {}) =>
  onReference({ device, freeze: 'backbone', augment: NONE, epochs: 4, workers: 0, ...changes });

async function outcome(changes: Partial<TrainOptions>) {
  const store = new MemoryStore();
  const { events, result } = await runPart(options({ store, ...changes }));
  const told = ofType(events, 'message').map(({ text }) => text);
  return {
    result,
    told,
    isKept: told.some((text) => /^The features of .*: an epoch only computes the rest/.test(text)),
    digests: store.saved.map(({ kind, checkpoint }) => `${kind} ${digestOf(checkpoint)}`),
    epochs: ofType(events, 'epoch').map(({ train, validation }) => ({ train, validation })),
  };
}

describe('a run that keeps features', () => {
  it.each<[string, Partial<TrainOptions>]>([
    ['no augmentation', {}],
    ['flips', { augment: { crop: 0, flip: true } }],
    ['alternating flips', { augment: { crop: 0, flip: 'alternate' } }],
    ['flips of two versions', { augment: { crop: 0, flip: true }, augmentVersions: 2 }],
    ['three versions of crops', { augment: { crop: 2, flip: true }, augmentVersions: 3 }],
    ['some epochs of it', { freeze: 3, epochs: 5, augment: { crop: 0, flip: true } }],
    ['layers by their names', { freeze: 'conv2d,batch_normalization', epochs: 3 }],
    ['statistics that are measured anew', { freeze: 'conv2d,batch_normalization', epochs: 3, recalibrateBn: 2 }],
    ['workers', { workers: 2, augment: { crop: 0, flip: true } }],
    ['no validation images', { validation: null }],
    ['balanced sampling', { sampling: 'balanced', augment: { crop: 0, flip: true } }],
    ['smoothed and weighted classes', { labelSmoothing: 0.1, classWeights: 'balanced' }],
  ])('with %s has the bits of one that does not', async (_, changes) => {
    const [kept, plain] = [await outcome(changes), await outcome({ ...changes, keepFeatures: false })];
    expect([kept.isKept, plain.isKept]).toEqual([true, false]);
    expect(kept.digests).toEqual(plain.digests);
    expect(kept.epochs).toEqual(plain.epochs);
    expect(kept.result.test).toEqual(plain.result.test);
  });

  it.each(smallModels().map((model) => [model.arch, model] as const))('of %s has the bits of one that does not', async (_, model) => {
    const side = model.input[0];
    const sets = { train: shapesDataset(20, { side }), validation: shapesDataset(9, { side, seed: 2 }), test: null };
    const changes: Partial<TrainOptions> = { model, ...sets, epochs: 2, freeze: 'backbone' };
    const [kept, plain] = [await outcome(changes), await outcome({ ...changes, keepFeatures: false })];
    expect([kept.isKept, plain.isKept]).toEqual([true, false]);
    expect(kept.digests).toEqual(plain.digests);
  });

  it('on the reference device is one that does not', async () => {
    const changes = { device: openReferenceDevice(), augment: { crop: 0, flip: true } };
    const [kept, plain] = [await outcome(changes), await outcome({ ...changes, keepFeatures: false })];
    expect(kept.isKept).toBe(true);
    for (const [i, { train, validation }] of kept.epochs.entries()) {
      // Its activations are doubles, and features are floats.
      expect(train.loss).toBeCloseTo(plain.epochs[i].train.loss, 6);
      expect(validation?.loss).toBeCloseTo(plain.epochs[i].validation?.loss as number, 6);
    }
  });

  it('is the same for any number of threads and workers', async () => {
    const one = await openWasmDevice({ threads: 1 });
    const changes = { augment: { crop: 0, flip: true } } as const;
    const [many, few] = [await outcome({ ...changes, workers: 2 }), await outcome({ ...changes, device: one, workers: 0 })];
    expect(few.digests).toEqual(many.digests);
    await one.close();
  });

  it.each<[string, Partial<TrainOptions>]>([
    ['a frozen backbone', { augment: { crop: 0, flip: true } }],
    ['a stage of it', { freeze: 3, augment: { crop: 0, flip: true }, schedule: { name: 'one-cycle' } }],
  ])('is the same one with %s whenever it was stopped', async (_, changes) => {
    const whole = await outcome(changes);
    const features = featureStore({ cacheDir: tempFolder() });
    for (const stopAt of [1, 6, 15, 20]) {
      const store = new MemoryStore();
      await runPart(options({ ...changes, features, store }), stopAt);
      const resume = (await store.load('last')) ?? undefined;
      const { events } = await runPart(options({ ...changes, features, store, resume }));
      expect(`last ${digestOf((await store.load('last')) as never)}`, `stopped after ${stopAt}`).toBe(whole.digests.at(-1));
      const said = ofType(events, 'message').find(({ text }) => text.startsWith('The features'))?.text;
      if (stopAt < 15) expect(said).toContain('were read from the cache and checked in');
    }
  });

  it('may be stopped while it computes them, and leaves nothing behind', async () => {
    const cacheDir = tempFolder();
    const controller = new AbortController();
    const counting: Device = Object.create(device, {
      compile: {
        value: async (...args: Parameters<Device['compile']>) => {
          const executable = await device.compile(...args);
          if (args[0].predict) {
            const predict = executable.predict.bind(executable);
            executable.predict = (...given) => {
              controller.abort();
              return predict(...given);
            };
          }
          return executable;
        },
      },
    });
    const store = new MemoryStore();
    const features = featureStore({ cacheDir });
    const { result, events } = await runPart(options({ device: counting, features, store, signal: controller.signal }));
    expect([result.reason, ofType(events, 'step').length]).toEqual(['aborted', 0]);
    expect(readdirSync(cacheDir)).toEqual([]);
  });

  it.each<[string, Partial<TrainOptions>, RegExp | null]>([
    ['augmentation is always new', { augment: { crop: 1, flip: true } }, null],
    ['images are mixed', { augment: { crop: 0, flip: true, mix: { kind: 'mixup', probability: 0.5, alpha: 0.2 } as never } }, null],
    ['each would be used once', { freeze: 1, epochs: 3 }, null],
    ['nothing is frozen', { freeze: 'none' }, null],
    ['the first layer is trained', { freeze: 'dense' }, null],
    ['it is told not to', { keepFeatures: false }, null],
  ])('is the plain one where %s', async (_, changes) => {
    const { isKept, result } = await outcome({ epochs: 2, ...changes });
    expect([isKept, result.reason]).toEqual([false, 'completed']);
  });
});

describe('features in the cache', () => {
  const pathIn = (cacheDir: string) => join(cacheDir, 'features', readdirSync(join(cacheDir, 'features'))[0]);
  const changes: Partial<TrainOptions> = { augment: { crop: 0, flip: true }, epochs: 3 };

  it('are found by weights, images and forms; beyond the memory they are read from the disk', async () => {
    const cacheDir = tempFolder();
    const [plain, first] = [await outcome(changes), await outcome({ ...changes, features: featureStore({ cacheDir }) })];
    const again = await outcome({ ...changes, features: featureStore({ cacheDir, memoryBudget: 0 }), workers: 2 });
    for (const { digests } of [first, again]) expect(digests).toEqual(plain.digests);
    expect([first.told, again.told].map((told) => told.some((text) => text.includes('were read from the cache')))).toEqual([false, true]);
    const others: Partial<TrainOptions>[] = [
      { seed: 8n }, // other weights
      { train: shapesDataset(43, { seed: 5 }) },
      { augment: NONE },
      { validation: null },
    ];
    for (const other of others) {
      const { told } = await outcome({ ...changes, ...other, features: featureStore({ cacheDir }) });
      expect(told.some((text) => text.includes('were computed in'))).toBe(true);
    }
    expect(readdirSync(join(cacheDir, 'features'))).toHaveLength(1 + others.length);
  });

  it('are removed when they are old, and the oldest of more than the folder may have', async () => {
    const cacheDir = tempFolder();
    const folder = join(cacheDir, 'features');
    const names = () => readdirSync(folder);
    const written = async (seed: bigint, diskBudget?: number) => {
      const before = new Set(seed === 1n ? [] : names());
      await outcome({ ...changes, seed, features: featureStore({ cacheDir, diskBudget }) });
      return names().find((name) => !before.has(name)) as string;
    };
    const aged = (name: string, days: number) => utimesSync(join(folder, name), new Date(), new Date(Date.now() - days * 86_400_000));
    const first = await written(1n);
    const { size } = statSync(join(folder, first));
    writeFileSync(join(folder, 'a-file-of-others'), 'x');
    aged('a-file-of-others', 99);
    aged(first, 31);
    const second = await written(2n);
    expect(names()).toEqual([second, 'a-file-of-others'].sort());
    aged(second, 2);
    const third = await written(3n);
    aged(third, 1);
    const fourth = await written(4n, 2.5 * size);
    expect(names()).toEqual([third, fourth, 'a-file-of-others'].sort());
    // The newest stay, whatever their size.
    const fifth = await written(5n, 1);
    expect(names()).toEqual([fifth, 'a-file-of-others'].sort());
  });

  it('are written from the first where they do not fit into memory', async () => {
    const cacheDir = tempFolder();
    const [plain, kept] = [await outcome(changes), await outcome({ ...changes, features: featureStore({ cacheDir, memoryBudget: 10 }) })];
    expect(kept.digests).toEqual(plain.digests);
    expect(kept.told.join()).toContain('cached on disk');
  });

  it.each<[string, (bytes: Buffer) => Buffer]>([
    ['a changed byte', (bytes) => bytes.fill(1, bytes.length - 100, bytes.length - 99)],
    ['a cut end', (bytes) => bytes.subarray(0, bytes.length - 7)],
    ['nothing in it', () => Buffer.alloc(0)],
    ['another key', (bytes) => Buffer.from(bytes.toString('latin1').replace(/("key":")[0-9a-f]{4}/, '$1ffff'), 'latin1')],
  ])('with %s are computed again', async (_, damage) => {
    const cacheDir = tempFolder();
    const whole = await outcome({ ...changes, features: featureStore({ cacheDir }) });
    const path = pathIn(cacheDir);
    const bytes = readFileSync(path);
    writeFileSync(path, damage(Buffer.from(bytes)));
    const notices: string[] = [];
    const again = await outcome({ ...changes, features: featureStore({ cacheDir, onNotice: (text) => notices.push(text) }) });
    expect(again.digests).toEqual(whole.digests);
    expect(again.told.join()).toContain('were computed in');
    expect(notices).toHaveLength(1);
    expect(notices[0]).toMatch(/\.safetensors is .*; the features are computed again$/);
    expect(readFileSync(path).equals(bytes)).toBe(true);
  });

  it.each([2 ** 30, 10])('that the disk has no room for cost a warning and no run (budget %i)', async (memoryBudget) => {
    const full = {
      ...nodeFiles,
      open: () => Promise.reject(Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })),
    };
    const plain = await outcome(changes);
    const kept = await outcome({ ...changes, features: featureStore({ files: full, cacheDir: tempFolder(), memoryBudget }) });
    expect(kept.digests).toEqual(plain.digests);
    expect(kept.told.join('\n')).toMatch(
      memoryBudget > 10
        ? /cannot be cached for the next run: .*[\s\S]*cached, in memory only/
        : /The features of the frozen layers are not cached: .*(full|space)/,
    );
  });
});

describe('a network', () => {
  it('is cut behind what is frozen in front of all that is trained', () => {
    for (const model of smallModels()) {
      const split = splitGraphs(model, { groups: stagesOf(model, 'backbone')[0].groups });
      if (typeof split === 'string') throw new Error(split);
      // Dropout in front of a frozen dense layer is behind the cut.
      for (const { label } of split.head.evaluate.nodes) expect(label, model.arch).toMatch(/^(loss|layers\/dense(_1)?)$/);
      expect(Object.keys(split.head.evaluate.inputs).sort()).toEqual(['features', 'labels']);
    }
  });

  it('of which a layer between frozen ones is trained is cut in front of that', () => {
    const [model] = smallModels();
    const split = splitGraphs(model, { groups: stagesOf(model, 'dense')[0].groups });
    expect(split).toBe('the first layer is trained');
  });

  it('that features are kept of without a store is told where they are too many', async () => {
    const { events } = await runPart(options({ epochs: 2 }));
    expect(ofType(events, 'message').map(({ text }) => text)).toContainEqual(
      expect.stringMatching(
        /^The features of 43 training images and 20 validation images \(6 numbers each, 1 MiB\) were computed in [\d.]+ s and cached: an epoch only computes the rest of the network\.$/,
      ),
    );
    await train(options({ epochs: 1 })).result;
  });
});
