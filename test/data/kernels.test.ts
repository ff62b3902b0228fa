// Every data kernel against plain loops, byte for byte: all shifts and both flips, and images of many shapes.

import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { PURPOSE } from '../../runtime/base/philox.ts';
import type { AugmentOptions, ImageShape } from '../../runtime/data/augment/augmentation.ts';
import { AUGMENTATIONS, activeAugmentations, augmentReference, drawsOf } from '../../runtime/data/augment/augmentations.ts';
import { cropImage } from '../../runtime/data/augment/crop.ts';
import { ImageKernels, kernelCalls, loadDataKernels, normalization } from '../../runtime/data/kernels.ts';

let module: WebAssembly.Module;
beforeAll(async () => {
  module = await loadDataKernels();
});

const noise = (length: number, salt = 0) => Uint8Array.from({ length }, (_, i) => Math.imul(i + 1 + salt * 7919, 0x9e3779b1) >>> 24);
const bytesOf = ([h, w, c]: ImageShape) => h * w * c;
const MEAN = [10, 130, 250, 77];

/** Kernel and plain loops on as many images as there are samples. */
function both(shape: ImageShape, augment: AugmentOptions, samples: readonly number[], { seed = 5n, epoch = 3 } = {}) {
  const mean = MEAN.slice(0, shape[2]);
  const kernels = new ImageKernels(module, { shape, seed, calls: kernelCalls('interleaved', augment, { shape, mean }) });
  const size = bytesOf(shape);
  const actual: Uint8Array[] = [];
  const expected: Uint8Array[] = [];
  for (let at = 0; at < samples.length; at += kernels.rows) {
    const block = samples.slice(at, at + kernels.rows);
    const images = block.map((sample) => noise(size, sample));
    kernels.input.fill(0xaa);
    for (const [i, image] of images.entries()) kernels.input.set(image, i * size);
    const out = kernels.run(Int32Array.from(block), epoch);
    for (const [i, sample] of block.entries()) {
      actual.push(out.slice(i * size, (i + 1) * size));
      expected.push(augmentReference(images[i], augment, { shape, mean }, { seed, epoch, sample }));
    }
  }
  return { actual, expected };
}

/** Bytes first: comparing arrays element by element is slow, and says where only if there is a where. */
function expectSame({ actual, expected }: { actual: readonly Uint8Array[]; expected: readonly Uint8Array[] }): void {
  for (const [i, image] of expected.entries()) if (Buffer.compare(image, actual[i]) !== 0) expect(actual[i], `image ${i}`).toEqual(image);
}

const range = (n: number) => Array.from({ length: n }, (_, i) => i);

describe('crop', () => {
  test.each(['zero', 'reflect', 'mean'] as const)('all 81 shifts and both flips of CIFAR images, %s padding', (padding) => {
    const options = { crop: 4, flip: true, padding };
    // As many samples as it takes to draw every case.
    const seen = new Set<string>();
    const [crop] = AUGMENTATIONS;
    const samples: number[] = [];
    for (let sample = 0; seen.size < 162 && sample < 20_000; sample++) {
      const [w0, w1, w2] = drawsOf(5n, 3, sample)(PURPOSE.augment, 0);
      const key = `${Math.floor((w0 * 9) / 2 ** 32)} ${Math.floor((w1 * 9) / 2 ** 32)} ${w2 >>> 31}`;
      if (!seen.has(key)) samples.push(sample);
      seen.add(key);
    }
    expect(crop.kernel).toBe('crop');
    expect(samples).toHaveLength(162);
    expectSame(both([32, 32, 3], options, samples));
  });

  test('images of any shape, shifts beyond the image among them', () => {
    const side = fc.integer({ min: 1, max: 40 });
    fc.assert(
      fc.property(
        side,
        side,
        fc.integer({ min: 1, max: 4 }),
        fc.nat(50),
        fc.boolean(),
        fc.constantFrom('zero' as const, 'reflect' as const, 'mean' as const),
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        (h, w, c, most, flip, padding, seed) => {
          const crop = padding === 'reflect' ? Math.min(most, h - 1, w - 1) : most;
          expectSame(both([h, w, c], { crop, flip, padding }, range(7), { seed, epoch: 9 }));
        },
      ),
      { numRuns: 300 },
    );
  });

  test('reflection does not repeat the edge', () => {
    const out = cropImage(Uint8Array.of(1, 2, 3, 4), [1, 4, 1], { dx: -2, dy: 0, flip: false }, null);
    expect([...out]).toEqual([3, 2, 1, 2]);
  });
});

describe('erase', () => {
  const erase = { probability: 0.7, area: [0.02, 0.4], ratio: 3.3, fill: 'mean' } as const;

  test('images of many shapes, after a crop and without', () => {
    for (const shape of [
      [32, 32, 3],
      [28, 28, 1],
      [5, 9, 4],
      [1, 1, 3],
    ] as const) {
      for (const crop of [0, 2]) {
        expectSame(both(shape, { crop, flip: crop > 0, erase }, range(200)));
      }
    }
  });

  test('erases as often and as much as it is told', () => {
    const shape = [32, 32, 3] as const;
    const images = both(shape, { crop: 0, flip: false, erase: { ...erase, fill: 'zero' } }, range(1500));
    const changed = images.actual.map((image, sample) => {
      const before = noise(3072, sample);
      return image.reduce((n, byte, i) => n + Number(byte !== before[i]), 0) / 3072;
    });
    const share = changed.filter((part) => part > 0).length / 1500;
    expect(Math.abs(share - 0.7)).toBeLessThan(0.06); // five standard deviations
    expect(Math.max(...changed)).toBeLessThan(0.42);
    expect(changed.reduce((sum, part) => sum + part, 0) / 1500 / share).toBeCloseTo(0.21, 1);
  });
});

describe('options', () => {
  test('that are not possible are refused', () => {
    const refused = (options: Partial<AugmentOptions>) =>
      expect(() => activeAugmentations({ crop: 0, flip: false, ...options }, [8, 6, 3])).toThrow(
        expect.objectContaining({ code: 'E_USAGE' }),
      );
    refused({ crop: 6, padding: 'reflect' });
    refused({ crop: -1 });
    refused({ crop: 1.5 });
    refused({ erase: { probability: 1.1, area: [0, 1], ratio: 2 } });
    refused({ erase: { probability: 0.5, area: [0.5, 0.1], ratio: 2 } });
    refused({ erase: { probability: 0.5, area: [0, 1], ratio: Number.NaN } });
  });
});

describe('interleave', () => {
  test('planar images become NHWC', () => {
    for (const shape of [
      [32, 32, 3],
      [5, 7, 3],
      [3, 3, 1],
      [4, 5, 4],
    ] as const) {
      const [h, w, c] = shape;
      const kernels = new ImageKernels(module, { shape, seed: 0n, calls: kernelCalls('planar', undefined, { shape, mean: [] }) });
      const rows = Math.min(3, kernels.rows);
      const planar = noise(rows * bytesOf(shape));
      kernels.input.set(planar);
      const out = kernels.run(new Int32Array(rows), 1);
      const expected = Uint8Array.from({ length: out.length }, (_, i) => {
        const image = Math.floor(i / (h * w * c));
        const pixel = Math.floor(i / c) % (h * w);
        return planar[image * h * w * c + (i % c) * h * w + pixel];
      });
      expect(out).toEqual(expected);
    }
  });
});

describe('normalize', () => {
  test('is f32(x)·scale + shift, rounded twice', () => {
    for (const [h, w, c] of [
      [32, 32, 3],
      [5, 7, 3],
      [3, 3, 1],
      [2, 3, 4],
    ] as const) {
      const { scale, shift } = normalization([0.49, 0.48, 0.45, 0.3].slice(0, c), [0.25, 0.24, 0.26, 0.2].slice(0, c));
      const kernels = new ImageKernels(module, { shape: [h, w, c], seed: 0n, calls: [], normalize: { scale, shift } });
      const rows = Math.min(3, kernels.rows);
      const bytes = noise(rows * h * w * c);
      kernels.input.set(bytes);
      kernels.run(new Int32Array(rows), 1);
      const expected = Float32Array.from(bytes, (byte, i) =>
        Math.fround(Math.fround(byte * Math.fround(scale[i % c])) + Math.fround(shift[i % c])),
      );
      expect(kernels.floats(rows)).toEqual(expected);
    }
  });
});
