// Case 33: NaN and infinities in loss, gradients, weights. A step with them is never applied, a state with them never replaces a good one.

import { describe, expect, it } from 'vitest';
import type { Dataset } from '../../runtime/data/dataset.ts';
import type { Device, Executable } from '../../runtime/device.ts';
import { initialize } from '../../runtime/model/init.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import type { TrainOptions } from '../../runtime/train/events.ts';
import { readProgress } from '../../runtime/train/progress.ts';
import { hybridError } from '../support/expect-error.ts';
import { MemoryStore, ofType, runPart, smallModel, smallOptions } from '../support/runs.ts';

/** The reference device; the gradients of the given runs (counted from 1) end with a loss of NaN and are not applied. */
function failing(runs: (run: number) => boolean): Device {
  const device = openReferenceDevice();
  let count = 0;
  return {
    ...device,
    async compile(graphs, options) {
      const executable: Executable = await device.compile(graphs, options);
      let bad = false;
      return {
        capacity: executable.capacity,
        state: executable.state,
        memoryBytes: 0,
        async gradient(batch, run) {
          const metrics = await executable.gradient(batch, run);
          bad = runs(++count);
          return bad ? { ...metrics, loss: Number.NaN } : metrics;
        },
        // The loop has queued the next gradient by now, as on a real device: what counts is the one before it.
        update: (hyper) => {
          const applied = !bad;
          return applied ? executable.update(hyper) : Promise.resolve({ applied });
        },
        calibrate: (batch, momentum, run) => executable.calibrate(batch, momentum, run),
        evaluate: (batch, run) => executable.evaluate(batch, run),
        predict: (batch, run) => executable.predict(batch, run),
        read: (name) => executable.read(name),
        write: (name, data) => executable.write(name, data),
        close: () => executable.close(),
        [Symbol.asyncDispose]: () => executable.close(),
      };
    },
  };
}

const warnings = (events: Parameters<typeof ofType>[0]) =>
  ofType(events, 'message').flatMap(({ level, text }) => (level === 'warning' && !text.includes('too few') ? [text] : []));

describe('--on-nan stop', () => {
  it('names step, epoch, batch and rate, and leaves the checkpoints alone', async () => {
    const store = new MemoryStore();
    const error = await hybridError('E_DIVERGED', runPart(smallOptions({ device: failing((run) => run === 9), store })));
    expect(error.message).toMatch(/^epoch 2, step 3: the loss is NaN at learning rate 0\.02; batch of 8 images, samples \d+(, \d+){7}\.$/);
    expect((await store.load('last'))?.progress).toMatchObject({ epoch: 1, step: 6 });
  });
});

describe('--on-nan skip', () => {
  it('goes on with the next batch, as if the step were not there', async () => {
    const store = new MemoryStore();
    const { result, events } = await runPart(smallOptions({ device: failing((run) => run === 3 || run === 9), store, onNan: 'skip' }));
    expect(result).toMatchObject({ reason: 'completed', epochs: 2 });
    expect(warnings(events).map((text) => text.slice(0, 30))).toEqual(['epoch 1, step 3: the loss is N', 'epoch 2, step 3: the loss is N']);
    expect(Array.from((await store.load('last'))?.optimizer.get('optimizer/vars/0')?.data ?? [])).toEqual([10]);
    for (const { train } of ofType(events, 'epoch')) expect(train.loss).toBeGreaterThan(0);
  });

  it('gives up after ten in a row', async () => {
    const error = await hybridError('E_DIVERGED', runPart(smallOptions({ epochs: 9, device: failing((run) => run > 3), onNan: 'skip' })));
    expect(error.message).toMatch(/^epoch 3, step 2/);
  });
});

describe('--on-nan rollback', () => {
  it('goes back to the last saved state with half the rate', async () => {
    const store = new MemoryStore();
    const { result, events } = await runPart(smallOptions({ device: failing((run) => run === 9), store, onNan: 'rollback' }));
    expect(result).toMatchObject({ reason: 'completed', epochs: 2 });
    expect(ofType(events, 'resume')).toEqual([{ type: 'resume', reason: 'rolled back', epoch: 1, step: 6 }]);
    expect(warnings(events)[0]).toMatch(/Back to the state after step 6 of epoch 1, with 0\.5 times the learning rate\.$/);
    expect(ofType(events, 'epoch').map(({ epoch, lr }) => [epoch, lr])).toEqual([
      [1, 0.02],
      [2, 0.01],
    ]);
    const last = await store.load('last');
    expect(last && readProgress(last)).toMatchObject({ rateFactor: 0.5, learningRate: expect.closeTo(0.02) });
    expect(last?.optimizer.get('optimizer/vars/0')?.data[0]).toBe(12);
  });

  it('to the beginning where nothing was saved, and gives up where it does not help', async () => {
    const { events } = await runPart(smallOptions({ device: failing((run) => run === 2), onNan: 'rollback' }));
    expect(ofType(events, 'resume')).toEqual([{ type: 'resume', reason: 'rolled back', epoch: 1, step: 0 }]);
    await hybridError('E_DIVERGED', runPart(smallOptions({ device: failing((run) => run > 7), onNan: 'rollback' })));
  });
});

describe('a state that is not finite', () => {
  /** Weights overflow in the very first update, loss and gradient being finite still. */
  const exploding: Partial<TrainOptions> = { learningRate: 1e200, epochs: 1, checkpointEvery: { steps: 1 } };

  it('is never saved', async () => {
    const store = new MemoryStore();
    const error = await hybridError('E_DIVERGED', runPart(smallOptions({ ...exploding, store })));
    expect(error.message).toMatch(/epoch 1, step \d/);
    expect(store.saved).toEqual([]);
  });

  it('is not begun from', async () => {
    const init = initialize(smallModel, 1n);
    init.get('layers/conv2d/vars/0')?.fill(Number.NaN);
    const error = await hybridError('E_CHECKPOINT', runPart(smallOptions({ init })));
    expect(error.message).toContain('layers/conv2d/vars/0 are not all finite');
  });
});

it('a validation loss that is not finite is never the best', async () => {
  const store = new MemoryStore();
  const validation: Dataset = smallOptions().validation as Dataset;
  const device = openReferenceDevice();
  const withNan: Device = {
    ...device,
    async compile(graphs, options) {
      const executable = await device.compile(graphs, options);
      const evaluate = executable.evaluate.bind(executable);
      executable.evaluate = async (batch, run) => ({ ...(await evaluate(batch, run)), loss: Number.NaN });
      return executable;
    },
  };
  const { result, events } = await runPart(smallOptions({ device: withNan, validation, store }));
  expect(result.best).toBeNull();
  expect(store.saved.map(({ kind }) => kind)).toEqual(['last', 'last']);
  expect(ofType(events, 'message').map(({ text }) => text)).toContain('Epoch 1: val_loss did not improve from None (it is NaN)');
});
