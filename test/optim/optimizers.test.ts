// Optimizers: as people name them, in Keras' files, Keras' numbers, and groups of parameters on every device.

import { describe, expect, it, test } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import { openWebGpuDevice } from '../../gpu/host/device.ts';
import type { Device } from '../../runtime/device.ts';
import { optimizerConfig, readOptimizer } from '../../runtime/interop/keras-optimizer.ts';
import { matricesOf } from '../../runtime/interop/trained-model.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
import { decayOf, groupParameters, type ParameterGroup } from '../../runtime/optim/groups.ts';
import {
  describeOptimizer,
  flatNames,
  type OptimizerOptions,
  optimizerNames,
  optimizerOf,
  parseOptimizer,
  slotsFor,
} from '../../runtime/optim/index.ts';
import { matrixRate, matrixSizes, orthogonalized } from '../../runtime/optim/muon.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { otherConstants } from '../ops/optimizer.cases.ts';
import { expectClose } from '../support/close.ts';
import { hybridError } from '../support/expect-error.ts';
import { randomBatch } from '../support/models.ts';
import { runReference } from '../support/reference.ts';
import { hasSwiftShader, useSwiftShader } from '../support/swiftshader.ts';
import { fixed, type TestTensor } from '../support/tensors.ts';

/** Exact doubles, not rounded to f32. */
const doubles = (values: number[]): TestTensor => ({ ...fixed([values.length], () => 0), data: Float64Array.from(values) });

// keras.optimizers.SGD(learning_rate=0.1, weight_decay=0.01, …) of Keras 3 on w = [1, −2, 0.5], gradients [0.5, −1, 2]·t of step t.
test.each([
  [
    { momentum: 0.9, nesterov: true },
    [0.9040000438690186, -1.808000087738037, 0.11950001120567322],
    [0.26947346329689026, -0.5389469265937805, -2.411616802215576],
  ],
  [
    { momentum: 0.9, nesterov: false },
    [0.9490000009536743, -1.8980000019073486, 0.2994999885559082],
    [0.5217479467391968, -1.0434958934783936, -1.4025187492370605],
  ],
  [
    { momentum: 0, nesterov: false },
    [0.9490000009536743, -1.8980000019073486, 0.2994999885559082],
    [0.6972029209136963, -1.3944058418273926, -0.700698733329773],
  ],
])('sgd %o: three steps of Keras', (constants, first, third) => {
  const w = doubles([1, -2, 0.5]);
  const updates = constants.momentum > 0 ? [w, doubles([0, 0, 0])] : [w];
  for (let t = 1; t <= 3; t++) {
    const inputs = [fixed([1], [1], 'i32'), fixed([1], [t - 1], 'i32'), doubles([0.5 * t, -t, 2 * t])];
    runReference('sgd', inputs, constants, { step: { learningRate: 0.1, weightDecay: 0.01 }, updates });
    if (t === 1) expectClose(w.data, first, { relative: 3e-7 }, 'after the first step');
  }
  expectClose(w.data, third, { relative: 5e-7 }, 'after the third step');
});

// keras.optimizers.Lion(learning_rate=0.1, weight_decay=0.01, …) of Keras 3.15 on the same w, gradients [0.5, −1, 2]·t, and −8·t for the last from step 2 on.
test.each([
  [{}, [0.029800470918416977, -0.059600941836833954, -0.37879765033721924]],
  [{ beta1: 0.5, beta2: 0.75 }, [0.6328125, -1.265625, -8.71875]],
])('lion %o: three steps of Keras', (constants, momenta) => {
  const [w, momentum] = [doubles([1, -2, 0.5]), doubles([0, 0, 0])];
  const all = optimizerOf({ name: 'lion', ...constants }).constants;
  for (let t = 1; t <= 3; t++) {
    const inputs = [fixed([1], [1], 'i32'), fixed([1], [t - 1], 'i32'), doubles([0.5 * t, -t, (t < 2 ? 2 : -8) * t])];
    runReference('lion', inputs, all, { step: { learningRate: 0.1, weightDecay: 0.01 }, updates: [w, momentum] });
  }
  expectClose(w.data, [0.6973028182983398, -1.6943057775497437, 0.5986014008522034], { relative: 5e-7 }, 'weights');
  // Keras takes 1 − β of a β that is rounded already.
  expectClose(momentum.data, momenta, { relative: 2e-6 }, 'momentum');
});

/*
 * keras.optimizers.…(0.1, weight_decay=0.01) of Keras 3.15 on a kernel [[1, −2], [0.5, 0.25]] and a bias [0.5, −1], with momentum 0.9 for SGD; gradients
 * [[0.5, −1], [2, 0.25]]·t and [−0.5, 0.125]·t of step t. What is left after three steps.
 */
const KERAS = {
  // global_clipnorm=3: the first step is shorter than that (2.36), the others are not.
  clipped: {
    adamw: [0.6971916556358337, -1.6941938400268555, 0.19868917763233185, -0.05055927485227585, 0.7983128428459167, -1.296810269355774],
    sgd: [0.6775302886962891, -1.3550605773925781, -0.7793892025947571, 0.08951440453529358, 0.8179742097854614, -1.0768712759017944],
    lion: [0.6973028182983398, -1.6943057775497437, 0.1988014280796051, -0.05044936388731003, 0.7982016205787659, -1.2967031002044678],
  },
  // exclude_from_weight_decay(var_names=['bias'])
  decayOfKernels: {
    adamw: [0.7049841284751892, -1.70198655128479, 0.20648185908794403, -0.04276704043149948, 0.7923153042793274, -1.2923120260238647],
    sgd: [0.5217479467391968, -1.0434958934783936, -1.4025187492370605, 0.011623233556747437, 0.9754999876022339, -1.1188750267028809],
    lion: [0.6973028182983398, -1.6943057775497437, 0.1988014280796051, -0.05044936388731003, 0.8000000715255737, -1.3000000715255737],
  },
} as const;

describe.each(flatNames)('%s: three steps of Keras', (name) => {
  const run = (norm: number, biasDecay: number): number[] => {
    const { rule, constants, slots } = optimizerOf(name === 'sgd' ? { name, momentum: 0.9, nesterov: false } : name);
    const [kernel, bias] = [doubles([1, -2, 0.5, 0.25]), doubles([0.5, -1])];
    const updates = [kernel, bias, ...slots.flatMap(() => [doubles([0, 0, 0, 0]), doubles([0, 0])])];
    for (let t = 1; t <= 3; t++) {
      const gradients = [doubles([0.5 * t, -t, 2 * t, 0.25 * t]), doubles([-0.5 * t, 0.125 * t])];
      const [scale] = runReference('gradientScale', { gradients }, { norm });
      const groups = [
        { count: 1, rate: 1, decay: 1 },
        { count: 1, rate: 1, decay: biasDecay },
      ];
      const inputs = { ok: fixed([1], [1], 'i32'), counter: fixed([1], [t - 1], 'i32'), gradients, scale };
      runReference(rule.name as typeof name, inputs, { ...constants, groups }, { step: { learningRate: 0.1, weightDecay: 0.01 }, updates });
    }
    return [...kernel.data, ...bias.data] as number[];
  };

  test('with the length of the gradients limited', () => expectClose(run(3, 1), KERAS.clipped[name], { absolute: 5e-6 }));
  test('with decay of kernels alone', () => expectClose(run(1e6, 0), KERAS.decayOfKernels[name], { absolute: 5e-6 }));
});

// As keras.optimizers.Lion(beta_1=0): "the optimizer degenerates to SignSGD".
test('lion without a beta1 is refused, as Keras refuses it', () => {
  expect(() => optimizerOf({ name: 'lion', beta1: 0 })).toThrow(
    expect.objectContaining({ message: 'beta1 of lion is 0', remedy: expect.stringContaining('above 0 and below 1') }),
  );
});

const model = buildModel('convmixer', { input: [8, 8, 3], classes: 3, dim: 8, depth: 2, kernel: 3, patch: 2 });

describe('options', () => {
  it.each(optimizerNames)('%s: what is written is what is read', (name) => {
    expect(describeOptimizer(name)).toBe(name);
    for (const constants of otherConstants(optimizerOf(name).rule)) {
      const options = { name, ...constants } as OptimizerOptions;
      const [[key, value]] = Object.entries(constants);
      expect(describeOptimizer(options)).toBe(`${name}:${key}=${value}`);
      expect(parseOptimizer(describeOptimizer(options))).toEqual(options);
      const keras = optimizerConfig({ optimizer: options, learningRate: 0.125, weightDecay: 0.5 }, model);
      const read = readOptimizer(keras);
      expect(read).toMatchObject({ learningRate: 0.125, weightDecay: 0.5 });
      expect(describeOptimizer(read?.optimizer as OptimizerOptions)).toBe(describeOptimizer(options));
    }
  });

  it('refuses what there is not, and values that cannot be', async () => {
    const refused = (options: unknown) =>
      hybridError(
        'E_USAGE',
        Promise.resolve().then(() => optimizerOf(options as OptimizerOptions)),
      );
    expect((await refused('sdg')).message).toContain('"sdg"');
    expect((await refused({ name: 'sgd', momentun: 0.5 })).message).toBe('sgd has no "momentun"; did you mean momentum?');
    expect((await refused({ name: 'adamw', beta2: 1 })).message).toBe('beta2 of adamw is 1');
    expect((await refused(5)).code).toBe('E_USAGE');
    for (const text of ['sdg', 'sgd:', 'sgd:momentum', 'sgd:momentum=1', 'sgd:beta1=0.5', 'adamw:epsilon=0'])
      expect(parseOptimizer(text)).toBeUndefined();
  });

  it('takes no optimizer of Keras for another', () => {
    const adamw = optimizerConfig({ learningRate: 1e-3, weightDecay: 0 }, model);
    expect(readOptimizer({ ...adamw, config: { ...adamw.config, amsgrad: true } })).toBeUndefined();
    expect(readOptimizer({ ...adamw, class_name: 'RMSprop' })).toBeUndefined();
    expect(readOptimizer({ ...adamw, class_name: 'Adam' })).toBeDefined();
    expect(readOptimizer(null)).toBeUndefined();
  });
});

describe('groups', () => {
  const isVector = ({ shape }: { readonly shape: readonly number[] }) => shape.length === 1;
  const groups: ParameterGroup[] = [
    { match: ({ name }) => /\/(conv2d|depthwise_conv2d)\/vars/.test(name), frozen: true },
    { match: isVector, decayFactor: 0 },
    { match: ({ name }) => name.startsWith('layers/dense'), rateFactor: 4 },
  ];

  it('sorts parameters, and refuses to train nothing', async () => {
    const parameters = ['a', 'b', 'c', 'd'].map((name) => ({ name, shape: [1] }));
    const { trained, runs, frozen } = groupParameters(parameters, [
      { match: ({ name }) => name === 'b', frozen: true },
      { match: ({ name }) => name <= 'b', rateFactor: 0.5 },
    ]);
    expect([trained.map(({ name }) => name), frozen.map(({ name }) => name)]).toEqual([['c', 'd', 'a'], ['b']]);
    expect(runs).toEqual([
      { count: 2, rate: 1, decay: 1 },
      { count: 1, rate: 0.5, decay: 1 },
    ]);
    const refused = (group: ParameterGroup) =>
      hybridError(
        'E_USAGE',
        Promise.resolve().then(() => groupParameters(parameters, [group])),
      );
    expect((await refused({ match: () => true, frozen: true })).message).toBe('all 4 parameters are frozen');
    expect((await refused({ match: () => true, decayFactor: -1 })).message).toBe('a group has decayFactor -1');
  });

  it('let the parameters with some names decay, whatever else groups say of them', () => {
    const names = ['a', 'b', 'c', 'd'];
    const groups = decayOf(new Set(['a', 'c']), [
      { match: ({ name }) => name === 'd', frozen: true },
      { match: ({ name }) => name <= 'b', rateFactor: 0.5 },
    ]);
    const { trained, runs, frozen } = groupParameters(
      names.map((name) => ({ name, shape: [1] })),
      groups,
    );
    expect(frozen.map(({ name }) => name)).toEqual(['d']);
    const each = runs.flatMap(({ count, rate, decay }) => Array.from({ length: count }, () => [rate, decay]));
    expect(Object.fromEntries(trained.map(({ name }, i) => [name, each[i]]))).toEqual({ a: [0.5, 1], b: [0.5, 0], c: [1, 1] });
  });

  it('change neither graph nor bits where all factors are 1', () => {
    expect(trainingGraphs(model, { groups: [{ match: isVector }] }).train).toEqual(trainingGraphs(model).train);
  });

  it('compute nothing that only frozen parameters need', () => {
    const all = trainingGraphs(model).train;
    const { train } = trainingGraphs(model, { groups: [{ match: ({ name }) => !name.startsWith('layers/dense'), frozen: true }] });
    const backward = (graph: typeof train) => graph.nodes.filter(({ phase }) => phase === 'backward').length;
    expect(backward(train)).toBeLessThanOrEqual(3);
    expect(backward(all)).toBeGreaterThan(20);
    expect(train.gradients.map(({ parameter }) => train.values[parameter].name)).toEqual(['layers/dense/vars/0', 'layers/dense/vars/1']);
  });

  const devices: [string, () => Promise<Device>][] = [
    ['reference', async () => openReferenceDevice()],
    ['wasm', () => openWasmDevice({ threads: 2 })],
  ];
  if (hasSwiftShader) {
    devices.push([
      'webgpu',
      () => {
        useSwiftShader();
        return openWebGpuDevice();
      },
    ]);
  }
  it.each(
    devices.flatMap(([name, open]) => optimizerNames.map((optimizer) => [name, optimizer, open] as const)),
  )('on %s, %s: every parameter by the rates of its group, frozen ones not at all', async (_name, optimizer, open) => {
    const one = optimizerOf(optimizer);
    const { rule, constants } = one;
    const matrices = matricesOf(model, one);
    expect(matrices.size > 0).toBe(optimizer === 'muon');
    const { train } = trainingGraphs(model, { optimizer, groups });
    await using device = await open();
    await using executable = await device.compile({ train }, { capacity: 4, seed: 7n });
    const before = initialize(model, 7n);
    for (const [name, data] of before) await executable.write(name, data);
    await executable.gradient(randomBatch(model, 4));
    const trained = train.gradients.map(({ parameter }) => train.values[parameter]);
    const gradients = new Map<string, Float32Array>();
    for (const { name } of trained) gradients.set(name, await executable.read(`gradients/${name}`));
    const scalars = { learningRate: 0.01, weightDecay: 0.5 };
    await executable.update({ ...scalars, bnMomentum: 0.9 });

    for (const { name, kind, shape } of model.variables) {
      if (kind !== 'parameter') continue;
      const after = await executable.read(name);
      const g = gradients.get(name);
      const group = groups.find((one) => one.match({ name, shape }));
      expect(g === undefined, name).toBe(group?.frozen === true);
      if (!g) {
        expect(after, name).toEqual(before.get(name));
        continue;
      }
      const { rateFactor = 1, decayFactor = 1 } = group ?? {};
      const rates = { learningRate: scalars.learningRate * rateFactor, weightDecay: scalars.weightDecay * decayFactor };
      if (matrices.has(name)) {
        const { rows, columns } = matrixSizes(shape);
        // The first momentum is the gradient: whatever factor it has goes with its length.
        const direction = orthogonalized(Float64Array.from(g), rows, columns, constants.steps as number);
        const size = rates.learningRate * matrixRate(shape, constants.rmsRate as number);
        const expected = Array.from(
          before.get(name) as Float32Array,
          (w, i) => w - w * rates.weightDecay * rates.learningRate - size * direction[i],
        );
        expectClose(after, expected, { absolute: 3e-6, relative: 1e-5 }, name);
        continue;
      }
      const apply = rule.step(rates, constants, 1);
      const expected = Array.from(g, (slope, i) => {
        const at = { w: before.get(name)?.[i] as number, g: slope, ...Object.fromEntries(rule.slots.map((slot) => [slot, 0])) };
        apply(at);
        return at.w;
      });
      expectClose(after, expected, { absolute: 1e-6, relative: 1e-5 }, name);
    }
    const kept = executable.state.filter(({ kind }) => kind.startsWith('slot:'));
    expect(kept).toHaveLength(trained.reduce((sum, { name }) => sum + slotsFor(one, matrices.has(name)).length, 0));
  });
});
