import { createHash } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PURPOSE, philox4x32, philoxKey } from '../../runtime/base/philox.ts';
import { drawsOf } from '../../runtime/data/augment/augmentations.ts';
import { cropImage, cropOf } from '../../runtime/data/augment/crop.ts';
import type { Dataset, Subset } from '../../runtime/data/dataset.ts';
import type { LoadedBatch } from '../../runtime/data/epoch.ts';
import type { FeedOptions } from '../../runtime/data/feed.ts';
import { batchesPerEpoch } from '../../runtime/data/loader.ts';
import { meanColour } from '../../runtime/data/mean-colour.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import { DataPipeline, loadDataKernels, type PipelineOptions } from '../../runtime/data/pipeline.ts';
import { epochOrder, Sampler } from '../../runtime/data/sampler.ts';
import { firstSamples, split } from '../../runtime/data/split.ts';
import { referenceBatches } from '../support/reference-batches.ts';

/** structuredClone would not copy what lies in shared memory. */
const copyOf = (batch: LoadedBatch): LoadedBatch => ({
  ...batch,
  images: Uint8Array.from(batch.images),
  floats: batch.floats && Float32Array.from(batch.floats),
});

/** The batches of one epoch of a pipeline of its own, copied: their images are used again. */
async function copies(
  feed: Omit<FeedOptions, 'seed' | 'shuffle'> & Partial<FeedOptions>,
  epoch = 1,
  options: PipelineOptions = { workers: 0 },
) {
  await using data = await DataPipeline.open({ only: { seed: 1n, shuffle: false, ...feed } }, options);
  const batches: LoadedBatch[] = [];
  for await (const batch of data.loader('only').epoch(epoch)) batches.push(copyOf(batch));
  return batches;
}

const dataset = (size: number, shape: readonly [number, number, number] = [2, 3, 2]) => {
  const bytes = shape[0] * shape[1] * shape[2];
  return memoryDataset({
    name: 'test',
    shape,
    classes: ['a', 'b'],
    labels: Int32Array.from({ length: size }, (_, i) => i * 3),
    images: Uint8Array.from({ length: size * bytes }, (_, k) => (Math.floor(k / bytes) * 31 + (k % bytes) * 5) & 0xff),
  });
};

function philox(seed: bigint, counter: readonly number[]): Uint32Array {
  const words = new Uint32Array(4);
  philox4x32(philoxKey(seed), counter, words);
  return words;
}

const KNOWN_ORDER = [1, 8, 3, 11, 9, 4, 7, 6, 2, 5, 10, 0];
const KNOWN_DRAWS = [
  { dx: -1, dy: -1, flip: true },
  { dx: 1, dy: -1, flip: true },
  { dx: -4, dy: -2, flip: true },
  { dx: -1, dy: -4, flip: false },
];

const sortedCopy = (values: Iterable<number>): number[] => [...values].sort((a, b) => a - b);
const range = (size: number): number[] => Array.from({ length: size }, (_, i) => i);

describe('epochOrder', () => {
  test('is a permutation, fixed by seed and epoch', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 300 }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.nat(1_000), (size, seed, epoch) => {
        const order = epochOrder(size, { seed, epoch, shuffle: true });
        expect(sortedCopy(order)).toEqual(range(size));
        expect(epochOrder(size, { seed, epoch, shuffle: true })).toEqual(order);
      }),
    );
  });

  test('without shuffling it is the stored order', () => {
    expect([...epochOrder(5, { seed: 1n, epoch: 1, shuffle: false })]).toEqual([0, 1, 2, 3, 4]);
  });

  test('known answer: the draws are frozen', () => {
    expect([...epochOrder(12, { seed: 0x0123456789abcdefn, epoch: 3, shuffle: true })]).toEqual(KNOWN_ORDER);
  });

  test('the data kernel draws the same orders, of any size', async () => {
    const kernels = await loadDataKernels();
    const seeds = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    const check = (size: number, seed: bigint, epochs: readonly number[]) => {
      const sampler = new Sampler(kernels, size, { seed, shuffle: true });
      for (const epoch of epochs) expect(sampler.order(epoch)).toEqual(epochOrder(size, { seed, epoch, shuffle: true }));
    };
    fc.assert(fc.property(fc.nat(40), seeds, fc.nat(2 ** 31), (size, seed, epoch) => check(size, seed, [epoch, epoch + 1])));
    check(45_001, 5n, [1, 2]);
    expect(new Sampler(kernels, 5, { seed: 1n, shuffle: false }).order(3)).toEqual(Int32Array.from(range(5)));
  });

  test('follows the documented draw, in whole numbers', () => {
    const [size, seed, epoch] = [40, 99n, 7];
    const order = range(size);
    for (let i = size - 1; i > 0; i--) {
      const j = Number((BigInt(philox(seed, [i, epoch, 1, 0])[0]) * BigInt(i + 1)) >> 32n);
      [order[i], order[j]] = [order[j], order[i]];
    }
    expect([...epochOrder(size, { seed, epoch, shuffle: true })]).toEqual(order);
  });

  test('mixes the whole set: displacements have the spread of a uniform permutation', () => {
    const size = 45_000;
    for (const epoch of [1, 2]) {
      const order = epochOrder(size, { seed: 5n, epoch, shuffle: true });
      let [sum, squares] = [0, 0];
      order.forEach((sample, position) => {
        sum += position - sample;
        squares += (position - sample) ** 2;
      });
      expect(sum).toBe(0);
      // The difference of two independent uniform numbers has the variance n²/6.
      expect(Math.sqrt(squares / size) / (size / Math.sqrt(6))).toBeCloseTo(1, 1);
    }
  });

  test('each sample is about as likely in each place, and epochs and seeds differ', () => {
    const [size, epochs] = [6, 3_000];
    const seen = Array.from({ length: size }, () => new Array<number>(size).fill(0));
    for (let epoch = 0; epoch < epochs; epoch++) {
      epochOrder(size, { seed: 2n, epoch, shuffle: true }).forEach((sample, position) => {
        seen[position][sample]++;
      });
    }
    // Standard deviation 20 around 500: five of them.
    for (const count of seen.flat()) expect(Math.abs(count - epochs / size)).toBeLessThan(102);
    const [a, b, c] = [
      [1n, 1],
      [1n, 2],
      [2n, 1],
    ] as const;
    const orders = [a, b, c].map(([seed, epoch]) => epochOrder(1_000, { seed, epoch, shuffle: true }).join());
    expect(new Set(orders).size).toBe(3);
  });
});

describe('augmentation', () => {
  const draws = (options: { crop: number; flip: boolean }, samples: number[], seed = 7n, epoch = 2) => {
    return samples.map((sample) => cropOf(drawsOf(seed, epoch, sample), epoch, options));
  };

  test('known answer: the draws are frozen', () => {
    expect(draws({ crop: 4, flip: true }, [0, 1, 2, 49_999])).toEqual(KNOWN_DRAWS);
  });

  test('follows the documented words, in whole numbers', () => {
    for (const [sample, drawn] of draws({ crop: 4, flip: true }, range(50)).entries()) {
      const words = philox(7n, [sample, 2, PURPOSE.augment, 0]);
      expect(drawn).toEqual({
        dx: Number((BigInt(words[0]) * 9n) >> 32n) - 4,
        dy: Number((BigInt(words[1]) * 9n) >> 32n) - 4,
        flip: words[2] >= 2 ** 31,
      });
    }
  });

  test('one option does not change the draws of the other', () => {
    const both = draws({ crop: 4, flip: true }, range(30));
    expect(draws({ crop: 4, flip: false }, range(30))).toEqual(both.map((drawn) => ({ ...drawn, flip: false })));
    expect(draws({ crop: 0, flip: true }, range(30))).toEqual(both.map(({ flip }) => ({ dx: 0, dy: 0, flip })));
  });

  test('offsets are uniform and flips are half, independent of each other', () => {
    const all = draws({ crop: 4, flip: true }, range(18_000));
    for (let offset = -4; offset <= 4; offset++) {
      // Standard deviation 42 around 2,000: five of them.
      expect(Math.abs(all.filter(({ dx }) => dx === offset).length - 2_000)).toBeLessThan(211);
      expect(Math.abs(all.filter(({ dy }) => dy === offset).length - 2_000)).toBeLessThan(211);
      expect(Math.abs(all.filter(({ dx, flip }) => dx === offset && flip).length - 1_000)).toBeLessThan(154);
    }
  });

  test('equals padding, cutting and mirroring done the plain way', () => {
    const sides = fc.integer({ min: 1, max: 7 });
    const offsets = fc.integer({ min: -8, max: 8 });
    fc.assert(
      fc.property(
        sides,
        sides,
        fc.integer({ min: 1, max: 4 }),
        offsets,
        offsets,
        fc.boolean(),
        fc.infiniteStream(fc.nat(255)),
        (h, w, c, dx, dy, flip, bytes) => {
          const source = Uint8Array.from({ length: h * w * c }, () => bytes.next().value);
          const expected = new Uint8Array(h * w * c);
          for (let y = 0; y < h; y++) {
            for (let x = 0; x < w; x++) {
              for (let k = 0; k < c; k++) {
                const [sy, sx] = [y + dy, (flip ? w - 1 - x : x) + dx];
                const inside = sy >= 0 && sy < h && sx >= 0 && sx < w;
                expected[(y * w + x) * c + k] = inside ? source[(sy * w + sx) * c + k] : 9 + k;
              }
            }
          }
          expect(cropImage(source, [h, w, c], { dx, dy, flip }, [9, 10, 11, 12])).toEqual(expected);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('the pipeline', () => {
  test('keeps nothing of the batches of an epoch', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    await using data = await DataPipeline.open(
      { only: { dataset: dataset(20_000, [1, 1, 3]), batch: 1, seed: 1n, shuffle: false, resident: true } },
      { workers: 0 },
    );
    const heap = () => {
      collect();
      return process.memoryUsage().heapUsed / 2 ** 20;
    };
    let batches = 0;
    let before = 0;
    for await (const _ of data.loader('only').epoch(1))
      if (++batches === 2000) before = heap();
      else if (batches === 20_000) expect(heap() - before).toBeLessThan(5);
    expect(batches).toBe(20_000);
  });

  const augment = { crop: 4, flip: true } as const;
  const noise = (length: number) => Uint8Array.from({ length }, (_, i) => Math.imul(i + 1, 0x9e3779b1) >>> 24);
  const set = (size: number, shared: boolean): Dataset => {
    const bytes = noise(size * 3072);
    const images = shared ? new Uint8Array(new SharedArrayBuffer(bytes.length)) : new Uint8Array(bytes.length);
    images.set(bytes);
    return memoryDataset({
      name: 'noise',
      shape: [32, 32, 3],
      classes: ['a'],
      labels: Uint8Array.from({ length: size }, (_, i) => i % 10),
      images,
    });
  };

  /** The same part without the place of its images. */
  const unplaced = (part: Subset): Subset => {
    const { name, size, shape, classes, labels, samples } = part;
    return { name, size, shape, classes, labels, samples, read: (indices, out) => part.read(indices, out) };
  };

  /** Of everything that a device is given in two epochs. */
  async function fingerprint(feed: Partial<FeedOptions>, options: PipelineOptions): Promise<string> {
    const { train } = split(set(700, true), { valFraction: 0.1 });
    await using data = await DataPipeline.open(
      { only: { dataset: train, batch: 128, seed: 42n, shuffle: true, augment, ...feed } },
      options,
    );
    const hash = createHash('sha256');
    for (const epoch of [1, 2]) {
      for await (const { images, labels, samples } of data.loader('only').epoch(epoch)) {
        hash.update(images.slice());
        hash.update(Uint8Array.from(labels));
        hash.update(new Uint8Array(samples.buffer));
      }
    }
    return hash.digest('hex');
  }
  /** Of the loader of version 0.1.0, which had neither kernels nor workers. */
  const FROZEN = '9a27eda140310fe4fc342316efb7ba3074d28ee00cd630dae6be8915299c7d4e';

  test.each([0, 1, 2, 3, 4, 5, 6, 7, 8])('%i workers: the same bytes as ever', async (workers) => {
    expect(await fingerprint({}, { workers })).toBe(FROZEN);
  });

  test.each([1, 7, 64, 127, 128, 512])('tasks of %i rows: the same bytes as ever', async (chunk) => {
    expect(await fingerprint({ chunk }, { workers: 2 })).toBe(FROZEN);
  });

  test.each([0, 1, 5])('%i batches ahead: the same bytes as ever', async (prefetch) => {
    expect(await fingerprint({ prefetch }, { workers: 1 })).toBe(FROZEN);
  });

  test('datasets that this thread reads, at once or not, give the same bytes', async () => {
    const { train } = split(set(700, false), { valFraction: 0.1 });
    const slow: Subset = {
      ...unplaced(train),
      read: async (indices, out) => {
        await new Promise((resolve) => setTimeout(resolve, 1));
        await train.read(indices, out);
      },
    };
    for (const workers of [0, 2]) {
      expect(await fingerprint({ dataset: train }, { workers })).toBe(FROZEN);
      expect(await fingerprint({ dataset: slow, chunk: 50 }, { workers })).toBe(FROZEN);
    }
  });

  test('a stratified part: workers find its images, wherever they lie and whoever reads them', async () => {
    for (const placed of [true, false]) {
      const { train } = split(set(700, placed), { valFraction: 0.1, split: 'stratified', seed: 3n });
      expect(train.samples.some((sample, i) => i > 0 && sample > train.samples[i - 1] + 1)).toBe(true);
      const ofWorkers = await fingerprint({ dataset: train }, { workers: 2 });
      expect(ofWorkers).not.toBe(FROZEN);
      // Parts of it, too.
      const part = firstSamples(train, 300);
      const partOfWorkers = await fingerprint({ dataset: part }, { workers: 1 });
      for (const workers of [0, 1]) {
        expect(await fingerprint({ dataset: unplaced(train) }, { workers })).toBe(ofWorkers);
        expect(await fingerprint({ dataset: unplaced(part) }, { workers })).toBe(partOfWorkers);
        const mixed = { augment: { ...augment, mix: { kind: 'mixup', probability: 1 } as const } };
        expect(await fingerprint({ dataset: unplaced(train), ...mixed }, { workers })).toBe(
          await fingerprint({ dataset: train, ...mixed }, { workers }),
        );
      }
    }
  });

  test('planar images and images of a module give the same bytes', async () => {
    const { train } = split(set(700, true), { valFraction: 0.1 });
    const planar = new Uint8Array(new SharedArrayBuffer(700 * 3073));
    const bytes = noise(700 * 3072);
    for (let i = 0; i < 700; i++) {
      for (let at = 0; at < 3072; at++) planar[i * 3073 + 1 + (at % 3) * 1024 + Math.floor(at / 3)] = bytes[i * 3072 + at];
    }
    const first = train.samples[0];
    const records = { kind: 'shared', bytes: planar, offset: 1 + first * 3073, stride: 3073, layout: 'planar' } as const;
    const module = new URL('../support/noise-reader.mjs', import.meta.url).href;
    const decoded = { kind: 'module', module, data: { imageBytes: 3072 }, first } as const;
    for (const images of [records, decoded]) {
      for (const workers of [0, 2]) expect(await fingerprint({ dataset: { ...unplaced(train), images } }, { workers })).toBe(FROZEN);
    }
  });

  test('is the plain way of making batches, with every augmentation', async () => {
    const whole = set(60, true);
    const options = {
      dataset: whole,
      batch: 16,
      augment: { ...augment, padding: 'mean', erase: { probability: 0.5, area: [0.05, 0.3], ratio: 3, fill: 'mean' } },
    } as const;
    const mean = await meanColour(whole);
    const expected = [...referenceBatches({ ...options, seed: 1n, shuffle: true, epoch: 3, mean })];
    const actual = await copies({ ...options, shuffle: true, chunk: 5 }, 3, { workers: 2 });
    expect(
      actual.map(({ rows, images, labels, samples, epoch }) => ({ rows, images: Uint8Array.from(images), labels, samples, epoch })),
    ).toEqual(expected);
  });

  test('hands out the float32 form too', async () => {
    const normalize = { mean: [0.5, 0.4, 0.3], std: [0.2, 0.25, 0.3] };
    for (const shared of [true, false]) {
      const [batch] = await copies({ dataset: set(5, shared), batch: 5, augment, normalize }, 1, { workers: 1 });
      const expected = Float32Array.from(batch.images, (byte, i) =>
        Math.fround(
          Math.fround(byte * Math.fround(1 / (255 * normalize.std[i % 3]))) + Math.fround(-normalize.mean[i % 3] / normalize.std[i % 3]),
        ),
      );
      expect(Float32Array.from(batch.floats ?? [])).toEqual(expected);
    }
  });

  test('is deterministic by seed, sample and epoch, whatever the batch size and order', async () => {
    const images = async (feed: Partial<FeedOptions>, epoch = 1): Promise<Map<number, string>> => {
      const seen = new Map<number, string>();
      for (const batch of await copies(
        { dataset: dataset(23, [8, 8, 3]), batch: 5, seed: 3n, augment: { crop: 2, flip: true }, ...feed },
        epoch,
      )) {
        batch.samples.forEach((sample, i) => {
          seen.set(sample, batch.images.subarray(i * 192, (i + 1) * 192).join());
        });
      }
      return seen;
    };
    const expected = [...(await images({}))];
    expect([...(await images({ batch: 7, shuffle: true }))].sort(([a], [b]) => a - b)).toEqual(expected);
    const held = split(dataset(23, [8, 8, 3]), { valFraction: 0.5 }).train;
    expect([...(await images({ dataset: held }))]).toEqual(expected.slice(11));
    expect([...(await images({}, 2))]).not.toEqual(expected);
    expect([...(await images({ seed: 4n }))]).not.toEqual(expected);
  });

  test('keeps the partial last batch, as the script does', async () => {
    const sizes = async (size: number) => (await copies({ dataset: dataset(size), batch: 128 })).map((batch) => batch.rows);
    expect(await sizes(256 + 72)).toEqual([128, 128, 72]);
    expect(await sizes(256)).toEqual([128, 128]);
    expect(await sizes(3)).toEqual([3]);
    expect(await sizes(0)).toEqual([]);
    expect([45_000, 5_000, 10_000, 128, 0].map((size) => batchesPerEpoch(size, 128))).toEqual([352, 40, 79, 1, 0]);
  });

  test('rows, images, labels, samples and epoch belong together', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 12 }), fc.boolean(), async (size, batch, shuffle) => {
        const whole = dataset(size);
        const { train } = split(whole, { valFraction: 0.25 });
        const seen: number[] = [];
        for (const { rows, images, labels, samples, epoch } of await copies({ dataset: train, batch, shuffle }, 6)) {
          expect([images.length, labels.length, samples.length, epoch]).toEqual([rows * 12, rows, rows, 6]);
          samples.forEach((sample, i) => {
            const expected = new Uint8Array(12);
            whole.read([sample], expected);
            expect(Uint8Array.from(images.subarray(i * 12, i * 12 + 12))).toEqual(expected);
            expect(labels[i]).toBe(sample * 3);
          });
          seen.push(...samples);
        }
        expect(shuffle ? sortedCopy(seen) : seen).toEqual([...train.samples]);
      }),
      { numRuns: 30 },
    );
  });

  test('can begin in the middle of an epoch', async () => {
    const feed = { dataset: dataset(50), batch: 8, seed: 5n, shuffle: true } as const;
    const whole = await copies(feed, 2);
    await using data = await DataPipeline.open({ only: feed }, { workers: 1 });
    for (const from of [0, 3, 6, 7, 9]) {
      const rest: LoadedBatch[] = [];
      for await (const batch of data.loader('only').epoch(2, { from })) rest.push(copyOf(batch));
      expect(rest).toEqual(whole.slice(from));
    }
  });

  test('a batch stays as it is until the next one is asked for', async () => {
    await using data = await DataPipeline.open({ only: { dataset: dataset(24), batch: 2, seed: 1n, shuffle: false } }, { workers: 2 });
    for await (const batch of data.loader('only').epoch(1)) {
      const before = copyOf(batch);
      await new Promise((resolve) => setTimeout(resolve, 3));
      expect(copyOf(batch)).toEqual(before);
    }
  });

  test('bad options are refused', async () => {
    const feed = { dataset: dataset(3), batch: 2, seed: 1n, shuffle: false };
    await expect(DataPipeline.open({ only: { ...feed, batch: 0 } })).rejects.toMatchObject({ code: 'E_INTERNAL' });
    await expect(DataPipeline.open({ only: feed }, { workers: -1 })).rejects.toMatchObject({ code: 'E_USAGE' });
    await expect(DataPipeline.open({ only: feed }, { workers: 1.5 })).rejects.toMatchObject({ code: 'E_USAGE' });
    const reflect = { crop: 2, flip: false, padding: 'reflect' } as const;
    await expect(DataPipeline.open({ only: { ...feed, augment: reflect } })).rejects.toMatchObject({ code: 'E_USAGE' });
  });
});
