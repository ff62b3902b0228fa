// Models of one's own as graphs: the same network as one made of layers is the same run, bit for bit.

import { describe, expect, it } from 'vitest';
import type { ValueId } from '../../runtime/ir/graph.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { type GraphModelOptions, graphModel, type ModelBuilder } from '../../runtime/model/graph-model.ts';
import { initialize } from '../../runtime/model/init.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import { evaluate } from '../../runtime/train/evaluate.ts';
import { predict } from '../../runtime/train/predict.ts';
import { train } from '../../runtime/train/run.ts';
import { hybridError } from '../support/expect-error.ts';
import { MemoryStore, smallModel, smallOptions } from '../support/runs.ts';
import { shapesDataset } from '../support/shapes-dataset.ts';

/** `smallModel`, written with the graph builder. */
const written = graphModel({
  name: 'written',
  input: [8, 8, 3],
  classes: 4,
  build(g, images) {
    const activate = (label: string, x: ValueId) => {
      g.label = label;
      return g.batchNormalization(g.one('gelu', [x]));
    };
    const biased = (x: ValueId, channels: number) => g.one('bias', [x, g.variable('bias', [channels])]);
    const convolve = (label: string, x: ValueId, shape: readonly number[], stride: number) => {
      g.label = label;
      return biased(g.one('conv', [x, g.variable('kernel', shape)], { stride, padding: 'valid' }), shape[3]);
    };
    g.label = 'rescaling';
    const stem = activate('stem', convolve('stem', g.one('rescale', [images], { scale: 1 / 255 }), [2, 2, 3, 6], 2));
    g.label = 'depthwise';
    const mixed = activate('depthwise', biased(g.one('depthwise', [stem, g.variable('kernel', [3, 3, 6, 1])]), 6));
    const pointwise = activate('pointwise', convolve('pointwise', g.one('add', [mixed, stem]), [1, 1, 6, 6], 1));
    g.label = 'head';
    const dropped = g.dropout(g.one('globalAvgPool', [pointwise]), 0.1);
    return biased(g.one('conv', [dropped, g.variable('kernel', [6, 4])], { stride: 1, padding: 'valid' }), 4);
  },
});

const tiny = (build: (g: ModelBuilder, images: ValueId) => ValueId, classes = 4) =>
  graphModel({ name: 'tiny', input: [4, 4, 1], classes, build });

describe('a model written with the graph builder', () => {
  it('has the variables of the same network made of layers', () => {
    const shapes = ({ variables }: Pick<typeof written, 'variables'>) => variables.map(({ kind, role, shape }) => ({ kind, role, shape }));
    expect(shapes(written)).toEqual(shapes(smallModel));
    expect(new Set(written.variables.map(({ name }) => name)).size).toBe(written.variables.length);
  });

  it('trains to the same bits, and goes on from its own checkpoint', async () => {
    const result = async (model: typeof written | typeof smallModel, store = new MemoryStore()) => {
      const run = train(smallOptions({ model, store }));
      return { end: await run.result, weights: [...(await run.weights).values()], store };
    };
    const own = await result(written);
    const layers = await result(smallModel);
    expect(own.weights).toEqual(layers.weights);
    expect({ ...own.end }).toEqual({ ...layers.end });
    const resume = (await own.store.load('last')) ?? undefined;
    expect(resume?.card?.architecture).toBe(null);
    const more = await train(smallOptions({ model: written, epochs: 3, store: own.store, resume })).result;
    expect(more).toMatchObject({ reason: 'completed', epochs: 3 });
    // The checkpoint of the one is not that of the other, whatever they have in common.
    await hybridError('E_CHECKPOINT', train(smallOptions({ model: smallModel, epochs: 3, resume })).result);
  });

  it('is evaluated and asked for predictions', async () => {
    const device = openReferenceDevice();
    const dataset = shapesDataset(12);
    const run = train(smallOptions({ model: written, epochs: 1 }));
    const weights = await run.weights;
    const evaluation = await evaluate({ device, model: written, weights, dataset, batch: 5 });
    const images = Array.from({ length: dataset.size }, (_, i) => {
      const image = new Uint8Array(8 * 8 * 3);
      void dataset.read([i], image);
      return image;
    });
    let right = 0;
    let i = 0;
    const all: Float64Array[] = [];
    for await (const probabilities of predict({ device, trained: { model: written, weights }, images, batch: 5 })) {
      if (probabilities.indexOf(Math.max(...probabilities)) === dataset.labels[i++]) right++;
      all.push(probabilities);
    }
    expect(i).toBe(12);
    expect(evaluation.accuracy).toBeCloseTo(right / 12, 10);
    // As docs/from-keras.md shows it.
    for await (const probabilities of predict({ device, trained: { model: written, weights }, images })) {
      const before = all.shift() as Float64Array;
      for (const [k, value] of probabilities.entries()) expect(value).toBeCloseTo(before[k], 12);
    }
    expect(all).toEqual([]);
    await hybridError('E_USAGE', predict({ device, trained: { model: written, weights }, images, batch: 0 }).next());
    // Pixels from 0 to 1 would all be 0 as bytes, and a wrong answer look like a right one.
    const floats = images.map((image) => Float32Array.from(image, (value) => value / 255)) as unknown as Uint8Array[];
    const asked = predict({ device, trained: { model: written, weights }, images: floats }).next();
    expect((await hybridError('E_DATA', asked)).message).toBe('an image is a Float32Array, and images are bytes');
    const clamped = images.map((image) => Uint8ClampedArray.from(image)) as unknown as Uint8Array[];
    expect((await predict({ device, trained: { model: written, weights }, images: clamped }).next()).done).toBe(false);
  });

  it('weights that are not finite give no answer: the first class was told', async () => {
    const device = openReferenceDevice();
    const dataset = shapesDataset(12);
    const weights = new Map(await train(smallOptions({ model: written, epochs: 1 })).weights);
    const head = [...weights.keys()].findLast((name) => name.startsWith('head/')) as string;
    weights.set(head, Float32Array.of(0, Number.NaN, 0, 0));
    const error = await hybridError('E_DIVERGED', evaluate({ device, model: written, weights, dataset, batch: 5 }));
    expect(error.message).toBe('the logits of 12 of 12 images of 12 squares are not finite');
    const image = new Uint8Array(8 * 8 * 3);
    const asked = predict({ device, trained: { model: written, weights }, images: [image] }).next();
    expect((await hybridError('E_DIVERGED', asked)).message).toBe('the logits of image 1 are not finite');
  });
});

describe('what cannot be a model is refused', () => {
  it.each<[string, object, string]>([
    ['0 classes', { classes: 0 }, 'odd has 0 classes'],
    ['1 class', { classes: 1 }, 'odd has 1 classes'],
    ['1.5 classes', { classes: 1.5 }, 'odd has 1.5 classes'],
    ['no classes at all', { classes: undefined }, 'odd has undefined classes'],
    ['an image of two sizes', { input: [4, 4] }, 'odd has images of [4,4]'],
    ['an image without rows', { input: [0, 4, 1] }, 'odd has images of [0,4,1]'],
    ['an image that is a number', { input: 4 }, 'odd has images of number'],
    ['a build that returns nothing', { build: () => {} }, 'build of odd returned undefined, and no value of its graph'],
    ['a build that returns null', { build: () => null }, 'build of odd returned null, and no value of its graph'],
    ['a build that is asynchronous', { build: async () => 0 }, 'build of odd returned a promise, and no value of its graph'],
    ['a build that returns all results', { build: () => [0] }, 'build of odd returned object, and no value of its graph'],
    ['a value that there is not', { build: () => 99 }, 'graph odd train reads value 99, which graph odd train does not have'],
  ])('%s', async (_, change, message) => {
    const options = { name: 'odd', input: [4, 4, 1], classes: 4, build: () => 0, ...change } as unknown as GraphModelOptions;
    expect((await hybridError('E_USAGE', (async () => graphModel(options))())).message).toBe(message);
  });

  it('a seed that is no bigint, for its initial weights', async () => {
    const error = await hybridError('E_USAGE', (async () => initialize(written, 5 as never))());
    expect(error.message).toBe('seed is 5');
    const run = train(smallOptions({ model: written, seed: 5 as never }));
    expect((await hybridError('E_USAGE', run.result)).message).toBe('seed is 5');
  });

  const floats = (g: ModelBuilder, images: ValueId) => g.one('rescale', [images], { scale: 1 });
  const refused = (build: Parameters<typeof tiny>[0]) => hybridError('E_USAGE', (async () => tiny(build))());

  it('with other outputs than logits', async () => {
    expect((await refused(floats)).message).toBe('tiny ends in f32 [n, 4, 4, 1] where logits of 4 classes are wanted');
  });

  it('with other variables in inference', async () => {
    const build = (g: ModelBuilder, images: ValueId) => {
      g.label = 'head';
      const flat = g.one('reshape', [floats(g, images)], { shape: [16] });
      const logits = g.one('conv', [flat, g.variable('kernel', [16, 4])], { stride: 1, padding: 'valid' });
      return g.mode === 'train' ? g.one('bias', [logits, g.variable('bias', [4])]) : logits;
    };
    expect((await refused(build)).message).toBe('tiny declares bias head/vars/1 [4] in training, but nothing in inference');
  });

  it('with an op that does not exist, inputs that it does not take, a kernel without axes, a name twice', async () => {
    expect((await refused((g, images) => g.one('rescal', [images]))).message).toBe('no op is called rescal; did you mean rescale?');
    expect((await refused((g, images) => g.one('gelu', [images]))).message).toMatch(/^gelu got x u8 \[n, 4, 4, 1\] and takes /);
    expect((await refused((g) => g.variable('kernel', [4]))).message).toMatch(/^a kernel of shape \[4\]/);
    expect((await refused((g) => g.input('images', { dtype: 'f32', shape: [4], perSample: true }))).message).toContain('images');
    expect(
      (
        await refused((g, images) =>
          g.one('conv', [floats(g, images), g.variable('kernel', [5, 5, 1, 4])], { stride: 1, padding: 'valid' }),
        )
      ).message,
    ).toContain('has no room for a window of 5×5');
  });
});

it('a dataset of other images, or of more classes, is refused with both sizes', async () => {
  const model = buildModel('convmixer', { input: [16, 16, 3], classes: 4, dim: 4, depth: 1 });
  expect((await hybridError('E_DATA', train(smallOptions({ model })).result)).message).toBe(
    '43 squares has images of 8 × 8 × 3, but convmixer takes 16 × 16 × 3',
  );
  const stray = { ...shapesDataset(9), labels: Uint8Array.from([0, 1, 2, 3, 4, 0, 0, 0, 0]) };
  expect((await hybridError('E_DATA', train(smallOptions({ train: stray })).result)).message).toBe(
    '9 squares has label 4 at image 4, but only 4 classes',
  );
  const halves = { ...shapesDataset(9), labels: Float32Array.from([0, 1, 2, 3, 1.5, 0, 0, 0, 0]) as never };
  expect((await hybridError('E_DATA', train(smallOptions({ train: halves })).result)).message).toBe(
    '9 squares has label 1.5 at image 4, but only 4 classes',
  );
  const two = buildModel('convmixer', { input: [8, 8, 3], classes: 2, dim: 4, depth: 1 });
  const asked = { device: openReferenceDevice(), model: two, weights: new Map(), dataset: shapesDataset(9), batch: 4 };
  expect((await hybridError('E_DATA', evaluate(asked))).message).toBe('9 squares has 4 classes, but convmixer has only 2 outputs');
});
