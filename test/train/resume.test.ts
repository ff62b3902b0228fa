// A run in parts is the run in one go, bit for bit; and what may not go on is refused.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import type { Dataset } from '../../runtime/data/dataset.ts';
import type { Device } from '../../runtime/device.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import type { Checkpoint } from '../../runtime/train/checkpoint.ts';
import { evaluate } from '../../runtime/train/evaluate.ts';
import type { TrainEvent, TrainOptions } from '../../runtime/train/events.ts';
import { completeProgress, readProgress, stepAfterBatchChange } from '../../runtime/train/progress.ts';
import { train } from '../../runtime/train/run.ts';
import { hybridError } from '../support/expect-error.ts';
import { digestOf, MemoryStore, ofType, smallOptions as optionsOnReference, runPart } from '../support/runs.ts';
import { shapesDataset } from '../support/shapes-dataset.ts';

const STEPS = 6;

// Not the reference device: its state is in doubles, and a checkpoint holds floats.
let device: Device;
beforeAll(async () => {
  device = await openWasmDevice({ threads: 1 });
});
afterAll(() => device.close());
const smallOptions = (changes: Partial<TrainOptions> = {}) => optionsOnReference({ device, ...changes });

async function lastOf(store: MemoryStore): Promise<Checkpoint> {
  const checkpoint = await store.load('last');
  if (!checkpoint) throw new Error('nothing was saved');
  return checkpoint;
}

/** What a run is remembered by. */
async function outcome(options: TrainOptions) {
  const store = options.store as MemoryStore;
  const { result, events } = await runPart(options);
  const epochs = ofType(events, 'epoch').map(({ epoch, train, validation, lr, best }) => ({ epoch, train, validation, lr, best }));
  const last = await lastOf(store);
  return { result, epochs, digest: digestOf(last), progress: readProgress(last) };
}

const VARIANTS: Record<string, Partial<TrainOptions>> = {
  'a constant rate, reduced on plateaus': { epochs: 5, learningRate: 0.3, plateau: { patience: 1, factor: 0.5, minLearningRate: 0.01 } },
  'early stopping': { epochs: 12, learningRate: 0.5, earlyStopping: { patience: 2 } },
  'a schedule and recalibrated statistics': { epochs: 4, schedule: { name: 'one-cycle' }, recalibrateBn: 3 },
  'a moving average of the weights': { epochs: 3, ema: 0.8, checkpointEvery: { steps: 2 } },
  'a moving average, without validation': { epochs: 2, ema: 0.5, validation: null },
  'lookahead, which goes on over the end of an epoch': { epochs: 3, lookahead: 4, checkpointEvery: { steps: 2 } },
  'gradients in parts, and a moving average': { epochs: 2, accumulate: 3, ema: 0.5, checkpointEvery: { steps: 2 } },
  'Muon, after an epoch of the head alone': { epochs: 3, optimizer: 'muon', freeze: 1, checkpointEvery: { steps: 2 } },
  'the training loss alone': { epochs: 3, validation: null, schedule: { name: 'cosine' } },
};

it('a run that stopped early says what keeps it from more epochs', async () => {
  const changes = VARIANTS['early stopping'];
  const store = new MemoryStore();
  const whole = await outcome(smallOptions({ ...changes, store }));
  expect(whole.result.reason).toBe('early-stopped');
  const { result, events } = await runPart(smallOptions({ ...changes, epochs: 60, store, resume: await lastOf(store) }));
  expect([result.reason, result.epochs]).toEqual(['early-stopped', whole.epochs.length]);
  expect(ofType(events, 'message').map(({ text }) => text)).toContain(
    `Training stopped early, after epoch ${whole.epochs.length}: 2 epochs without improvement, and the patience is 2. Only the test is left. Raise \`earlyStopping\`, and name it in \`allowChanged\`, to train longer.`,
  );
});

describe.each(Object.entries(VARIANTS))('%s', (_, changes) => {
  it('is the same run whenever it was stopped, however often', async () => {
    const whole = await outcome(smallOptions({ ...changes, store: new MemoryStore() }));
    const steps = whole.epochs.length * STEPS;
    for (let stopAt = 1; stopAt < steps; stopAt += 5) {
      const store = new MemoryStore();
      let resume: Checkpoint | undefined;
      // The first part is cut where asked, the next one three steps later.
      for (const cut of [stopAt, 3]) {
        await runPart(smallOptions({ ...changes, store, resume }), cut);
        resume = await lastOf(store);
      }
      const resumed = await outcome(smallOptions({ ...changes, store, resume }));
      expect(resumed.digest).toBe(whole.digest);
      expect(resumed.result).toEqual(whole.result);
      expect(resumed.epochs).toEqual(whole.epochs.slice(-resumed.epochs.length || whole.epochs.length));
      const lasting = ({ callbacks, learningRate, running }: typeof whole.progress) => ({ callbacks, learningRate, running });
      expect(lasting(resumed.progress)).toEqual(lasting(whole.progress));
    }
  });
});

describe('threads', () => {
  const model = buildModel('convmixer', { input: [8, 8, 3], classes: 4, dim: 16, depth: 2, kernel: 5, patch: 2 });
  it.each([
    [1, 3],
    [2, 1],
    [3, 2],
  ])('%i before and %i after are one run', async (before, after) => {
    const part = async (threads: number, changes: Partial<TrainOptions>, stopAt?: number) => {
      const device = await openWasmDevice({ threads });
      try {
        return await runPart(smallOptions({ device, model, epochs: 4, ...changes }), stopAt);
      } finally {
        await device.close();
      }
    };
    const whole = new MemoryStore();
    await part(2, { store: whole });
    const store = new MemoryStore();
    await part(before, { store }, 2 * STEPS + 1);
    await part(after, { store, resume: await lastOf(store) });
    expect(digestOf(await lastOf(store))).toBe(digestOf(await lastOf(whole)));
  });
});

describe('what changed meanwhile', () => {
  async function stopped(changes: Partial<TrainOptions> = {}, stopAt = 8): Promise<{ store: MemoryStore; resume: Checkpoint }> {
    const store = new MemoryStore();
    await runPart(smallOptions({ ...changes, store }), stopAt);
    return { store, resume: await lastOf(store) };
  }

  it('is refused with the list of it, and allowed by name', async () => {
    const { store, resume } = await stopped();
    const other = { lr: { learningRate: 0.01 }, seed: { seed: 8n }, data: { train: shapesDataset(43, { seed: 9 }) } };
    const changes = { ...other.lr, ...other.seed, ...other.data };
    const error = await hybridError('E_CHECKPOINT', runPart(smallOptions({ ...changes, store, resume })));
    expect(error.message).toMatch(
      /`learningRate` is 0\.01, but was 0\.02; `seed` is 8, but was 7; data is 43 images, sha256 \w+, but was 43 images/,
    );
    expect(error.remedy).toContain('`allowChanged: lr,seed,data`');
    expect(error).toMatchObject({ field: 'allowChanged', suggested: 'lr,seed,data' });
    const some = await hybridError(
      'E_CHECKPOINT',
      runPart(smallOptions({ ...changes, store, resume, allowChanged: ['learningRate', 'data'] })),
    );
    expect(some.message).toMatch(/: `seed` is 8, but was 7$/);
    const { events, result } = await runPart(smallOptions({ ...changes, store, resume, allowChanged: ['lr', 'data', 'seed'] }));
    expect(result.reason).toBe('completed');
    expect(ofType(events, 'step')[0].lr).toBe(0.01);
    const warnings = ofType(events, 'message').filter(({ level }) => level === 'warning');
    expect(warnings.map(({ text }) => text.split(' ')[0])).toEqual(['`learningRate`', '`seed`', 'data']);
  });

  it.each(
    Object.entries({
      weightDecay: { weightDecay: 0 },
      labelSmoothing: { labelSmoothing: 0.1 },
      optimizer: { optimizer: { name: 'adamw', beta2: 0.99 } },
      schedule: { schedule: { name: 'cosine', warmup: 0.1 } },
      earlyStopping: { earlyStopping: { patience: 3 } },
      plateau: { plateau: { patience: 2, factor: 0.5, minLearningRate: 0 } },
      augment: { augment: { crop: 0, flip: true } },
      shuffle: { shuffle: false },
      bnMomentum: { bnMomentum: 0.5 },
      recalibrateBn: { recalibrateBn: 1 },
      validation: { validation: null },
      arithmetic: { device: { ...optionsOnReference().device, name: 'wasm', arithmetic: 'halves' } },
    } satisfies Record<string, Partial<TrainOptions>>),
  )('%s is told by its name', async (name, changes: Partial<TrainOptions>) => {
    const { store, resume } = await stopped();
    const error = await hybridError('E_CHECKPOINT', runPart(smallOptions({ ...changes, store, resume })));
    expect(error.message).toMatch(new RegExp(`settings: \`?${name}\`? is [^;]*, but was [^;]*$`));
  });

  it('may be the batch, where a batch begins', async () => {
    expect(stepAfterBatchChange(3, { before: 8, now: 4, size: 43 })).toBe(6);
    expect(stepAfterBatchChange(6, { before: 8, now: 10, size: 43 })).toBe(5);
    expect(() => stepAfterBatchChange(3, { before: 8, now: 10, size: 43 })).toThrow(
      '24 images of an epoch, which is not a whole number of batches of 10',
    );
    const store = new MemoryStore();
    await runPart(smallOptions({ store, checkpointEvery: { steps: 8 } }));
    const resume = store.saved.find(({ checkpoint: { progress } }) => progress.epoch === 2 && progress.step === 2)?.checkpoint;
    const { events } = await runPart(smallOptions({ batch: 16, store, resume, allowChanged: ['batch'] }));
    expect(ofType(events, 'resume')).toEqual([{ type: 'resume', reason: 'resumed', epoch: 2, step: 1 }]);
    expect(ofType(events, 'epoch').map(({ epoch }) => epoch)).toEqual([2]);
  });

  it('may be the number of epochs, unless fewer than were done', async () => {
    const { store, resume } = await stopped({}, 100);
    const { events, result } = await runPart(smallOptions({ epochs: 4, store, resume }));
    expect(ofType(events, 'epoch').map(({ epoch }) => epoch)).toEqual([3, 4]);
    expect(result).toMatchObject({ reason: 'completed', epochs: 4 });
    const whole = new MemoryStore();
    await runPart(smallOptions({ epochs: 4, store: whole }));
    expect(digestOf(await lastOf(store))).toBe(digestOf(await lastOf(whole)));
    await hybridError('E_USAGE', runPart(smallOptions({ epochs: 1, store, resume })));
  });

  it('and where a schedule goes by their number, it is told: every rate is another from here on', async () => {
    const schedule = { name: 'one-cycle' } as const;
    const { store, resume } = await stopped({ schedule });
    const warnings = async (changes: Partial<TrainOptions>) => {
      const { events } = await runPart(smallOptions({ schedule, store, resume, ...changes }), 1);
      return ofType(events, 'message').flatMap(({ level, text }) => (level === 'warning' ? [text] : []));
    };
    const told =
      '`epochs` is 4, but was 2, and the rates of the schedule one-cycle follow from it: from here on the results differ from an uninterrupted run.';
    expect(await warnings({ epochs: 4 })).toContain(told);
    expect(await warnings({})).not.toContainEqual(expect.stringContaining('another run'));
    // A checkpoint of version 0.1.0 does not say how many there were.
    const { epochs: _, ...progress } = resume?.progress as Record<string, unknown>;
    expect(await warnings({ epochs: 4, resume: { ...(resume as Checkpoint), progress } })).not.toContain(told);
  });

  it('is nothing where all was done: the test is measured again', async () => {
    const store = new MemoryStore();
    const { result } = await runPart(smallOptions({ store }));
    const again = await runPart(smallOptions({ store, resume: await lastOf(store) }));
    expect(again.result).toEqual(result);
    expect(ofType(again.events, 'message').map(({ text }) => text)).toContain(
      'All 2 epochs are complete; only the test remains. Raise `epochs` to train longer.',
    );
  });

  it('is told with the nearest name where the name is wrong', async () => {
    const { store, resume } = await stopped();
    const error = await hybridError('E_USAGE', runPart(smallOptions({ store, resume, allowChanged: ['sead'] })));
    expect(error.message).toContain('did you mean seed?');
  });

  it('cannot be the model', async () => {
    const { store, resume } = await stopped();
    const model = buildModel('convmixer', { input: [8, 8, 3], classes: 4, dim: 6, depth: 2, kernel: 3, patch: 2 });
    const error = await hybridError('E_CHECKPOINT', runPart(smallOptions({ model, store, resume })));
    expect(error.message).toMatch(/^the checkpoint is of another model/);
  });
});

describe('the best weights of before', () => {
  // So large a rate that the first epochs are the best ones.
  const rough = { learningRate: 0.5, validation: shapesDataset(20, { seed: 2 }), bnMomentum: 0.5 };

  /** A run of five epochs whose best one is an earlier one, and what a part of it left. */
  async function stopped(stopAt = 100) {
    const store = new MemoryStore();
    const { events } = await runPart(smallOptions({ ...rough, store, epochs: 5 }), stopAt);
    return { store, resume: await lastOf(store), losses: ofType(events, 'epoch').map(({ validation }) => validation?.loss as number) };
  }

  it.each([
    ['without a store', () => undefined],
    ['with a store that does not have them', () => new MemoryStore()],
  ])('%s are told to be lost; what is told as the best is what is tested and returned', async (_, storeOf) => {
    const { resume, losses } = await stopped();
    const bestBefore = losses.indexOf(Math.min(...losses)) + 1;
    expect(bestBefore).toBeLessThan(5);
    for (const epochs of [5, 6]) {
      const options = smallOptions({ ...rough, resume, epochs, store: storeOf() });
      const events: TrainEvent[] = [];
      const run = train(options);
      for await (const event of run) events.push(event);
      const { best, test } = await run.result;
      const tested = { device, model: options.model, weights: await run.weights, batch: 8 };
      expect(test?.loss).toBeCloseTo((await evaluate({ ...tested, dataset: options.test as Dataset })).loss, 12);
      expect(best?.loss).toBeCloseTo((await evaluate({ ...tested, dataset: rough.validation })).loss, 12);
      expect(best?.epoch).toBeGreaterThanOrEqual(5);
      const warnings = ofType(events, 'message').filter(({ level }) => level === 'warning');
      expect(warnings.map(({ text }) => text)).toEqual([
        expect.stringMatching(
          new RegExp(`^The best weights so far, of epoch ${bestBefore}, are lost .* epoch 5, which this checkpoint is of`),
        ),
      ]);
    }
  });

  it('are those of the checkpoint, without a word, where its epoch was the best', async () => {
    const store = new MemoryStore();
    await runPart(smallOptions({ store, epochs: 2 }));
    const resume = (await store.load('best')) as Checkpoint;
    const whole = await runPart(smallOptions({ store, resume: await lastOf(store), epochs: 2 }));
    const { result, events } = await runPart(smallOptions({ resume, epochs: resume.progress.epoch as number }));
    expect(ofType(events, 'message').filter(({ level }) => level === 'warning')).toEqual([]);
    expect({ ...result, run: null, epochs: 0 }).toEqual({ ...whole.result, run: null, epochs: 0 });
  });

  it('lost within an epoch: the best one is among those to come', async () => {
    const { resume } = await stopped(3 * STEPS + 2);
    const { result, events } = await runPart(smallOptions({ ...rough, resume, epochs: 4 }));
    expect(result.best).toEqual({ epoch: 4, loss: ofType(events, 'epoch')[0].validation?.loss });
    expect(ofType(events, 'message').find(({ level }) => level === 'warning')?.text).toContain('the best are those of the epochs to come');
  });
});

describe('a checkpoint', () => {
  it('whose contents make no sense is refused', async () => {
    const store = new MemoryStore();
    await runPart(smallOptions({ store }), 8);
    const good = await lastOf(store);
    const progress = (change: object) => ({ ...good, progress: { ...good.progress, ...change } });
    const tensor = [...good.weights.keys()][0];
    const nan = Float32Array.from(good.weights.get(tensor)?.data ?? [], () => Number.NaN);
    const without = (map: Checkpoint['weights']) => new Map([...map].slice(1));
    for (const resume of [
      progress({ epoch: 'two' }),
      progress({ epoch: 5 }),
      progress({ step: 7 }),
      progress({ step: -1 }),
      progress({ history: 3 }),
      progress({ callbacks: null }),
      progress({ seed: 7 }),
      progress({ running: { loss: Number.NaN, correct: 0, rows: 0 } }),
      { ...good, progress: Object.create(good.progress as object) as Checkpoint['progress'] },
      { ...good, weights: without(good.weights) },
      { ...good, optimizer: without(good.optimizer) },
      { ...good, weights: new Map(good.weights).set(tensor, { shape: [1], data: new Float32Array(1) }) },
      { ...good, weights: new Map(good.weights).set(tensor, { shape: [nan.length], data: nan }) },
    ]) {
      await hybridError('E_CHECKPOINT', runPart(smallOptions({ store, resume })));
    }
  });

  it('of version 0.1.0 lacks settings and sums: configuration and metrics have them', async () => {
    const store = new MemoryStore();
    const { events } = await runPart(smallOptions({ store }), 8);
    const good = await lastOf(store);
    const { settings, running, rateFactor, ...old } = readProgress(good);
    const former = { ...good, progress: { ...old } };
    const completed = completeProgress(former, { options: smallOptions(), events });
    const found = readProgress(completed);
    expect(found.running?.rows).toBe(running?.rows);
    expect(found.running?.loss).toBeCloseTo(running?.loss as number, 10);
    const { data, validation, ...rest } = settings as Record<string, string>;
    // Its kernels gave other bits.
    expect(rest.arithmetic).toMatch(/, version \d+$/);
    expect(found.settings).toEqual({ ...rest, arithmetic: rest.arithmetic.replace(/, version \d+$/, '') });
    expect(rateFactor).toBe(1);

    const whole = await outcome(smallOptions({ store: new MemoryStore() }));
    expect((await hybridError('E_CHECKPOINT', runPart(smallOptions({ store, resume: completed })))).message).toMatch(
      /settings: arithmetic is wasm, .*, version \d+, but was wasm, [^\d]*$/,
    );
    const resumed = await outcome(smallOptions({ store, resume: completed, allowChanged: ['arithmetic'] }));
    expect(resumed.digest).toBe(whole.digest);
    // Without either it still goes on; it checks what there is.
    await runPart(smallOptions({ store, resume: former }));
    await hybridError('E_CHECKPOINT', runPart(smallOptions({ store, resume: former, seed: 1n })));
  });
});
