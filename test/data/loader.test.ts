import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PURPOSE, philox4x32, philoxKey } from '../../runtime/base/philox.ts';
import { augmentationDraws, augmentImage } from '../../runtime/data/augment.ts';
import { batchesPerEpoch, type LoaderOptions, loadBatches } from '../../runtime/data/loader.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import { epochOrder } from '../../runtime/data/sampler.ts';
import { split } from '../../runtime/data/split.ts';

/** Copies of the batches: their arrays are used again. */
const copies = (options: LoaderOptions) => Array.from(loadBatches(options), (batch) => structuredClone(batch));

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
    const draw = augmentationDraws(seed, epoch, options);
    return samples.map((sample) => ({ ...draw(sample) }));
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
          // Something before and after, to see that neither is read or written.
          const source = Uint8Array.from({ length: h * w * c + 10 }, () => bytes.next().value);
          const target = new Uint8Array(h * w * c + 8).fill(77);
          augmentImage(source, 5, target, 4, [h, w, c], { dx, dy, flip });
          const expected = new Uint8Array(target.length).fill(77);
          for (let y = 0; y < h; y++) {
            for (let x = 0; x < w; x++) {
              for (let k = 0; k < c; k++) {
                const [sy, sx] = [y + dy, (flip ? w - 1 - x : x) + dx];
                const inside = sy >= 0 && sy < h && sx >= 0 && sx < w;
                expected[4 + (y * w + x) * c + k] = inside ? source[5 + (sy * w + sx) * c + k] : 0;
              }
            }
          }
          expect(target).toEqual(expected);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('is deterministic by seed, sample and epoch, whatever the batch size and order', () => {
    const images = (options: Partial<LoaderOptions>): Map<number, string> => {
      const seen = new Map<number, string>();
      const base = { dataset: dataset(23, [8, 8, 3]), batch: 5, epoch: 1, seed: 3n, shuffle: false, augment: { crop: 2, flip: true } };
      for (const batch of loadBatches({ ...base, ...options })) {
        batch.samples.forEach((sample, i) => {
          seen.set(sample, batch.images.subarray(i * 192, (i + 1) * 192).join());
        });
      }
      return seen;
    };
    const expected = [...images({})];
    expect([...images({ batch: 7, shuffle: true })].sort(([a], [b]) => a - b)).toEqual(expected);
    const held = split(dataset(23, [8, 8, 3]), { valFraction: 0.5 }).train;
    expect([...images({ dataset: held })]).toEqual(expected.slice(11));
    expect([...images({ epoch: 2 })]).not.toEqual(expected);
    expect([...images({ seed: 4n })]).not.toEqual(expected);
  });
});

describe('loadBatches', () => {
  const plain = { epoch: 1, seed: 1n, shuffle: false };

  test('keeps the partial last batch, as the script does', () => {
    const sizes = (size: number) => copies({ ...plain, dataset: dataset(size), batch: 128 }).map((batch) => batch.rows);
    expect(sizes(256 + 72)).toEqual([128, 128, 72]);
    expect(sizes(256)).toEqual([128, 128]);
    expect(sizes(3)).toEqual([3]);
    expect(sizes(0)).toEqual([]);
    expect([45_000, 5_000, 10_000, 128, 0].map((size) => batchesPerEpoch(size, 128))).toEqual([352, 40, 79, 1, 0]);
  });

  test('rows, images, labels, samples and epoch belong together', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 12 }), fc.boolean(), (size, batch, shuffle) => {
        const whole = dataset(size);
        const { train } = split(whole, { valFraction: 0.25 });
        const seen: number[] = [];
        for (const { rows, images, labels, samples, epoch } of loadBatches({ ...plain, epoch: 6, dataset: train, batch, shuffle })) {
          expect([images.length, labels.length, samples.length, epoch]).toEqual([rows * 12, rows, rows, 6]);
          samples.forEach((sample, i) => {
            const expected = new Uint8Array(12);
            whole.read([sample], expected);
            expect(images.subarray(i * 12, i * 12 + 12)).toEqual(expected);
            expect(labels[i]).toBe(sample * 3);
          });
          seen.push(...samples);
        }
        expect(shuffle ? sortedCopy(seen) : seen).toEqual([...train.samples]);
      }),
    );
  });

  test('a batch stays as it is until two further ones were taken', () => {
    for (const augment of [undefined, { crop: 1, flip: true }]) {
      const options = { ...plain, dataset: dataset(12), batch: 2, augment };
      const expected = copies(options);
      const batches = loadBatches(options);
      let previous = batches.next().value;
      for (const next of expected.slice(1)) {
        const before = structuredClone(previous);
        const batch = batches.next().value;
        expect(batch).toEqual(next);
        expect(previous).toEqual(before);
        previous = batch;
      }
    }
  });

  test('a batch of no rows is refused', () => {
    expect(() => [...loadBatches({ ...plain, dataset: dataset(3), batch: 0 })]).toThrow(expect.objectContaining({ code: 'E_INTERNAL' }));
  });
});
