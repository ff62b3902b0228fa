// Initialisers: the limits of keras-semantics.md, section 2.6, the distribution, and the frozen word layout.

import { describe, expect, test } from 'vitest';
import { philox4x32 } from '../../runtime/base/philox.ts';
import type { Initializer } from '../../runtime/layers/initializers.ts';
import type { VariableRole } from '../../runtime/layers/layer.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { glorotLimit, initialize } from '../../runtime/model/init.ts';

test.each([
  [[2, 2, 3, 256], 0.076101943],
  [[5, 5, 256, 1], 0.030558994],
  [[1, 1, 256, 256], 0.108253175],
  [[2, 2, 256, 512], 0.044194174],
  [[5, 5, 512, 1], 0.021629523],
  [[1, 1, 512, 512], 0.076546554],
  [[256, 10], 0.150187852],
  [[512, 10], 0.107211253],
  [[3, 3, 3, 64], 0.099750934],
  [[3, 3, 64, 64], 0.072168784],
  [[3, 3, 64, 128], 0.058925565],
  [[3, 3, 128, 128], 0.051031036],
  [[3, 3, 128, 256], 0.041666667],
  [[3, 3, 256, 256], 0.036084392],
  [[4096, 256], 0.037130533],
  [[32768, 256], 0.013479097],
])('limit of a kernel %j', (shape, limit) => {
  expect(glorotLimit(shape)).toBeCloseTo(limit, 9);
});

describe('initialize', () => {
  const model = buildModel('convmixer', { input: [8, 8, 3], classes: 10, dim: 64, depth: 1, kernel: 5, patch: 2 });
  const values = initialize(model, 7n);
  const of = (name: string, weights = values): Float32Array => weights.get(name) ?? new Float32Array(0);

  test('gives every variable, in order and of the right size', () => {
    expect([...values.keys()]).toEqual(model.variables.map(({ name }) => name));
    for (const { name, shape } of model.variables) expect(of(name).length).toBe(shape.reduce((a, b) => a * b, 1));
  });

  test('constants are those of Keras', () => {
    const constants: Partial<Record<VariableRole, number>> = { bias: 0, gamma: 1, beta: 0, moving_mean: 0, moving_variance: 1 };
    for (const { name, role } of model.variables) {
      if (role !== 'kernel') expect(new Set(of(name))).toEqual(new Set([constants[role]]));
    }
  });

  test('kernels are uniform up to the limit: mean, variance and extremes', () => {
    for (const { name, shape, role } of model.variables) {
      if (role !== 'kernel') continue;
      const limit = Math.fround(glorotLimit(shape));
      const data = of(name);
      const mean = data.reduce((sum, w) => sum + w, 0) / data.length;
      const variance = data.reduce((sum, w) => sum + w * w, 0) / data.length;
      // Five standard deviations of the estimates, so that a right generator passes with any seed.
      expect(Math.abs(mean)).toBeLessThan((5 * limit) / Math.sqrt(3 * data.length));
      expect(Math.abs(variance / (limit ** 2 / 3) - 1)).toBeLessThan(5 * Math.sqrt(0.8 / data.length));
      const extreme = data.reduce((largest, w) => Math.max(largest, Math.abs(w)), 0);
      expect(extreme).toBeLessThanOrEqual(limit);
      expect(extreme).toBeGreaterThan(0.97 * limit);
    }
  });

  test('element e of the k-th kernel is word e mod 4 of block ⌊e/4⌋ of purpose 256 + k', () => {
    const names = ['layers/conv2d/vars/0', 'layers/depthwise_conv2d/vars/0', 'layers/conv2d_1/vars/0', 'layers/dense/vars/0'];
    const words = new Uint32Array(4);
    names.forEach((name, k) => {
      const shape = model.variables.find((variable) => variable.name === name)?.shape ?? [];
      for (const e of [0, 1, 6, 639]) {
        philox4x32([7, 0], [0, 0, 256 + k, Math.floor(e / 4)], words);
        expect(of(name)[e]).toBe(Math.fround((words[e % 4] / 2 ** 31 - 1) * glorotLimit(shape)));
      }
    });
  });

  test('known answers, from an implementation in another language, freeze the weights of a seed', () => {
    const known = [-0.13470490276813507, 0.07874707132577896, -0.06750108301639557, 0.03780316561460495];
    expect(Array.from(of('layers/conv2d/vars/0').subarray(0, 4))).toEqual(known);
  });

  test('all 64 bits of the seed count; the same seed gives the same weights', () => {
    expect(initialize(model, 7n)).toEqual(values);
    for (const seed of [8n, 7n + (1n << 32n), 7n + (1n << 63n)]) {
      expect(of('layers/conv2d/vars/0', initialize(model, seed))).not.toEqual(of('layers/conv2d/vars/0'));
    }
  });
});

describe('other initialisers', () => {
  const weights = (initializer: Initializer, shape: readonly number[]) =>
    initialize({ variables: [{ name: 'w', shape, kind: 'parameter', role: 'kernel', initializer }] }, 3n).get('w') as Float32Array;
  const momentsOf = (data: Float32Array) => {
    const mean = data.reduce((sum, w) => sum + w, 0) / data.length;
    return { mean, deviation: Math.sqrt(data.reduce((sum, w) => sum + (w - mean) ** 2, 0) / data.length) };
  };

  test.each<[Initializer, number, number]>([
    ['he_normal', Math.sqrt(2 / 576), 2],
    ['lecun_normal', Math.sqrt(1 / 576), 2],
    ['glorot_normal', Math.sqrt(2 / (576 + 288)), 2],
    ['he_uniform', Math.sqrt(2 / 576), Math.sqrt(3)],
    [{ type: 'VarianceScaling', settings: { scale: 2, mode: 'fan_out', distribution: 'truncated_normal' } }, Math.sqrt(2 / 288), 2],
    [{ type: 'TruncatedNormal', settings: { mean: 0, stddev: 0.02 } }, 0.02 * 0.8796, 2],
    [{ type: 'RandomNormal', settings: { mean: 0, stddev: 0.02 } }, 0.02, 9],
  ])('%j has the deviation of Keras, and ends where it is cut off', (initializer, deviation, cut) => {
    const data = weights(initializer, [3, 3, 64, 32]);
    const found = momentsOf(data);
    expect(Math.abs(found.mean)).toBeLessThan((5 * deviation) / Math.sqrt(data.length));
    expect(Math.abs(found.deviation / deviation - 1)).toBeLessThan(0.02);
    const largest = data.reduce((most, w) => Math.max(most, Math.abs(w)), 0);
    expect(largest).toBeLessThanOrEqual((cut * deviation * (1 + 1e-6)) / (cut === 2 ? 0.8796 : 1));
    expect(largest).toBeGreaterThan(1.6 * deviation);
  });

  test('constants, and one that is not known', () => {
    expect([...weights({ type: 'Constant', settings: { value: 0.25 } }, [3])]).toEqual([0.25, 0.25, 0.25]);
    expect(() => weights({ type: 'Orthogonal', settings: {} }, [3, 3])).toThrow(
      /w uses the initialiser Orthogonal, which is not supported/,
    );
  });
});
