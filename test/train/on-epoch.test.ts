// `onEpoch`: the weights behind an epoch for whoever asks, in the order of the run.

import { expect, it } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import type { Checkpoint } from '../../runtime/train/checkpoint.ts';
import { evaluate } from '../../runtime/train/evaluate.ts';
import type { EpochState, TrainOptions } from '../../runtime/train/events.ts';
import { train } from '../../runtime/train/run.ts';
import { hybridError } from '../support/expect-error.ts';
import { onCompile } from '../support/on-compile.ts';
import { digestOf, MemoryStore, smallModel, smallOptions } from '../support/runs.ts';
import { shapesDataset } from '../support/shapes-dataset.ts';

const model = smallModel;
const validation = shapesDataset(20);
const options = (changes: Partial<TrainOptions>): TrainOptions =>
  smallOptions({ epochs: 3, validation, augment: { crop: 0, flip: false }, ...changes });

it('has the weights that the epoch was validated with, and the best ones of the run', async () => {
  const seen: { readonly loss: number; readonly expected: number; readonly weights: ReadonlyMap<string, Float32Array> }[] = [];
  const run = train(
    options({
      async onEpoch({ epoch, validation: measured }, state) {
        expect(epoch).toBe(seen.length + 1);
        const weights = await state.weights();
        const { loss } = await evaluate({ device: openReferenceDevice(), model, weights, dataset: validation, workers: 0 });
        seen.push({ loss, expected: measured?.loss as number, weights });
      },
    }),
  );
  const { best } = await run.result;
  expect(seen).toHaveLength(3);
  for (const { loss, expected } of seen) expect(loss).toBeCloseTo(expected, 6); // the reference device keeps doubles, weights are floats
  expect(new Set(seen.map(({ loss }) => loss)).size).toBe(3);
  expect(seen[(best?.epoch as number) - 1].weights).toEqual(await run.weights);
});

it('is waited for, and the run is the same with it and without', async () => {
  const order: string[] = [];
  const run = train(
    options({
      async onEpoch({ epoch }) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        order.push(`onEpoch ${epoch}`);
      },
    }),
  );
  for await (const event of run) if (event.type === 'step' && event.step === 1) order.push(`epoch ${event.epoch}`);
  expect(order).toEqual(['epoch 1', 'onEpoch 1', 'epoch 2', 'onEpoch 2', 'epoch 3', 'onEpoch 3']);
  const other = train(options({}));
  expect(await other.weights).toEqual(await run.weights);
});

it('may stop the run; what it throws ends it, after the checkpoint', async () => {
  const stopping = train(options({ onEpoch: ({ epoch }) => void (epoch === 2 && stopping.stop()) }));
  expect(await stopping.result).toMatchObject({ reason: 'aborted', epochs: 2 });
  const store = new MemoryStore();
  const failing = train(
    options({
      store,
      onEpoch() {
        throw new RangeError('of my own');
      },
    }),
  );
  await expect(failing.result).rejects.toThrow(new RangeError('of my own'));
  expect((await store.load('last'))?.progress.epoch).toBe(1);
});

it('refuses the weights later, when they are those of another step, and what is no function', async () => {
  const states: EpochState[] = [];
  await train(options({ onEpoch: (_, state) => void states.push(state) })).result;
  expect((await hybridError('E_USAGE', states[0].weights())).message).toBe(
    'the weights of epoch 1 were asked for after its onEpoch had returned',
  );
  const wrong = train(options({ onEpoch: 'log' as unknown as TrainOptions['onEpoch'] }));
  expect((await hybridError('E_USAGE', wrong.result)).message).toBe('onEpoch is of type string');
});

it('may wait for the run to stop, and a run that is stopped does not wait for it', async () => {
  const waiting = train(options({ onEpoch: async ({ epoch }) => void (epoch === 2 && (await waiting.stop())) }));
  expect(await waiting.result).toMatchObject({ reason: 'aborted', epochs: 2 });
  const endless = train(options({ onEpoch: () => new Promise(() => {}) }));
  for await (const event of endless) if (event.type === 'epoch') void endless.stop();
  expect(await endless.result).toMatchObject({ reason: 'aborted', epochs: 1 });
});

it('has the state that a store is given, and a run goes on from it to the same bits', async () => {
  const [store, again] = [new MemoryStore(), new MemoryStore()];
  const states: Checkpoint[] = [];
  await using device = await openWasmDevice({ threads: 1 }); // the reference device keeps doubles
  await train(options({ device, store, onEpoch: async (_, state) => void states.push(await state.checkpoint()) })).result;
  const last = ({ saved }: MemoryStore) => saved.filter(({ kind }) => kind === 'last').map(({ checkpoint }) => digestOf(checkpoint));
  expect(states.map(digestOf)).toEqual(last(store));
  await train(options({ device, store: again, resume: states[0] })).result;
  expect(last(again)).toEqual(last(store).slice(1));
});

it('that asks for nothing has nothing read', async () => {
  const readsWith = async (onEpoch: TrainOptions['onEpoch']) => {
    let reads = 0;
    const device = onCompile(openReferenceDevice(), (executable) => {
      const read = executable.read.bind(executable);
      executable.read = (name) => {
        reads++;
        return read(name);
      };
      return executable;
    });
    await train(options({ device, onEpoch })).result;
    return reads;
  };
  const none = await readsWith(undefined);
  expect(await readsWith(() => {})).toBe(none);
  expect(await readsWith(async (_, state) => void (await state.weights()))).toBe(none + 3 * model.variables.length);
});
