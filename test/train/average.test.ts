// Averages of the weights, beside the same in doubles, made of the weights that a run has after each step.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import type { Device } from '../../runtime/device.ts';
import { weightsOf } from '../../runtime/train/device-state.ts';
import { evaluate } from '../../runtime/train/evaluate.ts';
import type { TrainOptions } from '../../runtime/train/events.ts';
import { train } from '../../runtime/train/run.ts';
import { hybridError } from '../support/expect-error.ts';
import { MemoryStore, smallOptions as optionsOnReference, runPart } from '../support/runs.ts';

// Not the reference device: its state is in doubles, and what is read and written back are floats.
let device: Device;
beforeAll(async () => {
  device = await openWasmDevice({ threads: 1 });
});
afterAll(() => device.close());
const smallOptions = (changes: Partial<TrainOptions> = {}) => optionsOnReference({ device, ...changes });

type Weights = ReadonlyMap<string, Float32Array>;

/** What every step leaves: the weights that training goes on from, and those of the checkpoint. */
async function steps(changes: Partial<TrainOptions>) {
  const store = new MemoryStore();
  const { result } = await runPart(smallOptions({ store, checkpointEvery: { steps: 1 }, workers: 0, ...changes }));
  const last = new Map(
    store.saved
      .filter(({ kind }) => kind === 'last')
      .map(({ checkpoint }) => [6 * ((checkpoint.progress.epoch as number) - 1) + (checkpoint.progress.step as number), checkpoint]),
  );
  const fast = (step: number): Weights => {
    const { weights, optimizer } = last.get(step) ?? expect.fail(`no checkpoint of step ${step}`);
    return new Map([...weights].map(([name, { data }]) => [name, optimizer.get(`unaveraged/${name}`)?.data ?? data]));
  };
  const slow = (step: number): Weights => weightsOf(last.get(step) ?? expect.fail(`no checkpoint of step ${step}`));
  return { result, store, fast, slow };
}

function expectNear(found: Weights, expected: ReadonlyMap<string, ArrayLike<number>>): void {
  for (const [name, values] of found) {
    const wanted = expected.get(name) as ArrayLike<number>;
    for (const [i, value] of values.entries()) expect(Math.abs(value - wanted[i]), name).toBeLessThan(2e-6);
  }
}

const mix = (before: ReadonlyMap<string, ArrayLike<number>>, now: Weights, decay: number) =>
  new Map(
    [...now].map(([name, values]) => [
      name,
      Float64Array.from(values, (value, i) => (before.get(name) as ArrayLike<number>)[i] * decay + value * (1 - decay)),
    ]),
  );

test('ema: each step counts 1 − ema, the weights of before as often as they are old; training is the same as without', async () => {
  const { fast, slow, store, result } = await steps({ ema: 0.7, epochs: 2 });
  const plain = await steps({ epochs: 2 });
  for (const [name, values] of fast(12)) expect(values).toEqual(plain.fast(12).get(name));
  let average: ReadonlyMap<string, ArrayLike<number>> = slow(1);
  for (let step = 2; step <= 12; step++) {
    average = mix(average, fast(step), 0.7);
    expectNear(slow(step), average);
  }
  // What is told, tested and returned is the average.
  const { model, test: dataset } = smallOptions();
  const best = await store.load('best');
  if (!best || !dataset) throw new Error('nothing to be measured');
  const evaluated = await evaluate({ device, model, weights: weightsOf(best), dataset, batch: 8 });
  expect(result.test?.loss).toBeCloseTo(evaluated.loss, 12);
});

test('lookahead: every k steps the weights go back to the average, with 0.95^k · (share of the steps)³ of the one before', async () => {
  const { fast, slow } = await steps({ lookahead: 4, epochs: 2 });
  const plain = await steps({ epochs: 2 });
  for (const step of [1, 2, 3]) for (const [name, values] of fast(step)) expect(values).toEqual(plain.fast(step).get(name));
  expectNear(slow(4), mix(slow(3), plain.fast(4), 0.95 ** 4 * (4 / 12) ** 3));
  for (const step of [4, 8, 12]) for (const [name, values] of slow(step)) expect(fast(step).get(name)).toEqual(values);
  for (const step of [5, 6, 7]) for (const [name, values] of slow(step)) expect(values).toEqual(slow(4).get(name));
  // The gradient of step 5 is that of the weights that step 4 went back to.
  expect(fast(5)).not.toEqual(plain.fast(5));
});

test('what onEpoch and the run return is the average', async () => {
  const store = new MemoryStore();
  let seen: Weights | undefined;
  const run = train(
    smallOptions({
      ...{ store, ema: 0.9, epochs: 1, validation: null },
      onEpoch: async (_, state) => {
        seen = await state.weights();
      },
    }),
  );
  const weights = await run.weights;
  expect(seen).toEqual(weights);
  expect(weightsOf((await store.load('last')) ?? expect.fail('nothing saved'))).toEqual(weights);
});

test('averages that exclude each other are refused', async () => {
  for (const [changes, message] of [
    [{ ema: 0.9, lookahead: 5 }, '`ema` and `lookahead` are two averages of the same weights'],
    [{ ema: 0.9, recalibrateBn: 2 }, '`ema` and `recalibrateBn` exclude each other'],
    [{ lookahead: 5, recalibrateBn: 2 }, '`lookahead` and `recalibrateBn` exclude each other'],
  ] as const)
    expect((await hybridError('E_USAGE', train(smallOptions(changes)).result)).message).toContain(message);
});
