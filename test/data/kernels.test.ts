// Every data kernel against plain loops, byte for byte: all shifts and both flips, and images of many shapes.

import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { PURPOSE } from '../../runtime/base/philox.ts';
import type { ImageShape } from '../../runtime/data/augment/augmentation.ts';
import type { AugmentOptions } from '../../runtime/data/augment/augmentations.ts';
import {
  AUGMENTATIONS,
  activeAugmentations,
  augmentationCaption,
  augmentReference,
  drawsOf,
} from '../../runtime/data/augment/augmentations.ts';
import { jitter } from '../../runtime/data/augment/colour.ts';
import { cropImage } from '../../runtime/data/augment/crop.ts';
import { AUGMENT_NAMES, augmentOptions } from '../../runtime/data/augment/names.ts';
import { policy } from '../../runtime/data/augment/policy.ts';
import { cosine, sine } from '../../runtime/data/augment/warp.ts';
import { ImageKernels, kernelCalls, normalization } from '../../runtime/data/kernels.ts';
import { loadDataKernels } from '../../runtime/data/pipeline.ts';

import { type WordValues, wordsOf } from '../../runtime/data/words.ts';

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
    const samples: number[] = [];
    for (let sample = 0; seen.size < 162 && sample < 20_000; sample++) {
      const [w0, w1, w2] = drawsOf(5n, 3, sample)(PURPOSE.augment, 0);
      const key = `${Math.floor((w0 * 9) / 2 ** 32)} ${Math.floor((w1 * 9) / 2 ** 32)} ${w2 >>> 31}`;
      if (!seen.has(key)) samples.push(sample);
      seen.add(key);
    }
    expect(samples).toHaveLength(162);
    expectSame(both([32, 32, 3], options, samples));
  });

  test('the alternating flip: half of the images first, and every image every other epoch', () => {
    const options = { crop: 0, flip: 'alternate' } as const;
    const flipped = (epoch: number) => {
      const images = both([32, 32, 3], options, range(400), { epoch });
      expectSame(images);
      return images.actual.map((image, sample) => Buffer.compare(image, noise(3072, sample)) !== 0);
    };
    const [first, second, third] = [1, 2, 3].map(flipped);
    expect(Math.abs(first.filter(Boolean).length - 200)).toBeLessThan(50);
    expect(second).toEqual(first.map((flip) => !flip));
    expect(third).toEqual(first);
    expectSame(both([6, 5, 2], { crop: 2, flip: 'alternate' }, range(100), { epoch: 4 }));
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

describe('every augmentation', () => {
  const SHAPES: readonly ImageShape[] = [
    [32, 32, 3],
    [7, 9, 3],
    [5, 4, 1],
    [6, 5, 2],
    [3, 17, 4],
    [1, 1, 3],
  ];

  test.each(Object.keys(AUGMENT_NAMES))('%s, by its name, on images of many shapes', (name) => {
    // The usual value, and one by which every image is changed.
    for (const list of [name, `${name}=1`]) {
      for (const shape of SHAPES) {
        let augment: AugmentOptions;
        try {
          augment = augmentOptions(list);
          activeAugmentations(augment, shape);
        } catch {
          continue; // a value that is not possible for this name or shape: told so elsewhere
        }
        expectSame(both(shape, augment, range(60)));
      }
    }
  });

  test('has a purpose of its own, and a caption where it is asked for', () => {
    const purposes = AUGMENTATIONS.map(({ purpose }) => purpose);
    expect(new Set(purposes).size).toBe(AUGMENTATIONS.length);
    const others = Object.entries(PURPOSE).filter(([name]) => !['augment', 'warp', 'colour', 'policy', 'erase', 'mix'].includes(name));
    for (const [name, number] of others) expect(purposes, name).not.toContain(number);
    // From 16 on words belong to dropout.
    for (const purpose of purposes) expect(purpose).toBeLessThan(16);
    for (const name of Object.keys(AUGMENT_NAMES)) expect(augmentationCaption(augmentOptions(name)), name).not.toBe('');
  });
});

test('own arguments are laid down by their names, in the order in which kernels read them', () => {
  const set = { shape: [4, 4, 3] as const, mean: [1, 2, 3] };
  const calls = kernelCalls('planar', augmentOptions('crop-reflect=3,flip,erase=0.5'), set);
  expect(calls.map(({ kernel, args }) => [kernel, args])).toEqual([
    ['interleave', []],
    ['crop', [3, 1, 1, 0, 0, 0]],
    ['erase', [0.5, 0.02, 0.33, 3.3, 1, 2, 3]],
  ]);
  expect(wordsOf('normalize', normalization([0, 0, 0], [1, 1, 1]) as unknown as WordValues)).toEqual([
    ...Array(3).fill(1 / 255),
    -0,
    -0,
    -0,
  ]);
  expect(() => wordsOf('warp', { grow: 1, rotate: 0 })).toThrow(/warp takes grow,rotate,zoom, not grow,rotate/);
  expect(() => wordsOf('erase', { probability: 1, least: 0, largest: 1, ratio: 1, colour: 3 })).toThrow(/colour is 3/);
  expect(() => wordsOf('blur', {})).toThrow(/no data kernel blur/);
});

describe('grayscale', () => {
  test('some images lose their colours, the others stay as they are', () => {
    const { actual, expected } = both([8, 8, 3], { crop: 0, flip: false, grayscale: 0.3 }, range(500));
    expectSame({ actual, expected });
    const grey = (image: Uint8Array) => image.every((byte, i) => byte === image[i - (i % 3)]);
    const changed = actual.filter((image, sample) => Buffer.compare(image, noise(192, sample)) !== 0);
    expect(changed.every(grey)).toBe(true);
    // Standard deviation √(n·p·(1 − p)) = 10.
    expect(Math.abs(changed.length - 150)).toBeLessThan(50);
    // Rec. 601, as colour's saturation has it: red, green, blue.
    const image = Uint8Array.of(255, 0, 0, 0, 255, 0, 0, 0, 255);
    const set = { shape: [1, 3, 3] as const, mean: [0, 0, 0] };
    const options = { crop: 0, flip: false, grayscale: 1 };
    expect([...augmentReference(image, options, set, { seed: 1n, epoch: 1, sample: 0 })]).toEqual([77, 77, 77, 149, 149, 149, 29, 29, 29]);
  });

  test('a share that is none is refused', () => {
    expect(() => activeAugmentations(augmentOptions('grayscale=1.5'), [4, 4, 3])).toThrow(/a share of grey images of 1.5/);
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

/** Shapes with every remainder of vectors, and sides of one. */
const SHAPES: readonly ImageShape[] = [
  [32, 32, 3],
  [28, 28, 1],
  [7, 5, 3],
  [5, 9, 4],
  [3, 17, 2],
  [4, 6, 5],
  [1, 1, 3],
  [1, 40, 3],
];
const NONE = { crop: 0, flip: false };

describe('warp', () => {
  test.each(SHAPES)('%i × %i × %i', (...shape) => {
    expectSame(both(shape, { ...NONE, rotate: 0.06, zoom: 0.06 }, range(40)));
    expectSame(both(shape, { ...NONE, rotate: 0.5, zoom: 0.9, grow: Math.min(shape[0], shape[1]) }, range(40)));
    expectSame(both(shape, { ...NONE, grow: 1, flip: true }, range(40)));
  });

  test('images of any shape', () => {
    const side = fc.integer({ min: 1, max: 24 });
    fc.assert(
      fc.property(
        side,
        side,
        fc.integer({ min: 1, max: 5 }),
        fc.double({ min: 0, max: 0.5, noNaN: true }),
        fc.double({ min: 0, max: 0.99, noNaN: true }),
        (h, w, c, rotate, zoom) => {
          expectSame(both([h, w, c], { ...NONE, rotate, zoom, grow: Math.min(1, h, w) }, range(5)));
        },
      ),
      { numRuns: 200 },
    );
  });

  test('a window of an image two pixels larger: blended where it lies between pixels, and all nine windows occur', () => {
    // A ramp to the right: its value is 8 x, in the larger image 8 (x + ½) 32/34 − 4.
    const ramp = Uint8Array.from({ length: 32 * 32 }, (_, i) => 7 * (i % 32));
    const seen = new Set<number>();
    for (let sample = 0; sample < 200; sample++) {
      const out = augmentReference(ramp, { ...NONE, grow: 2 }, { shape: [32, 32, 1], mean: [0] }, { seed: 1n, epoch: 1, sample });
      const middle = out[16 * 32 + 16];
      const dx = [0, 1, 2].find((d) => Math.abs(middle - 7 * (((16 + d + 0.5) * 32) / 34 - 0.5)) <= 1);
      expect(dx).toBeDefined();
      seen.add(dx as number);
      for (let x = 4; x < 28; x++)
        expect(Math.abs(out[16 * 32 + x] - 7 * (((x + (dx as number) + 0.5) * 32) / 34 - 0.5))).toBeLessThanOrEqual(1);
    }
    expect(seen.size).toBe(3);
  });

  test('the series of sine and cosine', () => {
    for (let x = -Math.PI; x <= Math.PI; x += 0.01) {
      expect(Math.abs(sine(x) - Math.sin(x))).toBeLessThan(1e-10);
      expect(Math.abs(cosine(x) - Math.cos(x))).toBeLessThan(1e-9);
    }
  });
});

describe('colour', () => {
  test.each(SHAPES)('%i × %i × %i', (...shape) => {
    for (const [brightness, contrast, saturation] of [
      [0.4, 0.4, 0.4],
      [1, 1, 1],
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ]) {
      expectSame(both(shape, { ...NONE, colour: { brightness, contrast, saturation } }, range(40)));
    }
  });

  test('does what its names say', () => {
    const image = Uint8Array.of(100, 50, 200, 60, 60, 60, 240, 10, 30);
    const shape = [1, 3, 3] as const;
    expect([...jitter(image, shape, {})]).toEqual([...image]);
    expect([...jitter(image, shape, { brightness: 32 })]).toEqual([...image].map((v) => Math.floor(v / 2 + 0.5)));
    expect(new Set(jitter(image, shape, { contrast: 0 })).size).toBe(1);
    const grey = jitter(image, shape, { saturation: 0 });
    for (let p = 0; p < 3; p++) expect(new Set(grey.subarray(3 * p, 3 * p + 3)).size).toBe(1);
    expect(jitter(image, shape, { saturation: 128 })[2]).toBe(255);
  });
});

describe('policy', () => {
  test.each(SHAPES)('%i × %i × %i', (...shape) => {
    for (const magnitude of [0, 0.3, 0.9, 1]) expectSame(both(shape, { ...NONE, policy: { operations: 2, magnitude } }, range(60)));
    expectSame(both(shape, { ...NONE, policy: { operations: 8, magnitude: 0.5 } }, range(40)));
  });

  test('stretches and equalizes flat, dark and full images', () => {
    const only = (image: Uint8Array, operation: number, shape: ImageShape = [16, 16, 1]) => {
      // The first operation drawn is the one that is wanted: its word is given by hand.
      const draw = () => Uint32Array.of(Math.ceil((operation * 2 ** 32) / 13), 0, 0, 0);
      return policy.reference(image, draw, { ...NONE, policy: { operations: 1, magnitude: 0.5 } }, { shape, mean: [0] }, 1);
    };
    const dark = Uint8Array.from({ length: 256 }, (_, i) => 10 + (i % 51));
    expect([...only(dark, 11).subarray(0, 51)]).toEqual(range(51).map((i) => Math.floor((i * 255) / 50 + 0.5)));
    expect(only(new Uint8Array(256).fill(7), 11)).toEqual(new Uint8Array(256).fill(7));
    expect(only(new Uint8Array(256).fill(7), 12)).toEqual(new Uint8Array(256).fill(7));
    expect([...only(Uint8Array.of(...range(256)), 12)]).toEqual(range(256));
    const four = Uint8Array.from({ length: 1024 }, (_, i) => i >> 8);
    expect([...new Set(only(four, 12, [32, 32, 1]))]).toEqual([0, 85, 171, 255]);
    expect(only(Uint8Array.of(...range(256)), 10)).toEqual(Uint8Array.from(range(256), (v) => (v < 128 ? v : 255 - v)));
    expect(only(Uint8Array.of(...range(256)), 9)[255]).toBe(252);
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
    refused({ rotate: 0.6 });
    refused({ zoom: 1 });
    refused({ grow: 7 });
    refused({ grow: 0.5 });
    refused({ colour: { brightness: 2, contrast: 0, saturation: 0 } });
    refused({ policy: { operations: 1, magnitude: 1.2 } });
    refused({ policy: { operations: 9, magnitude: 0 } });
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
