// The device contract as a test suite: what runtime/device.ts promises, of any device. One file beside this one runs it for each device;
// what only one device does is in that device's own tests.

import { getEventListeners } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import { type CompileOptions, type Device, type Executable, GRADIENTS, type ModelGraphs, STATISTICS } from '../../runtime/device.ts';
import { type Graph, GraphBuilder } from '../../runtime/ir/graph.ts';
import { input, layers as layerFunctions } from '../../runtime/layers/functional.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { graphModel, type ModelBuilder } from '../../runtime/model/graph-model.ts';
import { initialize } from '../../runtime/model/init.ts';
import { functionalModel } from '../../runtime/model/layered-model.ts';
import { ops } from '../../runtime/ops/index.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import { evaluate } from '../../runtime/train/evaluate.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { predict } from '../../runtime/train/predict.ts';
import { train } from '../../runtime/train/run.ts';
import { expectClose } from '../support/close.ts';
import { hybridError } from '../support/expect-error.ts';
import { randomBatch } from '../support/models.ts';
import { shapesDataset } from '../support/shapes-dataset.ts';

const { batchNormalization, globalAveragePooling2d, rescaling } = layerFunctions;
const HYPER = { learningRate: 1e-3, weightDecay: 1e-4, bnMomentum: 0.9 };
const SEED = 42n;
const CAPACITY = 5;
const model = buildModel('convmixer', { input: [8, 8, 3], classes: 5, dim: 12, depth: 1, kernel: 3, patch: 2 });
const graphs = trainingGraphs(model);
const batch = randomBatch(model, CAPACITY);
const BIAS = 'layers/dense/vars/1';

export interface ContractOptions {
  open(): Promise<Device>;
  /** What is seen of a loss that is NaN: a GPU may take it for another number that is not finite. */
  readonly isBad?: (loss: number) => boolean;
  /** Whether calls are over when they return, so that nothing is ever under way. */
  readonly immediate?: boolean;
  /** Whether `inspect` says how many kernel calls a program has: as many as `profile` has times. */
  readonly calls?: RegExp;
}

/** Everything that a step may change, by name. */
export async function stateOf(compiled: Executable): Promise<Map<string, Float32Array>> {
  const state = new Map<string, Float32Array>();
  for (const { name } of compiled.state) state.set(name, await compiled.read(name));
  return state;
}

/** Holds a device to the contract. */
export function contract(name: string, { open, isBad = Number.isNaN, immediate = false, calls }: ContractOptions): void {
  describe(`the ${name} device keeps the contract`, () => {
    let device: Device;
    const executables: Executable[] = [];
    beforeAll(async () => {
      device = await open();
    });
    afterAll(() => device?.close());

    /** Compiled, with the initial weights. */
    async function fresh(options: Partial<CompileOptions> = {}): Promise<Executable> {
      const compiled = await device.compile(graphs, { seed: SEED, capacity: CAPACITY, ...options });
      executables.push(compiled);
      for (const [name, data] of initialize(model, SEED)) await compiled.write(name, data);
      return compiled;
    }

    describe('order', () => {
      it('runs calls in the order in which they are made, however many are in flight, and takes their inputs at the call', async () => {
        const [one, other] = [await fresh(), await fresh()];
        const expected: unknown[] = [];
        for (let step = 0; step < 4; step++) {
          expected.push(await one.gradient(randomBatch(model, CAPACITY, step)));
          expected.push(await one.update(HYPER));
          expected.push(await one.predict(randomBatch(model, 2, step)));
          expected.push(await one.read('layers/conv2d/vars/0'));
          await one.write(BIAS, new Float32Array(5).fill(step));
          expected.push(await one.evaluate(randomBatch(model, 3, step)));
          await one.calibrate(randomBatch(model, 3, step), 0.5);
        }
        const shared = randomBatch(model, CAPACITY);
        const promises: Promise<unknown>[] = [];
        for (let step = 0; step < 4; step++) {
          const take = (rows: number) => {
            shared.images.set(randomBatch(model, rows, step).images);
            shared.labels.set(randomBatch(model, rows, step).labels);
            return { ...shared, rows };
          };
          promises.push(other.gradient(take(CAPACITY)), other.update(HYPER), other.predict(take(2)), other.read('layers/conv2d/vars/0'));
          const bias = new Float32Array(5).fill(step);
          const written = other.write(BIAS, bias);
          bias.fill(9);
          promises.push(other.evaluate(take(3)));
          const calibrated = other.calibrate(take(3), 0.5);
          for (const silent of [written, calibrated]) silent.catch((error) => promises.push(Promise.reject(error)));
          shared.images.fill(0);
          shared.labels.fill(0);
        }
        expect(await Promise.all(promises)).toEqual(expected);
        // The same calls give the same bits.
        expect(await stateOf(other)).toEqual(await stateOf(one));
      });

      it('reads and writes in their turn', async () => {
        const compiled = await fresh();
        const values = Float32Array.from([1, 2, 3, 4, 5]);
        const before = compiled.read(BIAS);
        const gradient = compiled.gradient(batch);
        const written = compiled.write(BIAS, values);
        values.fill(9);
        const after = compiled.read(BIAS);
        await Promise.all([gradient, written]);
        expect([...(await before)]).toEqual([0, 0, 0, 0, 0]);
        expect([...(await after)]).toEqual([1, 2, 3, 4, 5]);
      });
    });

    describe('rows', () => {
      it('computes with fewer rows than there is room for as with no more room', async () => {
        const [wide, exact] = [await fresh(), await fresh({ capacity: 2 })];
        await wide.gradient(batch); // what was there before does not matter
        const two = randomBatch(model, 2, 9);
        expect(await exact.gradient(two)).toEqual(await wide.gradient(two));
        expect(await exact.read(GRADIENTS)).toEqual(await wide.read(GRADIENTS));
        expect(await exact.evaluate(two)).toEqual(await wide.evaluate(two));
        expect((await wide.predict(two)).length).toBe(2 * 5);
      });

      it('takes arrays that are longer than its rows', async () => {
        const compiled = await fresh();
        const short = randomBatch(model, 2);
        const long = randomBatch(model, CAPACITY);
        long.images.set(short.images);
        long.labels.set(short.labels);
        expect(await compiled.evaluate({ ...long, rows: 2 })).toEqual(await compiled.evaluate(short));
      });
    });

    describe('state', () => {
      it('has the tensors of the reference device, all zeros at first', async () => {
        const compiled = await device.compile(graphs, { seed: SEED, capacity: CAPACITY });
        executables.push(compiled);
        const reference = await openReferenceDevice().compile(graphs, { seed: SEED, capacity: CAPACITY });
        const sorted = (state: Executable['state']) => [...state].sort((a, b) => (a.name < b.name ? -1 : 1));
        expect(sorted(compiled.state)).toEqual(sorted(reference.state));
        for (const [name, data] of await stateOf(compiled)) expect([name, data.every((value) => value === 0)]).toEqual([name, true]);
      });

      it('is changed by update and calibrate alone', async () => {
        const compiled = await fresh();
        const before = await stateOf(compiled);
        await compiled.gradient(batch);
        await compiled.evaluate(batch);
        await compiled.predict(batch);
        expect(await stateOf(compiled)).toEqual(before);
        await compiled.calibrate(batch, 0.5);
        const calibrated = await stateOf(compiled);
        for (const { name, kind } of compiled.state)
          expect([name, equal(calibrated.get(name), before.get(name))]).toEqual([name, kind !== 'statistic']);
        await compiled.gradient(batch);
        expect(await compiled.update(HYPER)).toEqual({ applied: true });
        const updated = await stateOf(compiled);
        for (const { name } of compiled.state) expect([name, equal(updated.get(name), calibrated.get(name))]).toEqual([name, false]);
        expect(updated.get('optimizer/vars/0')).toEqual(Float32Array.of(1));
      });

      it('updates with the gradients that are written', async () => {
        const compiled = await fresh();
        await compiled.gradient(batch);
        const gradients = await compiled.read(GRADIENTS);
        await compiled.write(GRADIENTS, new Float32Array(gradients.length));
        const before = await compiled.read(BIAS);
        expect(await compiled.update({ ...HYPER, weightDecay: 0 })).toEqual({ applied: true });
        expect(await compiled.read(BIAS)).toEqual(before);
        expect((await compiled.read(GRADIENTS)).length).toBe(gradients.length);
      });

      it('has all moving statistics under one name', async () => {
        const compiled = await fresh();
        await compiled.calibrate(batch, 0.5);
        const all = await compiled.read(STATISTICS);
        await compiled.write(
          STATISTICS,
          all.map((value) => value * 2),
        );
        const before = await compiled.read('layers/batch_normalization/vars/2');
        await compiled.write(STATISTICS, all);
        expect(await compiled.read('layers/batch_normalization/vars/2')).toEqual(before.map((value) => value / 2));
      });

      it('has none where nothing is normalised: an array of none', async () => {
        const images = input([4, 4, 3]);
        const plain = functionalModel({
          name: 'plain',
          input: images,
          output: layerFunctions.dense(globalAveragePooling2d(rescaling(images, { scale: 1 / 255 })), { units: 5 }),
        });
        const compiled = await device.compile(trainingGraphs(plain), { seed: SEED, capacity: 1 });
        executables.push(compiled);
        expect(await compiled.read(STATISTICS)).toEqual(new Float32Array(0));
        await compiled.write(STATISTICS, new Float32Array(0));
        await expect(compiled.write(STATISTICS, new Float32Array(1))).rejects.toMatchObject({ code: 'E_USAGE' });
      });

      it('agrees with the reference device on loss, gradients and what a step makes of the state', async () => {
        const compiled = await fresh();
        const reference = await openReferenceDevice().compile(graphs, { seed: SEED, capacity: CAPACITY });
        for (const [name, data] of await stateOf(compiled)) await reference.write(name, data);
        const [actual, expected] = [await compiled.gradient(batch), await reference.gradient(batch)];
        expectClose([actual.loss], [expected.loss], { relative: 2e-5 }, 'loss');
        expect(actual.correct).toBe(expected.correct);
        for (const { name, kind } of compiled.state) {
          if (kind !== 'parameter') continue;
          const gradient = await reference.read(`gradients/${name}`);
          const scale = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0) / gradient.length);
          const tolerance = { absolute: 1e-3 * scale + 2e-6, relative: 2e-3 };
          expectClose(await compiled.read(`gradients/${name}`), gradient, tolerance, `gradient of ${name}`);
        }
        const evaluated = await compiled.evaluate(batch);
        expect(await compiled.predict(batch)).toEqual(evaluated.logits);
        const correct = await reference.evaluate(batch);
        expectClose(evaluated.logits, correct.logits, { absolute: 2e-5, relative: 1e-4 }, 'logits');
        expectClose([evaluated.loss], [correct.loss], { relative: 2e-5 }, 'loss of the evaluation');
      });
    });

    describe('abort', () => {
      it('rejects what is aborted, changes nothing and leaves no listener; the rest is computed', async () => {
        const compiled = await fresh();
        await compiled.gradient(batch);
        await compiled.update(HYPER);
        const before = await stateOf(compiled);
        const controller = new AbortController();
        const { signal } = controller;
        if (immediate) controller.abort(new Error('enough'));
        const gradient = compiled.gradient(batch, { signal });
        const update = compiled.update(HYPER); // of a gradient that has not happened; or has, and then counts
        const predictions = Array.from({ length: 9 }, () => compiled.predict(batch, { signal }));
        const other = compiled.predict(batch);
        controller.abort(new Error('enough'));
        for (const outcome of await Promise.allSettled(predictions)) {
          expect(outcome).toMatchObject({
            status: 'rejected',
            reason: { name: 'AbortError', code: 'ABORT_ERR', cause: { message: 'enough' } },
          });
        }
        const [computed, updated] = await Promise.allSettled([gradient, update]);
        expect(updated.status).toBe(computed.status);
        if (updated.status === 'rejected') expect(await stateOf(compiled)).toEqual(before);
        expect((await other).length).toBe(CAPACITY * 5);
        expect(getEventListeners(signal, 'abort')).toEqual([]);
        expect((await compiled.gradient(batch)).loss).toBeGreaterThan(0);
        expect(await compiled.update(HYPER)).toEqual({ applied: true });
      });

      it('rejects an update behind a gradient that was aborted, though there was one before', async () => {
        const compiled = await fresh();
        await compiled.gradient(batch);
        const before = await stateOf(compiled);
        const signal = AbortSignal.abort(new Error('enough'));
        const runs = [compiled.gradient(randomBatch(model, 2, 3), { signal }), compiled.update(HYPER)];
        for (const outcome of await Promise.allSettled(runs))
          expect(outcome).toMatchObject({ status: 'rejected', reason: { name: 'AbortError', cause: { message: 'enough' } } });
        expect(await stateOf(compiled)).toEqual(before);
      });

      it('leaves no listener on the signal of runs that came to their end', async () => {
        const compiled = await fresh();
        const { signal } = new AbortController();
        for (let i = 0; i < 20; i++) await compiled.predict(batch, { signal });
        expect(getEventListeners(signal, 'abort')).toEqual([]);
      });
    });

    it.each([
      ['NaN', Number.NaN],
      ['infinity', Number.POSITIVE_INFINITY],
    ])('%s in a weight: the step is not applied and changes no part of the state', async (_, value) => {
      const compiled = await fresh();
      await compiled.gradient(batch);
      await compiled.update(HYPER); // moments and counter are not zero
      const weights = await compiled.read('layers/conv2d_1/vars/0');
      weights[3] = value;
      await compiled.write('layers/conv2d_1/vars/0', weights);
      const before = await stateOf(compiled);
      expect((await compiled.gradient(batch)).loss).toSatisfy(isBad);
      expect(await compiled.update(HYPER)).toEqual({ applied: false });
      await compiled.calibrate(batch, 0.5);
      expect(await stateOf(compiled)).toEqual(before);
      expect(before.get('optimizer/vars/0')).toEqual(Float32Array.of(1));
    });

    describe('refusals', () => {
      it('refuses calls that make no sense, and goes on', async () => {
        const compiled = await fresh();
        await expect(compiled.update(HYPER)).rejects.toThrow('update was called before any gradient');
        await expect(compiled.predict({ ...batch, rows: CAPACITY + 1 })).rejects.toThrow('6 rows, capacity 5');
        await expect(compiled.predict({ ...batch, rows: 0 })).rejects.toThrow('0 rows');
        await expect(compiled.gradient({ ...batch, labels: undefined })).rejects.toThrow('gradient needs 5 elements of labels, got none');
        await expect(compiled.gradient({ ...batch, labels: new Int32Array(CAPACITY).fill(5) })).rejects.toThrow(
          'row 0 has label 5 of 5 classes',
        );
        await expect(compiled.read('layers/nothing')).rejects.toThrow('no state or gradient is called layers/nothing');
        await expect(compiled.write(BIAS, [1, 2])).rejects.toThrow(`${BIAS} has 5 elements, not 2`);
        await expect(compiled.write(`gradients/${BIAS}`, [1, 2, 3, 4, 5])).rejects.toThrow('is not state');
        expect((await compiled.gradient(batch)).loss).toBeGreaterThan(0);
      });

      it.each([
        ['learningRate', Number.NaN],
        ['learningRate', Number.POSITIVE_INFINITY],
        ['learningRate', -1e-3],
        ['learningRate', undefined],
        ['weightDecay', Number.NaN],
        ['bnMomentum', 1.5],
      ])('refuses an update with %s %s before it is applied', async (name, value) => {
        const compiled = await fresh();
        await compiled.gradient(batch);
        const before = await stateOf(compiled);
        const refusal = { code: 'E_USAGE', message: `an update cannot have ${name} ${value}` };
        await expect(compiled.update({ ...HYPER, [name]: value })).rejects.toMatchObject(refusal);
        if (name === 'bnMomentum') await expect(compiled.calibrate(batch, value as number)).rejects.toMatchObject(refusal);
        expect(await stateOf(compiled)).toEqual(before);
        expect(await compiled.update(HYPER)).toEqual({ applied: true });
      });

      it('takes no older gradient where one was refused', async () => {
        const compiled = await fresh();
        await compiled.gradient(batch);
        const before = await stateOf(compiled);
        for (const bad of [
          { ...batch, labels: new Int32Array(CAPACITY).fill(5) },
          { ...batch, rows: 0 },
        ]) {
          const runs = [compiled.gradient(batch), compiled.gradient(bad), compiled.update(HYPER)];
          const [, refused, updated] = await Promise.allSettled(runs);
          expect(refused).toMatchObject({ status: 'rejected', reason: { code: 'E_USAGE' } });
          expect(updated).toEqual(refused);
        }
        expect(await stateOf(compiled)).toEqual(before);
        await compiled.gradient(batch);
        expect(await compiled.update(HYPER)).toEqual({ applied: true });
      });

      it('refuses arrays of another kind, whose bytes it would take for something else', async () => {
        const compiled = await fresh();
        const floats = { ...batch, labels: Float32Array.from(batch.labels) as never };
        await expect(compiled.evaluate(floats)).rejects.toMatchObject({
          code: 'E_USAGE',
          message: 'labels of evaluate are a Float32Array, and must be a Int32Array',
        });
        const pixels = { ...batch, images: new Float32Array(batch.images.length) as never };
        await expect(compiled.predict(pixels)).rejects.toThrow('images of predict are a Float32Array, and must be a Uint8Array');
        expect((await compiled.predict({ ...batch, images: Buffer.from(batch.images) })).length).toBe(CAPACITY * 5);
      });

      it.each<[string, object, string]>([
        ['a seed that is no bigint', { seed: 5 }, 'seed is 5'],
        ['a seed of more than 64 bits', { seed: 1n << 64n }, 'seed is 18446744073709551616n'],
        ['a capacity of 0', { capacity: 0 }, 'capacity is 0'],
        ['a capacity of 1.5', { capacity: 1.5 }, 'capacity is 1.5'],
        [
          'a fusion rule that there is not',
          { withoutRules: ['residual-into-normalise'] },
          'withoutRules has no "residual-into-normalise"; did you mean residual-into-normalize?',
        ],
        ['a program that there is not', { programs: ['evalute'] }, 'programs has no "evalute"; did you mean evaluate?'],
      ])('refuses to compile with %s', async (_, options, message) => {
        const refused = { code: 'E_USAGE', message, remedy: expect.stringMatching(/\.$/) };
        await expect(device.compile(graphs, { seed: SEED, capacity: CAPACITY, ...options })).rejects.toMatchObject(refused);
      });

      it('refuses graphs that cannot be what they are given as', async () => {
        const compile = (given: ModelGraphs) => device.compile(given, { seed: SEED, capacity: 1 });
        const images = { dtype: 'u8', shape: [4, 4, 3], perSample: true } as const;
        const graph = (build: (g: GraphBuilder) => void): Graph => {
          const g = new GraphBuilder('own', ops);
          build(g);
          return g.finish();
        };
        const scaled = (g: GraphBuilder) => g.one('rescale', [g.input('images', images)], { scale: 1 });
        const refused: [ModelGraphs, string][] = [
          [{ predict: graph((g) => void scaled(g)) }, 'the predict graph own has no output logits'],
          [
            { predict: graph((g) => g.output('logits', g.input('images', images))) },
            'the output logits of the predict graph own is u8 [n, 4, 4, 3], but has to be f32 and per sample',
          ],
          [
            {
              predict: graph((g) => {
                scaled(g);
                g.output('logits', g.state('w', [5], 'parameter'));
              }),
            },
            'the output logits of the predict graph own is f32 [5], but has to be f32 and per sample',
          ],
          [{ evaluate: graphs.predict }, 'has no output loss'],
          [{ train: graphs.evaluate }, 'has no output applied'],
          [
            { predict: graph((g) => g.output('logits', g.input('pictures', { ...images, dtype: 'f32' }))) },
            'the input pictures of the predict graph own is nothing that a batch has',
          ],
          [
            { predict: graph((g) => g.output('logits', g.input('images', { ...images, dtype: 'f32' }))) },
            'the input images of the predict graph own is f32 [n, 4, 4, 3]',
          ],
          [
            {
              ...graphs,
              predict: graph((g) => {
                const y = g.one('conv', [scaled(g), g.state('layers/conv2d/vars/0', [1, 1, 3, 2], 'parameter')], {
                  stride: 1,
                  padding: 'valid',
                });
                g.output('logits', y);
              }),
            },
            'the state layers/conv2d/vars/0 is parameter f32 [2, 2, 3, 12] in the train graph, but parameter f32 [1, 1, 3, 2] in the predict graph',
          ],
        ];
        refused.push([
          { ...graphs, predict: graph((g) => g.output('logits', g.one('rescale', [g.input('images', images)], { scale: 1 }))) },
          'the input images is u8 [n, 8, 8, 3] in the train graph, but u8 [n, 4, 4, 3] in the predict graph',
        ]);
        for (const [given, message] of refused) {
          const error = await compile(given).catch((reason) => reason);
          expect(error).toMatchObject({ code: 'E_USAGE', message: expect.stringContaining(message), remedy: expect.stringMatching(/\.$/) });
        }
        expect((await compile({ predict: graph((g) => g.output('logits', scaled(g))) })).state).toEqual([]);
      });

      it('refuses a program that was not compiled, and needs no memory for it', async () => {
        const partial = await fresh({ programs: ['predict'] });
        await expect(partial.gradient(batch)).rejects.toThrow('the program gradient was not compiled');
        await expect(partial.evaluate(batch)).rejects.toThrow('the program evaluate was not compiled');
        const needed = (programs?: CompileOptions['programs']) => device.memoryFor(graphs, { capacity: 500, seed: SEED, programs });
        expect(needed(['predict'])).toBeLessThan(needed());
      });

      it('rejects everything after it is closed, and closes twice', async () => {
        const compiled = await fresh();
        const underWay = compiled.predict(batch);
        const closed = expect(underWay)[immediate ? 'resolves' : 'rejects'];
        await Promise.all([compiled.close(), immediate ? closed.toHaveLength(25) : closed.toMatchObject({ name: 'AbortError' })]);
        await expect(compiled.predict(batch)).rejects.toThrow('the executable is closed');
        await compiled.close();
      });

      it('rejects what is compiled on a device that is closed, and closes its executables', async () => {
        const other = await open();
        const compiled = await other.compile(graphs, { seed: SEED, capacity: CAPACITY, programs: ['predict'] });
        await other.close();
        await expect(compiled.predict(batch)).rejects.toThrow('the executable is closed');
        await expect(other.compile(graphs, { seed: SEED, capacity: CAPACITY })).rejects.toMatchObject({ code: 'E_USAGE' });
        await other.close();
      });
    });

    it('moves the statistics of a batch normalisation that is called twice call by call, as Keras does', async () => {
      const x = input([4, 4, 3]);
      const twice = batchNormalization();
      const normalized = twice(twice(rescaling(x, { scale: 1 / 255 })));
      const shared = functionalModel({ name: 'shared', input: x, output: globalAveragePooling2d(normalized) });
      const compiled = await device.compile(trainingGraphs(shared), { seed: SEED, capacity: 3 });
      executables.push(compiled);
      for (const [name, data] of initialize(shared, SEED)) await compiled.write(name, data);
      const { images, ...rest } = randomBatch(shared, 3);
      await compiled.gradient({ images, ...rest });
      await compiled.update({ learningRate: 0, weightDecay: 0, bnMomentum: 0.5 });
      const moved = { mean: [] as number[], variance: [] as number[] };
      for (let c = 0; c < 3; c++) {
        const values = Array.from(images, (value) => value / 255).filter((_, i) => i % 3 === c);
        const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
        const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
        // What comes out of the first call has the mean 0; moving statistics begin with 0 and 1.
        moved.mean.push((0.5 * mean) / 2);
        moved.variance.push((0.5 + 0.5 * variance) / 2 + variance / (variance + 1e-3) / 2);
      }
      const tolerance = { absolute: 1e-5, relative: 1e-5 };
      expectClose(await compiled.read('layers/batch_normalization/vars/2'), moved.mean, tolerance, 'mean');
      expectClose(await compiled.read('layers/batch_normalization/vars/3'), moved.variance, tolerance, 'variance');
      const options = { device, model: shared, train: shapesDataset(8, { side: 4 }), epochs: 1, recalibrateBn: 1, workers: 0 };
      const error = await hybridError(
        'E_USAGE',
        train({ ...options, train: { ...options.train, classes: ['a', 'b', 'c', 'd'].slice(0, 3), labels: new Uint8Array(8) } }).result,
      );
      expect(error.message).toBe('batch_normalization is called twice, so its statistics cannot be recomputed');
    });

    describe('models that cannot be trained', () => {
      const dataset = memoryDataset({
        name: 'noise',
        shape: [4, 4, 3],
        classes: ['a', 'b', 'c'],
        labels: Uint8Array.from({ length: 11 }, (_, i) => i % 3),
        images: Uint8Array.from({ length: 11 * 48 }, (_, i) => (i * 151) % 256),
      });
      const images = Array.from({ length: 11 }, (_, i) => {
        const image = new Uint8Array(48);
        void dataset.read([i], image);
        return image;
      });
      const pooled = (g: ModelBuilder, x: number) => g.one('globalAvgPool', { x: g.one('rescale', { x }, { scale: 1 / 255 }) });
      const without = graphModel({ name: 'without', input: [4, 4, 3], classes: 3, build: pooled });
      const unused = graphModel({
        name: 'unused',
        input: [4, 4, 3],
        classes: 3,
        build(g, x) {
          g.label = 'forgotten';
          g.variable('bias', [3]);
          return pooled(g, x);
        },
      });

      it.each([
        ['no parameters', without, 'there are no parameters to train'],
        ['a parameter that nothing reads', unused, 'the loss does not depend on the parameter forgotten/vars/0'],
      ])('with %s are evaluated and asked for predictions', async (_, model, message) => {
        const weights = initialize(model, 1n);
        const means = images.map((image) => [0, 1, 2].map((c) => image.reduce((sum, v, i) => sum + (i % 3 === c ? v : 0), 0) / 16 / 255));
        const options = { device, model, weights, dataset, batch: 4, workers: 0 };
        const { accuracy, loss } = await evaluate(options);
        const answers = means.map((logits) => logits.indexOf(Math.max(...logits)));
        expect(accuracy).toBe(answers.filter((answer, i) => answer === i % 3).length / 11);
        const probabilities: Float64Array[] = [];
        for await (const one of predict({ device, trained: { model, weights }, images, batch: 4 })) probabilities.push(one);
        let expected = 0;
        for (const [i, logits] of means.entries()) {
          const sum = logits.reduce((total, z) => total + Math.exp(z), 0);
          expectClose(
            probabilities[i],
            logits.map((z) => Math.exp(z) / sum),
            { absolute: 1e-6 },
            `image ${i}`,
          );
          expected += Math.log(sum) - logits[i % 3];
        }
        expectClose([loss], [expected / 11], { absolute: 1e-6 }, 'loss');
        await hybridError('E_USAGE', train({ device, model, train: dataset, epochs: 1, workers: 0 }).result).then((error) =>
          expect(error.message).toBe(message),
        );
      });
    });

    it('says what compile will need before it does, and prints its programs', async () => {
      expect(device.memoryFor(graphs, { capacity: CAPACITY, seed: SEED })).toBeGreaterThan(0);
      if (!immediate) expect(device.memoryFor(graphs, { capacity: CAPACITY, seed: SEED })).toBe((await fresh()).memoryBytes);
      const text = device.inspect(graphs, { capacity: CAPACITY, seed: SEED });
      for (const program of immediate
        ? ['train', 'calibrate', 'evaluate', 'predict']
        : ['gradient', 'update', 'calibrate', 'evaluate', 'predict'])
        expect(text).toMatch(new RegExp(`^program ${program}\\b`, 'm'));
      expect(text).toMatch(/adamw/);
    });

    it.runIf(calls)('profiles a step: a time for each kernel call, and the step is a step', async () => {
      const [profiled, plain] = [await fresh(), await fresh()];
      const times = (await profiled.profile?.(batch, HYPER)) ?? [];
      const text = device.inspect(graphs, { capacity: CAPACITY, seed: SEED, programs: ['train'] });
      const expected = [...text.matchAll(calls as RegExp)].reduce((sum, [, count]) => sum + Number(count), 0);
      expect(times.length).toBe(expected);
      expect(expected).toBeGreaterThan(20);
      for (const { ms, node, inputs } of times) {
        expect(ms).toBeGreaterThanOrEqual(0);
        expect(inputs.length).toBe(node.inputs.length);
      }
      expect(times.reduce((sum, { ms }) => sum + ms, 0)).toBeGreaterThan(0);
      expect(times.at(-1)?.kernel).toMatch(/^countStep/);
      await plain.gradient(batch);
      await plain.update(HYPER);
      expect(await stateOf(profiled)).toEqual(await stateOf(plain));
    });
  });
}

const equal = (a: Float32Array | undefined, b: Float32Array | undefined): boolean =>
  a?.length === b?.length && (a?.every((value, i) => Object.is(value, b?.[i])) ?? false);
