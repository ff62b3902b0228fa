// Muon: the numbers of Keras and timm, which parameters are matrices, what is kept of them, and the same bits for any number of threads.

import { readFileSync } from 'node:fs';
import { describe, expect, it, test } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import { trainingGraph } from '../../runtime/compile/compile.ts';
import { matrixParameters } from '../../runtime/compile/matrices.ts';
import { planMemory } from '../../runtime/compile/plan.ts';
import { optimizerVariables } from '../../runtime/interop/trained-model.ts';
import type { ValueId } from '../../runtime/ir/graph.ts';
import { input, layers } from '../../runtime/layers/functional.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { buildForward } from '../../runtime/model/build-graph.ts';
import { graphModel } from '../../runtime/model/graph-model.ts';
import { initialize } from '../../runtime/model/init.ts';
import { functionalModel } from '../../runtime/model/layered-model.ts';
import type { ParameterGroup } from '../../runtime/optim/groups.ts';
import { type ConstantsOf, constantsOf, type OptimizerOptions, optimizerOf } from '../../runtime/optim/index.ts';
import { muon, orthogonalized } from '../../runtime/optim/muon.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { expectClose } from '../support/close.ts';
import { randomBatch } from '../support/models.ts';
import { runReference } from '../support/reference.ts';
import { fixed, type TestTensor } from '../support/tensors.ts';

/** What test/golden/make_muon.py wrote; lists of numbers are texts. */
const GOLDEN = JSON.parse(readFileSync(new URL('../golden/muon.json', import.meta.url), 'utf8'));
const numbers = (text: string): number[] => text.split(' ').map(Number);
const STEP = { learningRate: 0.125, weightDecay: 0.01 };
const STEPS = 3;

/** Exact doubles, not rounded to f32. */
const doubles = (shape: readonly number[], value: (i: number) => number): TestTensor => ({
  ...fixed(shape, () => 0),
  data: Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => value(i)),
});
const parameter = (shape: readonly number[]) => doubles(shape, (i) => Math.cos(1.3 * i));
const gradient = (shape: readonly number[], t: number) => doubles(shape, (i) => Math.sin(1.7 * i + t) + 0.3 * Math.cos(0.9 * i * t));

/** A parameter after three steps. */
function stepped(shape: readonly number[], options: Partial<ConstantsOf<'muon'>>, isMatrix: boolean): number[] {
  const { constants } = optimizerOf({ name: 'muon', ...options } as OptimizerOptions);
  const updates = [parameter(shape), ...[0, 1].slice(isMatrix ? 1 : 0).map(() => doubles(shape, () => 0))];
  for (let t = 1; t <= STEPS; t++) {
    const ok = fixed([1], [1], 'i32');
    const given = gradient(shape, t);
    if (isMatrix)
      runReference('muon', { ok, gradient: given }, constantsOf(muon.matrices?.constants ?? {}, constants), { step: STEP, updates });
    else {
      const attrs = constantsOf(optimizerOf('adamw').rule.constants, constants);
      runReference('adamw', { ok, counter: fixed([1], [t - 1], 'i32'), gradients: [given] }, attrs, { step: STEP, updates });
    }
  }
  return [...updates[0].data] as number[];
}

const OTHERWISE = { momentum: 0.8, nesterov: false, steps: 3, rmsRate: 0.5, beta1: 0.8, beta2: 0.95, epsilon: 1e-3 };

describe('three steps', () => {
  it.each([
    ['usual', {}],
    ['otherwise', OTHERWISE],
  ] as const)('of Keras, constants as %s', (name, options) => {
    const golden = GOLDEN.keras[name];
    // Keras rounds rates and roots of sizes to float32.
    for (const [key, shape, isMatrix] of [
      ['tall', [9, 5], true],
      ['wide', [4, 7], true],
      ['head', [5, 3], false],
      ['bias', [5], false],
    ] as const)
      expectClose(stepped(shape, options, isMatrix), numbers(golden[key]), { absolute: 1e-7 }, key);
  });

  it('of timm, with kernels of convolutions', () => {
    expect(GOLDEN.timm).toHaveLength(3);
    for (const { shape, options, after } of GOLDEN.timm) {
      const { ns_steps: steps, ...others } = options as { ns_steps?: number };
      // It adds nothing to the length, and keeps the momentum as a mean, twenty times smaller.
      expectClose(stepped(numbers(shape), { ...others, ...(steps && { steps }) }, true), numbers(after), { absolute: 1e-6 }, shape);
    }
  });
});

test('singular values come near 1, and a matrix of zeros stays one', () => {
  const x = orthogonalized(
    Float64Array.from({ length: 24 }, (_, i) => Math.sin(1.7 * i * i)),
    6,
    4,
    5,
  );
  for (let i = 0; i < 4; i++)
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      for (let k = 0; k < 6; k++) sum += x[4 * k + i] * x[4 * k + j];
      expect(Math.abs(sum - (i === j ? 0.9 : 0))).toBeLessThan(0.45);
    }
  expect([...orthogonalized(new Float64Array(6), 2, 3, 5)]).toEqual([0, 0, 0, 0, 0, 0]);
});

const model = buildModel('convmixer', { input: [8, 8, 3], classes: 4, dim: 10, depth: 2, kernel: 3, patch: 2 });
const forward = (of = model) => buildForward(of, 'train', { loss: { name: 'crossEntropy' } });

describe('matrices', () => {
  const names = ['layers/conv2d/vars/0', 'layers/conv2d_1/vars/0', 'layers/conv2d_2/vars/0'];

  it('are kernels of dense layers and convolutions, but not depthwise ones, and not those that make the logits', () => {
    expect([...matrixParameters(forward())]).toEqual(names);
    expect([...matrixParameters(buildForward(model, 'inference', { loss: false }))]).toEqual(names);
  });

  it('are found in every kind of network by its ops', () => {
    const images = input([8, 8, 4]);
    const grouped = layers.conv2d(layers.conv2d(images, { filters: 8, kernelSize: 3, groups: 2, name: 'halves' }), {
      ...{ filters: 8, kernelSize: 3, groups: 8, name: 'each' },
    });
    const hidden = layers.dense(layers.globalAveragePooling2d(grouped), { units: 5, activation: 'relu', name: 'hidden' });
    const heads = layers.add([layers.dense(hidden, { units: 3, name: 'left' }), layers.dense(hidden, { units: 3, name: 'right' })]);
    const network = functionalModel({ name: 'heads', input: images, output: heads });
    const named = new Map(network.layers.flatMap(({ name, variables }) => variables.map((one) => [one.name, name] as const)));
    expect([...matrixParameters(forward(network))].map((one) => named.get(one))).toEqual(['halves', 'hidden']);

    const written = graphModel({
      ...{ name: 'written', input: [4, 4, 1] as const, classes: 3 },
      build(g, images) {
        const x = g.one('rescale', { x: images }, { scale: 1 / 255 });
        const dense = (label: string, from: ValueId, ...shape: number[]) => {
          g.label = label;
          return g.one('conv', { x: from, w: g.variable('kernel', shape) }, { stride: 1, padding: 'valid' });
        };
        const y = dense('first', x, 4, 4, 1, 6);
        return dense('last', dense('second', g.one('reshape', { x: y }, { shape: [6] }), 6, 6), 6, 3);
      },
    });
    expect([...matrixParameters(written.forward('train', { loss: { name: 'crossEntropy' } }))]).toEqual(['first/vars/0', 'second/vars/0']);
    expect(trainingGraphs(written, { optimizer: 'muon' }).train.nodes.filter(({ op }) => op === 'muon')).toHaveLength(2);
  });

  it('come last, with the factors of their groups, and have a slot less than all others', () => {
    const groups: ParameterGroup[] = [
      { match: ({ name }) => name === names[0], frozen: true },
      { match: ({ name }) => name === names[1], rateFactor: 0.5, decayFactor: 0 },
    ];
    const graph = trainingGraph(forward(), { optimizer: { name: 'muon', steps: 3 }, groups, clipNorm: 2 });
    const trained = graph.gradients.map(({ parameter }) => graph.values[parameter].name);
    expect(trained.slice(-2)).toEqual([names[2], names[1]]);
    const updates = graph.nodes.filter(({ op }) => op === 'muon');
    expect(updates.map(({ attrs }) => [attrs.steps, attrs.rate ?? 1, attrs.decay ?? 1])).toEqual([
      [3, 1, 1],
      [3, 0.5, 0],
    ]);
    for (const { args, updates: state } of updates) {
      expect(args.scale).toBeDefined();
      expect(state.map((id) => graph.values[id].state)).toEqual(['parameter', 'slot:moment1']);
    }
    const { slots, ranges } = planMemory([graph], 4);
    expect(slots.get('slot:moment1')?.bytes).toBe(ranges.gradients.bytes);
    // Two kernels of 10 × 10.
    expect(ranges.gradients.bytes - (slots.get('slot:moment2')?.bytes ?? 0)).toBe(2 * 400);
  });

  it('may be all or none of what is trained', () => {
    const only = (match: (name: string) => boolean) =>
      trainingGraph(forward(), { optimizer: 'muon', groups: [{ match: ({ name }) => !match(name), frozen: true }] }).nodes.flatMap(
        ({ op }) => (op === 'muon' || op === 'adamw' ? [op] : []),
      );
    expect(only((name) => name === names[0])).toEqual(['muon']);
    expect(only((name) => name.startsWith('layers/dense/'))).toEqual(['adamw']);
  });

  it("have Keras' names of what is kept: a momentum of all, a velocity of those that are no matrices", () => {
    const { train } = trainingGraphs(model, { optimizer: 'muon' });
    const kept = train.values.filter(({ state }) => state?.startsWith('slot:'));
    const sorted = [...kept].sort((a, b) => Number(/\d+$/.exec(a.name)) - Number(/\d+$/.exec(b.name)));
    expect(sorted.map(({ name, spec }) => ({ name, shape: spec.shape }))).toEqual(
      optimizerVariables(model, 'muon')
        .slice(2)
        .map(({ name, shape }) => ({ name, shape })),
    );
    const trained = model.variables.filter(({ kind }) => kind === 'parameter');
    expect(sorted).toHaveLength(2 * trained.length - names.length);
  });
});

test('the same bits for any number of threads', async () => {
  const wide = buildModel('convmixer', { input: [8, 8, 3], classes: 4, dim: 70, depth: 1, kernel: 3, patch: 3 });
  const states: Float32Array[][] = [];
  for (const threads of [1, 2, 3]) {
    await using device = await openWasmDevice({ threads });
    await using executable = await device.compile(trainingGraphs(wide, { optimizer: 'muon', clipNorm: 1 }), { capacity: 4, seed: 3n });
    for (const [name, data] of initialize(wide, 3n)) await executable.write(name, data);
    for (let k = 0; k < 3; k++) {
      await executable.gradient(randomBatch(wide, 4, k));
      await executable.update({ learningRate: 0.01, weightDecay: 0.1, bnMomentum: 0.9 });
    }
    states.push(await Promise.all(executable.state.map(({ name }) => executable.read(name))));
  }
  expect(states[1]).toEqual(states[0]);
  expect(states[2]).toEqual(states[0]);
});
