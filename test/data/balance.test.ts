// Balanced orders: every class as often, all images in turn, the same by seed and epoch, and runs that go on with them.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import { balancedPositions, repeatsIn, sampleAgain } from '../../runtime/data/balance.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import { DataPipeline } from '../../runtime/data/pipeline.ts';
import type { Device } from '../../runtime/device.ts';
import { train } from '../../runtime/train/run.ts';
import { hybridError } from '../support/expect-error.ts';
import { digestOf, MemoryStore, runPart, smallOptions } from '../support/runs.ts';

/** 30, 7 and 3 images of three classes out of four. */
const labels = Int32Array.from({ length: 40 }, (_, i) => (i % 4 < 3 ? 0 : i % 12 === 3 ? 3 : 1));
const countOf = (positions: Int32Array, label: number) => positions.filter((i) => labels[i] === label).length;

describe('a balanced order', () => {
  it('has as many of every class that there is, in the long run exactly', () => {
    const totals = new Map<number, number>();
    for (let epoch = 1; epoch <= 30; epoch++) {
      const positions = balancedPositions(labels, 40, { seed: 3n, epoch });
      expect(positions).toHaveLength(40);
      for (const label of [0, 1, 3]) {
        const count = countOf(positions, label);
        expect([13, 14]).toContain(count);
        totals.set(label, (totals.get(label) ?? 0) + count);
      }
    }
    expect([...totals.values()]).toEqual([400, 400, 400]);
  });

  it('takes the images of a class in turn: none comes a second time before all have come', () => {
    const seen = new Int32Array(40);
    for (let epoch = 1; epoch <= 25; epoch++) {
      for (const i of balancedPositions(labels, 40, { seed: 3n, epoch })) seen[i]++;
      for (const label of [0, 1, 3]) {
        const counts = [...seen].filter((_, i) => labels[i] === label);
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
      }
    }
  });

  it('follows from seed and epoch alone', () => {
    const order = (seed: bigint, epoch: number) => [...balancedPositions(labels, 40, { seed, epoch })];
    expect(order(3n, 2)).toEqual(order(3n, 2));
    expect(order(4n, 2)).not.toEqual(order(3n, 2));
    expect(order(3n, 3)).not.toEqual(order(3n, 2));
    // A known answer: what a seed means must not change.
    expect(order(3n, 2).slice(27)).toEqual(KNOWN);
  });

  it('numbers repeated samples anew', () => {
    expect([...repeatsIn(Int32Array.of(2, 0, 2, 2, 1), 3)]).toEqual([0, 0, 1, 2, 0]);
    expect([sampleAgain(5, 0, 40), sampleAgain(5, 2, 40), sampleAgain(5, 7, 2 ** 30)]).toEqual([5, 85, 5]);
  });
});

const KNOWN = [15, 27, 27, 39, 3, 15, 27, 15, 39, 3, 39, 3, 27];

describe('a feed with a balanced order', () => {
  it('gives repeated images other draws, and the same bytes for any number of workers', async () => {
    const images = new Uint8Array(new SharedArrayBuffer(40 * 48)).map((_, i) => i % 251);
    const dataset = memoryDataset({ name: 'x', shape: [4, 4, 3], classes: ['a', 'b', 'c', 'd'], labels, images });
    const batches = async (workers: number) => {
      const feed = { dataset, batch: 16, seed: 3n, shuffle: true, sampling: 'balanced', augment: { crop: 1, flip: true } } as const;
      const pipeline = await DataPipeline.open({ x: feed }, { workers });
      const found: { labels: number[]; samples: number[]; images: number[] }[] = [];
      for await (const batch of pipeline.loader('x').epoch(2))
        found.push({ labels: [...batch.labels], samples: [...batch.samples], images: [...batch.images] });
      await pipeline.close();
      return found;
    };
    const here = await batches(0);
    expect(await batches(2)).toEqual(here);
    const samples = here.flatMap((batch) => batch.samples);
    expect(new Set(samples).size).toBe(40);
    expect(samples.map((sample) => labels[sample % 40])).toEqual(here.flatMap((batch) => batch.labels));
    expect(samples.some((sample) => sample >= 40)).toBe(true);
  });
});

describe('a run with balanced sampling', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openWasmDevice({ threads: 1 });
  });
  afterAll(() => device.close());

  it('is the same one whenever it was stopped', async () => {
    const options = { device, sampling: 'balanced', workers: 0 } as const;
    const whole = new MemoryStore();
    await runPart(smallOptions({ ...options, store: whole }));
    const digest = async (store: MemoryStore) => digestOf((await store.load('last')) as never);
    for (const stopAt of [2, 7]) {
      const store = new MemoryStore();
      await runPart(smallOptions({ ...options, store }), stopAt);
      await runPart(smallOptions({ ...options, store, resume: (await store.load('last')) as never }));
      expect(await digest(store)).toBe(await digest(whole));
    }
    const plain = new MemoryStore();
    await runPart(smallOptions({ device, workers: 0, store: plain }));
    expect(await digest(plain)).not.toBe(await digest(whole));
  });

  it('refuses weights of classes that balance them a second time', async () => {
    const error = await hybridError('E_USAGE', train(smallOptions({ device, sampling: 'balanced', classWeights: 'balanced' })).result);
    expect(error.message).toContain('would make small classes weigh more than large ones');
  });
});
