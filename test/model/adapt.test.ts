// A trained model for other images: what is taken, what begins anew, and what is said of it.

import { describe, expect, it } from 'vitest';
import { adaptModel, fitWeights, withoutOwn } from '../../runtime/interop/adapt.ts';
import { optimizerVariables, type TrainedModel } from '../../runtime/interop/trained-model.ts';
import { input, layers } from '../../runtime/layers/functional.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
import { functionalModel } from '../../runtime/model/layered-model.ts';
import type { Model } from '../../runtime/model/model.ts';
import { summarize } from '../../runtime/model/summary.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { hybridError } from '../support/expect-error.ts';

const convmixer = (changes = {}) =>
  buildModel('convmixer', { input: [8, 8, 3], classes: 4, dim: 6, depth: 2, kernel: 3, patch: 2, ...changes });
const CLASSES = ['ant', 'bee', 'cow', 'dog'];
const trained = (model: Model, classes: readonly string[] = CLASSES): TrainedModel => ({ model, weights: initialize(model, 9n), classes });
const HEAD = 'layers/dense/vars/0';

describe('a model for other classes', () => {
  it('has all weights but those of the head, which has a unit for each class', () => {
    const before = trained(convmixer());
    const { model, weights, taken, anew, newHead, summary } = adaptModel(before, { classes: ['x', 'y', 'z'], seed: 3n });
    expect([model.classes, model.arch, model.config.depth]).toEqual([3, 'convmixer', 2]);
    expect(newHead).toBe(true);
    expect(anew).toEqual(['dense']);
    expect(summary).toBe(
      `weights of convmixer: ${taken.length} of ${taken.length + 1} layers are loaded; initialised randomly: dense (4 classes before, 3 now)`,
    );
    for (const { name } of model.variables)
      expect(weights.get(name), name).toBe(name.startsWith('layers/dense/') ? weights.get(name) : before.weights.get(name));
    // All classes are equally probable: logits of zero.
    expect(weights.get(HEAD)?.length).toBe(model.variables.find(({ name }) => name === HEAD)?.shape.reduce((a, b) => a * b, 1));
    expect(weights.get(HEAD)?.every((value) => value === 0)).toBe(true);
  });

  it('begins a head anew for as many classes of other names, and moves one of the same names', () => {
    const before = trained(convmixer());
    expect(adaptModel(before, { classes: ['a', 'b', 'c', 'd'] }).summary).toMatch(/initialised randomly: dense \(other classes\)$/);
    // ImageNet has two cranes: in the same order each is itself, in another nobody can tell which is which.
    const cranes = trained(convmixer(), ['crane', 'dog', 'crane', 'cow']);
    const kept = adaptModel(cranes, { classes: cranes.classes ?? [] });
    expect([kept.newHead, kept.weights.get(HEAD)]).toEqual([false, cranes.weights.get(HEAD)]);
    expect(adaptModel(cranes, { classes: ['dog', 'crane', 'cow', 'crane'] }).newHead).toBe(true);
    const { weights, newHead, summary, anew } = adaptModel(before, { classes: ['dog', 'cow', 'bee', 'ant'] });
    expect([newHead, anew]).toEqual([false, []]);
    expect(summary).toMatch(/^weights of convmixer: all \d+ layers are loaded$/);
    const [was, is] = [before.weights, weights].map((from) => from.get(HEAD) as Float32Array);
    for (const [i, value] of is.entries()) expect(value).toBe(was[i - (i % 4) + 3 - (i % 4)]);
    expect(weights.get('layers/conv2d/vars/0')).toBe(before.weights.get('layers/conv2d/vars/0'));
    // Nobody knows which is which: they are taken by their numbers.
    const numbers = CLASSES.map((_, i) => `class ${i}`);
    expect(adaptModel(before, { classes: numbers }).weights.get(HEAD)).toBe(before.weights.get(HEAD));
  });

  it('takes images of another size; a head that reads pixels begins anew then', () => {
    const pooled = adaptModel(trained(convmixer()), { classes: CLASSES, input: [12, 10, 3] });
    expect([pooled.model.input, pooled.newHead]).toEqual([[12, 10, 3], false]);
    const flat = buildModel('convmixer-2stage-flatten', { input: [8, 8, 3], classes: 4, width: 1 / 64 });
    expect(adaptModel(trained(flat), { classes: CLASSES, input: [16, 16, 3] }).anew).toEqual(['dense']);
  });

  it('is made of a network of layers as well, and its last convolution is a head too', () => {
    const x = input([8, 8, 3]);
    const convolved = layers.conv2d(layers.rescaling(x, { scale: 1 / 255 }), {
      filters: 5,
      kernelSize: 3,
      activation: 'relu',
      name: 'body',
    });
    const dense = functionalModel({
      name: 'net',
      input: x,
      output: layers.dense(layers.globalAveragePooling2d(convolved), { units: 4, name: 'answer' }),
    });
    const { model, anew, summary } = adaptModel(trained(dense), { classes: ['x', 'y'], input: [10, 10, 3] });
    expect([model.input, model.classes, anew]).toEqual([[10, 10, 3], 2, ['answer']]);
    expect(summary).toBe('weights of net: 1 of 2 layers are loaded; initialised randomly: answer (4 classes before, 2 now)');
    const images = input([8, 8, 3]);
    const body = layers.conv2d(layers.rescaling(images, { scale: 1 / 255 }), { filters: 5, kernelSize: 3 });
    const convolutional = functionalModel({
      name: 'all-conv',
      input: images,
      output: layers.globalAveragePooling2d(layers.conv2d(body, { filters: 4, kernelSize: 1 })),
    });
    expect(adaptModel(trained(convolutional), { classes: ['x', 'y'] }).anew).toEqual(['conv2d_1']);
  });
});

describe('weights for a model that was named', () => {
  it('fit as far as names and shapes agree', () => {
    const { taken, anew, summary } = fitWeights(
      { name: 'other', weights: trained(convmixer()).weights, model: convmixer() },
      convmixer({ depth: 3 }),
      {
        classes: CLASSES,
      },
    );
    expect(anew).toEqual(['depthwise_conv2d_2', 'batch_normalization_5', 'conv2d_3', 'batch_normalization_6']);
    expect(summary).toContain(`${taken.length} of ${taken.length + 4} layers are loaded; initialised randomly: depthwise_conv2d_2,`);
    expect(summary).toMatch(/conv2d_3 and 1 more$/);
  });

  it('are refused where none of a kernel does', async () => {
    const error = await hybridError(
      'E_CHECKPOINT',
      (async () =>
        fitWeights(
          { name: 'other', weights: trained(convmixer({ dim: 7 })).weights, model: convmixer({ dim: 7 }), classes: CLASSES },
          convmixer(),
          {
            classes: ['x', 'y', 'z', 'q'],
          },
        ))(),
    );
    expect(error).toMatchObject({ field: 'init' });
    expect(error.message).toBe('no weights of other fit convmixer: no layer has the same name and shape');
  });

  it('do not fit by their number of elements alone', () => {
    const weights = new Map([['layers/conv2d/vars/0', new Float32Array(2 * 2 * 3 * 6)]]);
    const shapes = new Map([['layers/conv2d/vars/0', [6, 2, 2, 3]]]);
    expect(() => fitWeights({ name: 'torch', weights, shapes }, convmixer(), { classes: CLASSES })).toThrow(/no weights of torch fit/);
  });
});

describe('what a file says of single layers', () => {
  const images = input([6, 6, 3]);
  const stem = layers.batchNormalization(layers.conv2d(images, { filters: 2, kernelSize: 3, trainable: false }), { momentum: 0.5 });
  const output = layers.dense(layers.globalAveragePooling2d(stem), { units: 2 });
  const model = functionalModel({ name: 'own', input: images, output });
  const said = ({ layers }: Model) =>
    layers.flatMap(({ type, config, trainable }): unknown[] =>
      type === 'BatchNormalization' ? [config.momentum] : type === 'Conv2D' ? [trainable] : [],
    );

  it('goes where a setting says it of all, and is kept in other sizes', () => {
    expect(said(model)).toEqual([false, 0.5]);
    expect(said(withoutOwn(model, { momentum: true }))).toEqual([false, null]);
    expect(said(withoutOwn(model, { trainable: true }))).toEqual([undefined, 0.5]);
    expect(withoutOwn(model, {})).toBe(model);
    expect(said(adaptModel(trained(model, ['a', 'b']), { classes: ['x', 'y', 'z'] }).model)).toEqual([false, 0.5]);
    expect(said(adaptModel(trained(model, ['a', 'b']), { classes: ['a', 'b'], input: [8, 8, 3] }).model)).toEqual([false, 0.5]);
  });

  it('is no frozen layer that has a gradient, slots or a share in the parameters that are trained', () => {
    const { train } = trainingGraphs(model);
    expect(train.gradients.map(({ parameter }) => train.values[parameter].name)).not.toContain('layers/conv2d/vars/0');
    expect(summarize(model)).toMatchObject({ trainable: { count: 2 + 2 + 4 + 2 }, nonTrainable: { count: 54 + 2 + 4 } });
    expect(optimizerVariables(model)).toHaveLength(2 + 2 * 4);
    expect(() => layers.flatten(images, { trainable: 1 as never })).toThrow(/trainable/);
  });
});
