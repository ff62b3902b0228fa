// What a run leaves as it is: gradients, slots, statistics and stages of a run that freezes layers, and going on with one.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import type { Device, Executable } from '../../runtime/device.ts';
import { graphModel } from '../../runtime/model/graph-model.ts';
import { initialize } from '../../runtime/model/init.ts';
import type { TrainableModel } from '../../runtime/model/model.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import type { Checkpoint } from '../../runtime/train/checkpoint.ts';
import { writeState } from '../../runtime/train/device-state.ts';
import type { TrainOptions } from '../../runtime/train/events.ts';
import { type Freeze, parseFreeze, pathOf, readFreeze, stagesOf } from '../../runtime/train/freeze.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { readProgress } from '../../runtime/train/progress.ts';
import { train } from '../../runtime/train/run.ts';
import { hybridError } from '../support/expect-error.ts';
import { randomBatch } from '../support/models.ts';
import { digestOf, MemoryStore, ofType, smallOptions as onReference, runPart, smallModel } from '../support/runs.ts';

let device: Device;
beforeAll(async () => {
  device = await openWasmDevice({ threads: 1 });
});
afterAll(() => device.close());

const isHead = (name: string) => name.startsWith('layers/dense/');
const graphs = (freeze: Freeze, stage = 0, model: TrainableModel = smallModel) =>
  trainingGraphs(model, { groups: stagesOf(model, freeze)[stage].groups });

/** Outputs, gradients and state of a model's training graph, for `layers/conv2d` and the like. */
const partsOf = (freeze: Freeze, stage = 0, model: TrainableModel = smallModel) => {
  const { train } = graphs(freeze, stage, model);
  return {
    gradients: train.gradients.map(({ parameter }) => train.values[parameter].name),
    slots: train.values.filter(({ state }) => state?.startsWith('slot:')).length,
    statistics: Object.keys(train.outputs).filter((name) => name.endsWith('/mean')),
    backward: train.nodes.filter(({ phase }) => phase === 'backward').map(({ op, label }) => `${label} ${op}`),
  };
};

describe('what is frozen', () => {
  it('has no gradient, no slots and statistics that stay; the backward pass ends at the head', () => {
    const { gradients, slots, statistics, backward } = partsOf('backbone');
    expect(gradients).toEqual(['layers/dense/vars/0', 'layers/dense/vars/1']);
    expect([slots, statistics]).toEqual([4, []]);
    expect(new Set(backward.map((text) => text.split(' ')[0]))).toEqual(new Set(['layers/dense', 'loss']));
    expect(partsOf('none').statistics).toHaveLength(3);
  });

  it('may be named by its layers; batch normalisation between layers that are trained has a gradient all the same', () => {
    const { gradients, statistics } = partsOf('batch_normalization_1,conv2d');
    expect(gradients.some((name) => /^layers\/(batch_normalization_1|conv2d)\//.test(name))).toBe(false);
    expect(gradients).toContain('layers/batch_normalization/vars/0');
    expect(statistics).toEqual(['layers/batch_normalization/mean', 'layers/batch_normalization_2/mean']);
    expect(partsOf('*normalization*').statistics).toEqual([]);
  });

  it.each([
    ['conv2b', /^convmixer has no layer called "conv2b"; did you mean conv2d\?$/],
    ['gelu*', /^convmixer has no layer called "gelu\*"/],
    ['*', /^`freeze: \*` freezes all layers of convmixer$/],
  ])('%s is refused', async (freeze, message) => {
    expect((await hybridError('E_USAGE', train(onReference({ freeze })).result)).message).toMatch(message);
  });

  it.each([-1, 1.5, '', 'a b', null])('%s is nothing that `freeze` may be', async (freeze) => {
    const error = await hybridError('E_USAGE', train(onReference({ freeze: freeze as Freeze })).result);
    expect(error.message).toMatch(/^freeze is /);
  });

  it('is read as people write it', () => {
    expect([readFreeze('backbone'), readFreeze('3'), readFreeze('conv2d*')]).toEqual(['backbone', 3, 'conv2d*']);
    // Layers of a graph model are named by paths.
    expect([parseFreeze('body/block.1/*'), parseFreeze('body block')]).toEqual(['body/block.1/*', undefined]);
  });

  it('is so in a model that is a graph', () => {
    const model = graphModel({
      name: 'own',
      input: [8, 8, 3],
      classes: 4,
      build(g, images) {
        g.label = 'body';
        const x = g.layer('Rescaling', images, { scale: 1 / 255 });
        const y = g.batchNormalization(g.layer('Conv2D', x, { filters: 4, kernelSize: 3, activation: 'relu' }));
        g.label = 'head';
        return g.layer('Dense', g.layer('GlobalAveragePooling2D', y, {}), { units: 4 });
      },
    });
    const { gradients, statistics } = partsOf('backbone', 0, model);
    expect(gradients.map(pathOf)).toEqual(['head/dense', 'head/dense']);
    expect(statistics).toEqual([]);
    expect(partsOf('body/*', 0, model).gradients.map(pathOf)).toEqual(['head/dense', 'head/dense']);
  });
});

describe('rates', () => {
  it('grow by a constant factor from the first layer to the last', () => {
    const { train } = graphs(0);
    const update = train.nodes.find(({ op }) => op === 'adamw');
    const rates = (update?.attrs.groups as { rate: number }[]).map(({ rate }) => rate).sort((a, b) => a - b);
    expect(rates.at(0)).toBeCloseTo(0.1);
    expect(rates.at(-1)).toBe(1);
    for (let i = 2; i < rates.length; i++) expect(rates[i] / rates[i - 1]).toBeCloseTo(rates[1] / rates[0]);
    expect(graphs(1, 1).train.nodes.find(({ op }) => op === 'adamw')?.attrs).toEqual(update?.attrs);
  });
});

/** Loss and gradients of a step with random weights and statistics. */
async function step(executable: Executable, state: ReadonlyMap<string, Float32Array>, names: readonly string[]) {
  for (const [name, data] of state) await executable.write(name, data);
  const batch = randomBatch(smallModel, 5, 3);
  const { loss } = await executable.gradient(batch);
  const gradients = await Promise.all(names.map((name) => executable.read(`gradients/${name}`)));
  await executable.update({ learningRate: 1e-2, weightDecay: 0, bnMomentum: 0.9 });
  const after = await Promise.all([...state.keys()].map(async (name) => [name, await executable.read(name)] as const));
  return { loss, gradients, after: new Map(after) };
}

describe.each(['backbone', 'batch_normalization_1,conv2d', '*normalization*'] as const)('a step with %s frozen', (freeze) => {
  it('is that of the reference device, and leaves what is frozen as it is', async () => {
    const { train: graph } = graphs(freeze);
    const names = graph.gradients.map(({ parameter }) => graph.values[parameter].name);
    const state = new Map(
      [...initialize(smallModel, 4n)].map(([name, values]) => {
        const isVariance = smallModel.variables.find((variable) => variable.name === name)?.role === 'moving_variance';
        return [name, values.map((value, i) => value + (isVariance ? 0.3 : 0.1) * (1 + Math.sin(i + name.length)))];
      }),
    );
    const reference = openReferenceDevice();
    const open = (on: Device) => on.compile(graphs(freeze), { capacity: 5, seed: 2n });
    const [here, there] = [await open(device), await open(reference)];
    const [got, expected] = [await step(here, state, names), await step(there, state, names)];
    expect(got.loss).toBeCloseTo(expected.loss, 5);
    for (const [k, name] of names.entries()) {
      const scale = Math.max(...expected.gradients[k].map(Math.abs));
      for (const [i, value] of expected.gradients[k].entries())
        expect(Math.abs(got.gradients[k][i] - value), `${name} ${i}`).toBeLessThan(1e-4 * scale + 1e-7);
    }
    const frozen = smallModel.variables.filter(({ name, kind }) =>
      kind === 'parameter' ? !names.includes(name) : !graph.outputs[`${pathOf(name)}/mean`],
    );
    expect(frozen.length).toBeGreaterThan(0);
    for (const { name } of frozen) expect(got.after.get(name), name).toEqual(state.get(name));
    for (const name of names) expect(got.after.get(name), name).not.toEqual(state.get(name));
    await here.close();
    await there.close();
  });
});

const smallOptions = (changes: Partial<TrainOptions> = {}) => onReference({ device, ...changes });
const STEPS = 6;

async function lastOf(store: MemoryStore): Promise<Checkpoint> {
  const checkpoint = await store.load('last');
  if (!checkpoint) throw new Error('nothing was saved');
  return checkpoint;
}

describe('a run', () => {
  it('that freezes the backbone changes the head alone', async () => {
    const store = new MemoryStore();
    await runPart(smallOptions({ freeze: 'backbone', store }));
    const before = initialize(smallModel, 7n);
    for (const [name, { data }] of (await lastOf(store)).weights) {
      if (isHead(name)) expect(data, name).not.toEqual(before.get(name));
      else expect(data, name).toEqual(before.get(name));
    }
  });

  it('trains the head for so many epochs and then everything, with an optimizer that begins anew', async () => {
    const store = new MemoryStore();
    await runPart(smallOptions({ freeze: 1, epochs: 2, store }));
    const [first, second] = store.saved.filter(({ kind }) => kind === 'last').map(({ checkpoint }) => checkpoint);
    const before = initialize(smallModel, 7n);
    for (const [name, { data }] of first.weights) expect(`${data}` === `${before.get(name)}`, name).toBe(!isHead(name));
    for (const { name } of smallModel.variables)
      expect(`${second.weights.get(name)?.data}` === `${first.weights.get(name)?.data}`, name).toBe(false);
    // Count, rate and two moments of each parameter that is trained.
    const parameters = smallModel.variables.filter(({ kind }) => kind === 'parameter').length;
    expect([first.optimizer.size, second.optimizer.size]).toEqual([2 + 2 * 2, 2 + 2 * parameters]);
    expect([first, second].map(({ optimizer }) => optimizer.get('optimizer/vars/0')?.data[0])).toEqual([STEPS, STEPS]);
  });

  it.each([
    ['a constant rate', { epochs: 3, freeze: 1 }],
    ['a schedule and recalibrated statistics', { epochs: 4, freeze: 2, schedule: { name: 'one-cycle' }, recalibrateBn: 2 }],
    ['all of it frozen', { epochs: 2, freeze: 5, schedule: { name: 'cosine' } }],
  ] as const)('with %s is the same one whenever it was stopped', async (_, changes) => {
    const whole = new MemoryStore();
    const { events } = await runPart(smallOptions({ ...changes, store: whole }));
    const rates = ofType(events, 'epoch').map(({ lr }) => lr);
    expect(rates[0]).toBe(0.02); // the head alone learns at the highest rate
    for (let stopAt = 2; stopAt < changes.epochs * STEPS; stopAt += 4) {
      const store = new MemoryStore();
      await runPart(smallOptions({ ...changes, store }), stopAt);
      const { events: rest } = await runPart(smallOptions({ ...changes, store, resume: await lastOf(store) }));
      expect(digestOf(await lastOf(store)), `stopped after ${stopAt}`).toBe(digestOf(await lastOf(whole)));
      expect(ofType(rest, 'epoch').map(({ lr }) => lr)).toEqual(rates.slice(-ofType(rest, 'epoch').length || rates.length));
    }
  });

  it('goes back over the border of its stages when it diverges', async () => {
    let compiled = 0;
    let poisoned = false;
    const faulty: Device = Object.create(device, {
      compile: {
        value: async (...args: Parameters<Device['compile']>) => {
          const executable = await device.compile(...args);
          const stage = compiled++;
          const gradient: Executable['gradient'] = async (...given) => {
            if (stage === 1 && !poisoned) {
              poisoned = true;
              await executable.write('layers/conv2d/vars/0', new Float32Array(2 * 2 * 3 * 6).fill(Number.NaN));
            }
            return executable.gradient(...given);
          };
          return new Proxy(executable, {
            get(target, name) {
              const value = name === 'gradient' ? gradient : Reflect.get(target, name, target);
              return typeof value === 'function' ? value.bind(target) : value;
            },
          });
        },
      },
    });
    const store = new MemoryStore();
    const { events, result } = await runPart(smallOptions({ device: faulty, freeze: 1, epochs: 2, onNan: 'rollback', store }));
    const told = ofType(events, 'message').map(({ text }) => text);
    expect(told.find((text) => text.includes('Back to'))).toMatch(
      /Back to the state after step 6 of epoch 1, with 0\.5 times the learning rate\.$/,
    );
    expect(result).toMatchObject({ reason: 'completed', epochs: 2 });
    expect((await lastOf(store)).optimizer.get('optimizer/vars/0')?.data[0]).toBe(STEPS);
  });

  it('has a scale of the loss that begins anew with a stage', async () => {
    const entries = [
      { name: 'optimizer/loss_scale', shape: [2], kind: 'scale' },
      { name: 'layers/dense/vars/0', shape: [1], kind: 'parameter' },
    ] as const;
    const written = new Map<string, Float32Array>();
    const executable = {
      state: entries,
      write: async (name: string, data: Float32Array) => void written.set(name, data),
    } as unknown as Executable;
    const tensor = (...values: number[]) => ({ shape: [values.length], data: Float32Array.from(values) });
    const checkpoint = {
      weights: new Map([['layers/dense/vars/0', tensor(5)]]),
      optimizer: new Map([['optimizer/loss_scale', tensor(1024, 7)]]),
    } as unknown as Checkpoint;
    for (const newParameters of [false, true]) {
      await writeState(executable, checkpoint, { newParameters });
      expect([...(written.get('optimizer/loss_scale') ?? [])]).toEqual(newParameters ? [0, 0] : [1024, 7]);
      expect([...(written.get('layers/dense/vars/0') ?? [])]).toEqual([5]);
    }
  });

  it('that had other layers frozen is gone on with where that is allowed, with a new state of the optimizer', async () => {
    const store = new MemoryStore();
    await runPart(smallOptions({ freeze: 'backbone', store }), 4);
    const resume = await lastOf(store);
    const refused = await hybridError('E_CHECKPOINT', train(smallOptions({ resume, store })).result);
    expect(refused.message).toContain('`freeze` is none, but was backbone');
    const { result } = await runPart(smallOptions({ resume, store, allowChanged: ['freeze'] }));
    expect(result.reason).toBe('completed');
    const last = await lastOf(store);
    expect(readProgress(last).history).toHaveLength(2);
    // A run that is stopped may end a step that was under way.
    const { epoch, step } = readProgress(resume);
    expect(last.optimizer.get('optimizer/vars/0')?.data[0]).toBe(2 * STEPS - (epoch - 1) * STEPS - step);
  });
});
