// Batches in parts: the gradients, loss and weights of whole ones, and the memory of a part.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import type { Device } from '../../runtime/device.ts';
import { layers } from '../../runtime/layers/functional.ts';
import { sequentialModel } from '../../runtime/model/layered-model.ts';
import type { TrainOptions } from '../../runtime/train/events.ts';
import { MemoryStore, ofType, runPart, smallOptions } from '../support/runs.ts';

let device: Device;
beforeAll(async () => {
  device = await openWasmDevice({ threads: 2 });
});
afterAll(() => device.close());

// Without batch normalisation, whose statistics would be those of parts; with dropout, whose draws are those of the samples.
const { conv2d, dense, dropout, flatten, rescaling } = layers;
const model = sequentialModel({
  name: 'plain',
  input: [8, 8, 3],
  layers: [
    rescaling({ scale: 1 / 255 }),
    conv2d({ filters: 6, kernelSize: 3, activation: 'gelu' }),
    flatten(),
    dropout({ rate: 0.2 }),
    dense({ units: 4 }),
  ],
});

async function weightsAfter(changes: Partial<TrainOptions>) {
  const store = new MemoryStore();
  const { result, events } = await runPart(smallOptions({ device, model, store, epochs: 2, ...changes }));
  const last = (await store.load('last')) ?? expect.fail('nothing was saved');
  return { last, result, losses: ofType(events, 'step').map(({ loss, accuracy }) => [loss, accuracy]) };
}

test.each([2, 3, 8, 100])('in %i parts, the last batch shorter, weights and losses are those of whole batches', async (accumulate) => {
  const [whole, parts] = [await weightsAfter({}), await weightsAfter({ accumulate })];
  for (const [name, { data }] of whole.last.weights) {
    const other = parts.last.weights.get(name)?.data ?? new Float32Array();
    for (const [i, value] of data.entries()) expect(Math.abs(value - other[i]), name).toBeLessThan(2e-4);
  }
  expect(parts.result.test?.loss).toBeCloseTo(whole.result.test?.loss ?? 0, 4);
  expect(parts.losses[0][0]).toBeCloseTo(whole.losses[0][0], 6);
});

test('with another number of threads it is the same run', async () => {
  const one = await weightsAfter({ accumulate: 3 });
  const other = await openWasmDevice({ threads: 1 });
  try {
    const again = await weightsAfter({ accumulate: 3, device: other });
    for (const [name, { data }] of one.last.weights) expect(again.last.weights.get(name)?.data).toEqual(data);
  } finally {
    await other.close();
  }
});

test('a step with a part that is not finite changes nothing', async () => {
  const skipped = await weightsAfter({ accumulate: 4, learningRate: 1e30, onNan: 'skip', epochs: 1, weightDecay: 0 });
  for (const [, { data }] of skipped.last.weights) expect(data.every(Number.isFinite)).toBe(true);
});

test('the device is asked for the rows of a part', async () => {
  const capacities: number[] = [];
  const watched: Device = { ...device, compile: (graphs, options) => (capacities.push(options.capacity), device.compile(graphs, options)) };
  await weightsAfter({ accumulate: 3, device: watched, epochs: 1 });
  expect(capacities).toEqual([3]);
});
