import { describe, expect, it } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import { openWebGpuDevice } from '../../gpu/host/device.ts';
import { HybridError } from '../../runtime/base/errors.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import { initialize } from '../../runtime/model/init.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import type { CheckpointStore } from '../../runtime/train/checkpoint.ts';
import { evaluate } from '../../runtime/train/evaluate.ts';
import type { TrainEvent, TrainOptions } from '../../runtime/train/events.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { train } from '../../runtime/train/run.ts';
import { learningRateAt } from '../../runtime/train/schedule.ts';
import { expectClose } from '../support/close.ts';
import { hybridError } from '../support/expect-error.ts';
import { onCompile } from '../support/on-compile.ts';
import { referenceBatches } from '../support/reference-batches.ts';
import { MemoryStore, smallModel, smallOptions } from '../support/runs.ts';
import { shapesDataset } from '../support/shapes-dataset.ts';

const model = smallModel;
const options = (changes: Partial<TrainOptions> = {}): TrainOptions => smallOptions({ augment: { crop: 1, flip: false }, ...changes });

async function collect(changes: Partial<TrainOptions> = {}): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  for await (const event of train(options(changes))) events.push(event);
  return events;
}
const ofType = <T extends TrainEvent['type']>(events: readonly TrainEvent[], type: T) =>
  events.filter((event): event is Extract<TrainEvent, { type: T }> => event.type === type);

describe('a training run', () => {
  it('learns, validates after each epoch and tests at the end', async () => {
    const events = await collect({ epochs: 16, recalibrateBn: 4 });
    expect(events[0]).toMatchObject({
      type: 'start',
      schema: 1,
      stepsPerEpoch: 6,
      trainImages: 43,
      validationImages: 20,
      testImages: 30,
      parameters: 280,
    });
    const epochs = ofType(events, 'epoch');
    expect(epochs.map(({ epoch }) => epoch)).toEqual(Array.from({ length: 16 }, (_, i) => i + 1));
    expect(epochs[15].train.loss).toBeLessThan(0.6 * epochs[0].train.loss);
    const end = events.at(-1);
    expect(end).toMatchObject({ type: 'end', reason: 'completed', epochs: 16, run: null });
    expect(end?.type === 'end' && end.test?.accuracy).toBeGreaterThan(0.7);
  });

  it('is the same run for the same seed, and another for another', async () => {
    const strip = (events: TrainEvent[]) => ofType(events, 'epoch').map(({ train, validation }) => ({ train, validation }));
    const [first, again, other] = [strip(await collect()), strip(await collect()), strip(await collect({ seed: 8n }))];
    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
  });

  it('weighs the partial last batch by its rows', async () => {
    // With a rate of 0 the weights stay, so that each batch can be measured apart.
    const events = await collect({ epochs: 1, learningRate: 0, weightDecay: 0 });
    const executable = await openReferenceDevice().compile(trainingGraphs(model), { capacity: 8, seed: 7n });
    for (const [name, data] of initialize(model, 7n)) await executable.write(name, data);
    let loss = 0;
    let correct = 0;
    for (const batch of referenceBatches({
      dataset: shapesDataset(43),
      batch: 8,
      epoch: 1,
      seed: 7n,
      shuffle: true,
      augment: { crop: 1, flip: false },
    })) {
      const metrics = await executable.gradient(batch);
      loss += metrics.loss * batch.rows;
      correct += metrics.correct;
    }
    const [{ train }] = ofType(events, 'epoch');
    expect(train.loss).toBeCloseTo(loss / 43, 12);
    expect(train.accuracy).toBeCloseTo(correct / 43, 12);
  });

  it('runs to its end when nobody reads the events', async () => {
    await expect(train(options()).result).resolves.toMatchObject({ reason: 'completed', epochs: 2 });
  });

  it('follows a schedule step by step, which switches reduction on a plateau off', async () => {
    const schedule = { name: 'one-cycle' } as const;
    const store = new MemoryStore();
    const events = await collect({ schedule, store, plateau: { patience: 1, factor: 0.5, minLearningRate: 1e-6 } });
    const steps = ofType(events, 'step');
    expect(steps.length).toBeGreaterThan(0);
    for (const { epoch, step, lr } of steps) {
      expect(lr).toBe(learningRateAt(schedule, { base: 0.02, step: (epoch - 1) * 6 + step - 1, totalSteps: 12 }));
    }
    expect(store.saved.at(-1)?.checkpoint.progress.callbacks).toMatchObject({ plateau: null });
  });

  it('reduces the rate on a plateau, stops early, and tests the best weights, not the last', async () => {
    const store = new MemoryStore();
    // So large a rate that validation gets worse soon.
    const events = await collect({
      epochs: 30,
      learningRate: 0.5,
      store,
      earlyStopping: { patience: 3 },
      plateau: { patience: 1, factor: 0.5, minLearningRate: 0.2 },
    });
    const end = events.at(-1);
    if (end?.type !== 'end') throw new Error('no end');
    expect(end.reason).toBe('early-stopped');
    const epochs = ofType(events, 'epoch');
    expect(end.best?.epoch).toBe(epochs.length - 3);
    const texts = ofType(events, 'message').map(({ text }) => text);
    expect(texts).toContain(`Epoch ${epochs.length}: early stopping`);
    expect(texts.some((text) => text.includes('ReduceLROnPlateau reducing learning rate'))).toBe(true);
    expect(texts).toContain(
      `Epoch 1: val_loss improved from None to ${epochs[0].validation?.loss.toFixed(5)}, saving model to memory/checkpoints/best`,
    );

    const best = await store.load('best');
    const executable = await openReferenceDevice().compile(trainingGraphs(model), { capacity: 8, seed: 7n });
    for (const [name, { data }] of best?.weights ?? []) await executable.write(name, data);
    let loss = 0;
    for (const batch of referenceBatches({ dataset: shapesDataset(30, { seed: 3 }), batch: 8, epoch: 0, seed: 0n, shuffle: false })) {
      loss += (await executable.evaluate(batch)).loss * batch.rows;
    }
    expect(end.test?.loss).toBeCloseTo(loss / 30, 6);
  });

  it('monitors the training loss where there is no validation set', async () => {
    const events = await collect({ validation: null });
    const epochs = ofType(events, 'epoch');
    expect(epochs[0].validation).toBeNull();
    expect(ofType(events, 'message').map(({ text }) => text)).toContain(
      `Epoch 1: loss improved from None to ${epochs[0].train.loss.toFixed(5)}`,
    );
  });

  it('hints where there are too few steps for the momentum of batch normalisation', async () => {
    const warnings = (events: TrainEvent[]) => ofType(events, 'message').filter(({ level }) => level === 'warning');
    expect(warnings(await collect({ bnMomentum: 0.99 }))[0].text).toContain('12 steps are too few for a batch-norm momentum of 0.99');
    expect(warnings(await collect({ bnMomentum: 0.99, recalibrateBn: 2 }))).toEqual([]);
    expect(warnings(await collect({ bnMomentum: 0.5 }))).toEqual([]);
  });

  it('recalibrates moving statistics to the mean over batches', async () => {
    const store = new MemoryStore();
    await collect({ epochs: 1, learningRate: 0, weightDecay: 0, recalibrateBn: 5, store });
    const saved = await store.load('last');
    const executable = await openReferenceDevice().compile(trainingGraphs(model), { capacity: 8, seed: 7n });
    for (const [name, data] of initialize(model, 7n)) await executable.write(name, data);
    const name = 'layers/batch_normalization';
    const means: Float64Array[] = [];
    for (const batch of referenceBatches({
      dataset: shapesDataset(43),
      batch: 8,
      epoch: 1,
      seed: 7n,
      shuffle: true,
      augment: { crop: 1, flip: false },
    })) {
      await executable.calibrate(batch, 0.9);
      if (batch.rows === 8) means.push(Float64Array.from(executable.values().get(`${name}/batchnorm.mean`)?.data ?? []));
    }
    expect(means).toHaveLength(5);
    const mean = means[0].map((_, c) => means.reduce((sum, m) => sum + m[c], 0) / 5);
    expectClose(saved?.weights.get(`${name}/vars/2`)?.data ?? [], mean, { absolute: 1e-6 });
  });

  it('saves what is needed to go on', async () => {
    const store = new MemoryStore();
    await collect({ store });
    expect(store.saved.filter(({ kind }) => kind === 'last')).toHaveLength(2);
    const last = await store.load('last');
    expect([...(last?.weights.keys() ?? [])].sort()).toEqual(model.variables.map(({ name }) => name).sort());
    const trainable = model.variables.filter(({ kind }) => kind === 'parameter').length;
    expect(last?.optimizer.size).toBe(2 * trainable + 2);
    expect(Array.from(last?.optimizer.get('optimizer/vars/0')?.data ?? [])).toEqual([12]);
    expect(last?.optimizer.get('optimizer/vars/1')?.data[0]).toBeCloseTo(0.02, 8);
    expect(last?.progress).toMatchObject({ epoch: 2, step: 6, stepsPerEpoch: 6, seed: '7', batch: 8 });
    expect(last?.graph.digest).toMatch(/^[0-9a-f]{64}$/);
    expect(() => JSON.parse(JSON.stringify(last?.progress))).not.toThrow();
  });

  it('starts from given weights and refuses those of another model by name and shape', async () => {
    const init = initialize(model, 99n);
    const store = new MemoryStore();
    await collect({ init, epochs: 1, learningRate: 0, weightDecay: 0, store });
    const kernel = 'layers/conv2d/vars/0';
    expect(Array.from((await store.load('last'))?.weights.get(kernel)?.data ?? [])).toEqual(Array.from(init.get(kernel) ?? []));
    const wrong = new Map(init).set(kernel, new Float32Array(3));
    await expect(train(options({ init: wrong })).result).rejects.toMatchObject({
      code: 'E_CHECKPOINT',
      message: expect.stringContaining(kernel),
    });
  });
});

describe('stopping', () => {
  it('drops the unfinished step and saves the state after the last completed one', async () => {
    const stopAt = 9;
    const stopped = new MemoryStore();
    const run = train(options({ epochs: 5, store: stopped }));
    for await (const event of run) {
      if (event.type === 'step' && (event.epoch - 1) * 6 + event.step >= stopAt) void run.stop();
    }
    const end = await run.result;
    expect(end).toMatchObject({ reason: 'aborted', test: null });
    const checkpoint = await stopped.load('last');
    if (!checkpoint) throw new Error('nothing was saved');
    const steps = checkpoint.optimizer.get('optimizer/vars/0')?.data[0] as number;
    const { epoch, step } = checkpoint.progress as { epoch: number; step: number };
    expect((epoch - 1) * 6 + step).toBe(steps);
    expect(steps).toBeGreaterThanOrEqual(stopAt);
    expect(steps).toBeLessThan(30);

    // The same steps without interruption give the same weights.
    const executable = await openReferenceDevice().compile(trainingGraphs(model), { capacity: 8, seed: 7n });
    for (const [name, data] of initialize(model, 7n)) await executable.write(name, data);
    let done = 0;
    for (let e = 1; done < steps; e++) {
      for (const batch of referenceBatches({
        dataset: shapesDataset(43),
        batch: 8,
        epoch: e,
        seed: 7n,
        shuffle: true,
        augment: { crop: 1, flip: false },
      })) {
        if (done++ === steps) break;
        await executable.gradient(batch);
        await executable.update({ learningRate: 0.02, weightDecay: 1e-4, bnMomentum: 0.9 });
      }
    }
    for (const { name } of model.variables) expectClose(checkpoint.weights.get(name)?.data ?? [], await executable.read(name), {}, name);
  });

  it('takes a signal, also one that is aborted already', async () => {
    await expect(train(options({ signal: AbortSignal.abort() })).result).rejects.toMatchObject({ name: 'AbortError', code: 'ABORT_ERR' });
    const controller = new AbortController();
    const run = train(options({ epochs: 50, signal: controller.signal }));
    setTimeout(() => controller.abort(), 30);
    await expect(run.result).resolves.toMatchObject({ reason: 'aborted' });
  });

  it('is disposable', async () => {
    const run = train(options({ epochs: 500 }));
    await run[Symbol.asyncDispose]();
    await expect(run.result).resolves.toMatchObject({ reason: 'aborted' });
  });
});

describe('trouble', () => {
  it.each([
    [{ batch: -1 }, 'batch is -1'],
    [{ batch: 2.5 }, 'batch is 2.5'],
    [{ epochs: 0 }, 'epochs is 0'],
    [{ learningRate: Number.NaN }, 'learningRate is NaN'],
    [{ weightDecay: -1 }, 'weightDecay is -1'],
    [{ bnMomentum: 1.5 }, 'bnMomentum is 1.5'],
    [{ recalibrateBn: -1 }, 'recalibrateBn is -1'],
  ] as const)('refuses settings with which there is no run: %j', async (changes, message) => {
    const error = await hybridError('E_USAGE', train(options(changes)).result);
    expect(error.message).toBe(message);
  });

  it('evaluate refuses an impossible batch, and needs none', async () => {
    const of = { device: openReferenceDevice(), model, weights: initialize(model, 7n), dataset: shapesDataset(5) };
    await hybridError('E_USAGE', evaluate({ ...of, batch: 0 }));
    await expect(evaluate(of)).resolves.toMatchObject({ loss: expect.any(Number) });
  });

  it.each(['wasm', 'webgpu'] as const)('a %s device that is closed says so', async (name) => {
    const device = name === 'wasm' ? await openWasmDevice({ threads: 1 }) : await openWebGpuDevice({ backend: 'null' });
    await device.close();
    const error = await hybridError('E_USAGE', train(options({ device })).result);
    expect(error.message).toBe('the device is closed');
  });

  it('images and labels in memory that do not belong together are refused', () => {
    const wrong = { name: 'mine', shape: [2, 2, 3], classes: ['a', 'b'], labels: Int32Array.of(0, 1), images: new Uint8Array(5) } as const;
    expect(() => memoryDataset(wrong)).toThrow('mine has 5 bytes of images for 2 labels, and an image has 12');
  });

  it('stops at a loss that is not finite, naming step, rate and batch, and leaves the checkpoints alone', async () => {
    const store = new MemoryStore();
    const run = train(options({ epochs: 9, learningRate: 1e200, store }));
    const events: TrainEvent[] = [];
    const reading = (async () => {
      for await (const event of run) events.push(event);
    })();
    const error = await run.result.catch((reason: unknown) => reason);
    await expect(reading).rejects.toBe(error);
    expect(error).toBeInstanceOf(HybridError);
    expect(error).toMatchObject({
      code: 'E_DIVERGED',
      message: expect.stringMatching(/^epoch 1, step [2-6]: .* at learning rate 1e\+200; batch of 8 images, samples \d+/),
    });
    expect(store.saved).toEqual([]);
  });

  it('ends with the error of a store that cannot write', async () => {
    const store: CheckpointStore = {
      location: 'nowhere',
      save: async () => {
        throw new HybridError('E_DISK', 'the disk is full');
      },
      load: async () => null,
    };
    await expect(train(options({ store })).result).rejects.toMatchObject({ code: 'E_DISK' });
  });

  it('--on-nan rollback: a device that fails while the first state is read ends the run alone, not the process', async () => {
    const device = onCompile(openReferenceDevice(), (executable) => {
      const fail = async () => {
        await new Promise((resolve) => setTimeout(resolve, 5));
        throw new HybridError('E_DEVICE', 'the GPU was lost', 'none');
      };
      return Object.assign(executable, { gradient: fail, update: fail, read: fail });
    });
    await expect(train(options({ device, onNan: 'rollback', store: new MemoryStore() })).result).rejects.toMatchObject({
      code: 'E_DEVICE',
    });
    await new Promise((resolve) => setTimeout(resolve, 20)); // a rejection that nobody hears fails the test run
  });
});
