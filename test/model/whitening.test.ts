// Eigenpairs and the whitening kernel, beside numbers of torch.linalg.eigh, and the network that begins with it.

import { describe, expect, test } from 'vitest';
import { eigenpairs } from '../../runtime/base/eigen.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import { countParameters } from '../../runtime/layers/layer.ts';
import { airbench } from '../../runtime/model/airbench.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
import { readNetwork } from '../../runtime/model/layered-model.ts';
import { trainedVariables } from '../../runtime/model/model.ts';
import { PatchMoments } from '../../runtime/model/whitening.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { measured } from '../../runtime/train/measure.ts';

/** s ← 1664525·s + 1013904223 (mod 2³²) from 1, as shares of 2³². */
function* drawn(): Generator<number> {
  for (let s = 1; ; ) {
    s = (Math.imul(1664525, s) + 1013904223) >>> 0;
    yield s / 2 ** 32;
  }
}
const numbers = (count: number): number[] => {
  const source = drawn();
  return Array.from({ length: count }, () => source.next().value as number);
};

describe('eigenpairs', () => {
  test('are those of torch.linalg.eigh, but for signs', () => {
    const pairs = eigenpairs([4, 1, -2, 0.5, 1, 3, 0, 1, -2, 0, 2, -1, 0.5, 1, -1, 5], 4);
    const values = [6.560424072229343, 4.218415105639168, 2.7236553115130695, 0.4975055106184192];
    const vectors = [
      [0.5621419175179839, 0.3394700083890222, -0.38829702657904563, 0.646515272150189],
      [-0.652708217754011, 0.044145108902001046, 0.2699770429372218, 0.7064952852802949],
      [-0.02488931412714216, 0.8983443579928464, 0.3774476626441977, -0.22336337763638145],
      [0.5072957412475158, -0.2752975430816772, 0.7961602083759132, 0.1816348432546684],
    ];
    for (const [k, { value, vector }] of pairs.entries()) {
      expect(value).toBeCloseTo(values[k], 13);
      for (const [i, x] of vector.entries()) expect(x).toBeCloseTo(vectors[k][i], 13);
    }
  });

  test('of a matrix of 48 rows bring it back, and are at right angles', () => {
    const size = 48;
    const half = numbers(size * size);
    const matrix = Float64Array.from({ length: size * size }, (_, i) => {
      const [row, column] = [Math.floor(i / size), i % size];
      return half[Math.max(row, column) * size + Math.min(row, column)] - 0.5;
    });
    const pairs = eigenpairs(matrix, size);
    for (let row = 0; row < size; row++) {
      for (let column = 0; column < size; column++) {
        const back = pairs.reduce((sum, { value, vector }) => sum + value * vector[row] * vector[column], 0);
        const product = pairs[row].vector.reduce((sum, x, i) => sum + x * pairs[column].vector[i], 0);
        expect(Math.abs(back - matrix[row * size + column])).toBeLessThan(1e-12);
        expect(Math.abs(product - Number(row === column))).toBeLessThan(1e-12);
      }
    }
    for (let k = 1; k < size; k++) expect(pairs[k].value).toBeLessThanOrEqual(pairs[k - 1].value);
  });

  test('of a matrix that is diagonal already, has equal values, or is zero', () => {
    expect(eigenpairs([1, 0, 0, 3], 2).map(({ value, vector }) => [value, ...vector])).toEqual([
      [3, 0, 1],
      [1, 1, 0],
    ]);
    expect(eigenpairs(new Float64Array(9), 3).map(({ value }) => value)).toEqual([0, 0, 0]);
    expect(eigenpairs([7], 1)).toEqual([{ value: 7, vector: Float64Array.of(1) }]);
  });
});

describe('the whitening kernel', () => {
  test('has the filters that airbench has with torch.linalg.eigh, but for signs', () => {
    const moments = new PatchMoments([2, 2], 3);
    const images = numbers(2 * 5 * 4 * 3);
    moments.add(images.slice(0, 60), 1, [5, 4, 3]);
    moments.add(images.slice(60), 1, [5, 4, 3]);
    const kernel = moments.kernel([2, 2, 3, 24]);
    const expected: Record<number, number[]> = {
      0: [0.1592192, 0.1777566, 0.1549158, 0.160148, 0.1452939, 0.1299671, 0.1534668, 0.1988605, 0.159165, 0.14933, 0.1545011, 0.128468],
      1: [
        0.7299796, 0.049591, -0.7097378, 1.2376689, 0.8766479, -0.3499639, -0.2718464, 0.2670492, -0.0588842, -1.0788882, -0.5261612,
        -0.4265754,
      ],
      11: [
        -4.0322099, 4.6671254, -1.9655411, 2.3314235, -1.4886379, 0.7302195, 0.986711, -0.2772389, 0.9197034, 1.5152403, -1.328073,
        -3.1047656,
      ],
    };
    for (const [k, filter] of Object.entries(expected)) {
      for (const [i, value] of filter.entries()) {
        expect(kernel[i * 24 + Number(k)]).toBeCloseTo(value, 5);
        expect(kernel[i * 24 + 12 + Number(k)]).toBe(-kernel[i * 24 + Number(k)]);
      }
    }
  });

  test('whitens: over the patches that it was measured of, its results have no more in common than the epsilon lets them', () => {
    const moments = new PatchMoments([2, 2], 1);
    const images = numbers(40 * 36);
    moments.add(images, 40, [6, 6, 1]);
    const kernel = moments.kernel([2, 2, 1, 8]);
    const products = new Float64Array(16);
    let patches = 0;
    for (let row = 0; row < 40; row++) {
      for (let y = 0; y < 5; y++) {
        for (let x = 0; x < 5; x++, patches++) {
          const at = row * 36 + y * 6 + x;
          const patch = [0, 1, 6, 7].map((offset) => images[at + offset]);
          const seen = [0, 1, 2, 3].map((k) => patch.reduce((sum, pixel, i) => sum + pixel * kernel[i * 8 + k], 0));
          for (let i = 0; i < 16; i++) products[i] += seen[Math.floor(i / 4)] * seen[i % 4];
        }
      }
    }
    for (const [i, product] of products.entries()) {
      const isOwn = i % 5 === 0;
      expect(Math.abs(product / patches - Number(isOwn))).toBeLessThan(isOwn ? 0.02 : 1e-5);
    }
  });

  test('needs two filters for each element of a patch', () => {
    const moments = new PatchMoments([2, 2], 3);
    moments.add(numbers(27), 1, [3, 3, 3]);
    expect(() => moments.kernel([2, 2, 3, 16])).toThrow('a whitening kernel [2, 2, 3, 16] has 16 filters');
  });
});

describe('airbench', () => {
  const model = buildModel('airbench', { input: [32, 32, 3], classes: 10 });

  test('has the parameters of airbench94, of which the 288 of the first kernel are not trained', () => {
    // 12·24 + 24; 9·(24·64 + 64² + 64·256 + 256² + 256² + 256²); a bias of each of 2·(64 + 256 + 256); 2,560.
    const convolutions = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256);
    expect(countParameters(model.variables, 'parameter')).toBe(288 + 24 + convolutions + 1152 + 2560);
    expect(countParameters(trainedVariables(model))).toBe(24 + convolutions + 1152 + 2560);
    expect(trainingGraphs(model).train.gradients).toHaveLength(trainedVariables(model).length);
  });

  test('begins as PyTorch has it: identities in the first filters, the others up to 1/√fan_in', () => {
    const weights = initialize(model, 3n);
    for (const { name, shape, initializer } of model.variables) {
      if (initializer !== 'dirac') continue;
      const [, , inputs, filters] = shape;
      const data = weights.get(name) ?? new Float32Array();
      const limit = 1 / Math.sqrt(9 * inputs);
      const many = Math.min(inputs, filters);
      let extreme = 0;
      let wrong = 0;
      for (const [e, value] of data.entries()) {
        const [tap, input, filter] = [Math.floor(e / (inputs * filters)), Math.floor(e / filters) % inputs, e % filters];
        if (filter < many) wrong += Number(value !== Number(tap === 4 && input === filter));
        else extreme = Math.max(extreme, Math.abs(value));
      }
      expect(wrong).toBe(0);
      expect(extreme).toBeLessThanOrEqual(Math.fround(limit));
      if (filters > inputs) expect(extreme).toBeGreaterThan(0.99 * limit);
    }
  });

  test('its first kernel is measured of the images, colour by colour normalised, for any number of workers', async () => {
    const images = Uint8Array.from(numbers(30 * 12 * 12 * 3), (x) => Math.floor(256 * x));
    const labels = Int32Array.from({ length: 30 }, (_, i) => i % 3);
    const train = memoryDataset({ name: 'drawn', shape: [12, 12, 3], classes: ['a', 'b', 'c'], images, labels });
    const small = airbench({ input: [12, 12, 3], classes: 3 });
    const before = initialize(small, 0n);
    const of = (workers: number) => measured({ model: small, train, seed: 0n, workers, signal: new AbortController().signal }, before);
    const after = await of(0);
    const moments = new PatchMoments([2, 2], 3);
    const [mean, deviation] = [
      [0.4914, 0.4822, 0.4465],
      [0.247, 0.2435, 0.2616],
    ];
    moments.add(
      Array.from(images, (byte, i) => (byte / 255 - mean[i % 3]) / deviation[i % 3]),
      30,
      [12, 12, 3],
    );
    const kernel = after.get('layers/conv2d/vars/0') as Float32Array;
    const expected = moments.kernel([2, 2, 3, 24]);
    for (const [e, value] of kernel.entries()) expect(Math.abs(value - expected[e])).toBeLessThan(1e-5);
    for (const [name, values] of after) if (name !== 'layers/conv2d/vars/0') expect(values).toBe(before.get(name));
    expect((await of(2)).get('layers/conv2d/vars/0')).toEqual(kernel);
  });

  test('as a list of layers it stays what it is', () => {
    const again = readNetwork('again', model.config.network ?? []);
    expect(again.variables).toEqual(model.variables);
  });
});
