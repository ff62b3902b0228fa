// Attention, one unit for two classes, softmax within a network, and calls in inference mode, as they are written in a program.

import { describe, expect, test } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import type { Device } from '../../runtime/device.ts';
import { modelLike } from '../../runtime/interop/adapt.ts';
import { callLayer, input, type LayerTensor, layerOf, layers } from '../../runtime/layers/functional.ts';
import { LAYERS } from '../../runtime/layers/index.ts';
import { layerPathOf } from '../../runtime/layers/layer.ts';
import { buildForward } from '../../runtime/model/build-graph.ts';
import { initialize } from '../../runtime/model/init.ts';
import { functionalModel, readNetwork } from '../../runtime/model/layered-model.ts';
import type { Model } from '../../runtime/model/model.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { hybridError } from '../support/expect-error.ts';
import { relative } from '../support/keras-network.ts';

const { activation, add, batchNormalization, conv2d, dense, einsumDense, flatten, globalAveragePooling1d, globalAveragePooling2d } = layers;
const { layerNormalization, multiHeadAttention, reshape, softmax } = layers;

function transformer(): Model {
  const images = input([8, 12, 3]);
  let x = reshape(conv2d(images, { filters: 8, kernelSize: 4, strides: 4 }), { targetShape: [6, 8] });
  x = einsumDense(x, { equation: 'abc,cd->abd', outputShape: [6, 8], biasAxes: 'bd' });
  x = add([x, multiHeadAttention(layerNormalization(x), { numHeads: 2, keyDim: 3, valueDim: 5, dropout: 0.25 })]);
  x = add([x, dense(dense(layerNormalization(x), { units: 16, activation: 'gelu' }), { units: 8 })]);
  return functionalModel({ name: 'transformer', input: images, output: dense(globalAveragePooling1d(x), { units: 5 }) });
}

/** Losses of some steps, and all weights after them. */
async function train(device: Device, model: Model, classes: number, steps = 3) {
  const rows = 7;
  const executable = await device.compile(trainingGraphs(model), { capacity: rows, seed: 3n });
  const images = Uint8Array.from({ length: rows * model.input.reduce((a, b) => a * b) }, (_, i) => (i * 97 + (i >> 3)) % 256);
  const batch = {
    rows,
    images,
    labels: Int32Array.from({ length: rows }, (_, i) => i % classes),
    samples: Int32Array.from({ length: rows }, (_, i) => i),
    epoch: 1,
  };
  for (const [name, data] of initialize(model, 5n)) await executable.write(name, data);
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    losses.push((await executable.gradient(batch)).loss);
    await executable.update({ learningRate: 1e-2, weightDecay: 1e-4, bnMomentum: 0.9 });
  }
  const weights: number[] = [];
  for (const { name } of model.variables) weights.push(...(await executable.read(name)));
  const logits = Array.from(await executable.predict(batch));
  await executable.close();
  return { losses, weights, logits };
}

describe('attention', () => {
  test('has the variables of Keras, each in its part, and is one layer to what names layers', () => {
    const [attention] = transformer().layers.filter(({ type }) => type === 'MultiHeadAttention');
    expect(attention.variables.map(({ name, shape }) => `${name.slice(7)} ${shape}`)).toEqual([
      'multi_head_attention/query_dense/vars/0 8,2,3',
      'multi_head_attention/query_dense/vars/1 2,3',
      'multi_head_attention/key_dense/vars/0 8,2,3',
      'multi_head_attention/key_dense/vars/1 2,3',
      'multi_head_attention/value_dense/vars/0 8,2,5',
      'multi_head_attention/value_dense/vars/1 2,5',
      'multi_head_attention/output_dense/vars/0 2,5,8',
      'multi_head_attention/output_dense/vars/1 8',
    ]);
    expect(new Set(attention.variables.map(({ name }) => layerPathOf(name)))).toEqual(new Set([attention.path]));
  });

  test('trains, to the same bits on any number of threads, and as the reference does', async () => {
    const model = transformer();
    const found = await Promise.all(
      [1, 3].map(async (threads) => {
        const device = await openWasmDevice({ threads });
        const result = await train(device, model, 5, 6);
        await device.close();
        return result;
      }),
    );
    expect(found[1]).toEqual(found[0]);
    expect(found[0].losses[5]).toBeLessThan(found[0].losses[0]);
    const reference = await openReferenceDevice();
    const expected = await train(reference, model, 5, 6);
    await reference.close();
    expect(relative(found[0].losses, expected.losses)).toBeLessThan(1e-4);
  });

  test('of an image is that of its pixels', async () => {
    const images = input([2, 3, 4]);
    const attended = multiHeadAttention(images, { numHeads: 2, keyDim: 3 });
    expect(attended.shape).toEqual([2, 3, 4]);
    const message = (
      await hybridError(
        'E_USAGE',
        Promise.resolve().then(() => multiHeadAttention(images, { numHeads: 2, keyDim: 3, attentionAxes: [1] })),
      )
    ).message;
    expect(message).toContain('attends along axes [1] of [2, 3, 4]');
  });
});

describe('one unit', () => {
  const model = (end?: 'sigmoid') => {
    const images = input([4, 4, 3]);
    return functionalModel({ name: 'binary', input: images, output: dense(flatten(images), { units: 1, activation: end }) });
  };

  test('is the logit of the second of two classes, with and without its sigmoid', async () => {
    const device = await openReferenceDevice();
    const [plain, sigmoid] = [await train(device, model(), 2), await train(device, model('sigmoid'), 2)];
    await device.close();
    expect(model().classes).toBe(2);
    expect(sigmoid).toEqual(plain);
    expect(plain.logits.filter((_, i) => i % 2 === 0).every((logit) => logit === 0)).toBe(true);
    expect(plain.losses[2]).toBeLessThan(plain.losses[0]);
  });

  test('stays one for two classes, and becomes a softmax for more', () => {
    expect(modelLike(model('sigmoid'), [5, 5, 3], 2).layers.at(-1)?.outputShape).toEqual([1]);
    const more = modelLike(model('sigmoid'), [4, 4, 3], 3);
    expect([more.classes, more.layers.at(-1)?.config]).toMatchObject([3, { units: 3, activation: 'softmax' }]);
  });

  test('a sigmoid for each of several classes is refused, and probabilities that something goes on behind', async () => {
    const images = input([4, 4, 3]);
    const of = async (output: LayerTensor) =>
      (
        await hybridError(
          'E_USAGE',
          Promise.resolve().then(() => functionalModel({ name: 'net', input: images, output })),
        )
      ).message;
    expect(await of(dense(flatten(images), { units: 3, activation: 'sigmoid' }))).toContain('a sigmoid for each of 3 classes');
    expect(await of(flatten(softmax(dense(flatten(images), { units: 3 }))))).toContain('has further layers after it');
  });
});

describe('softmax', () => {
  test('is computed within a network and left to the loss at its end', () => {
    const images = input([4, 4, 3]);
    const x = activation(conv2d(images, { filters: 4, kernelSize: 1 }), { activation: 'softmax' });
    const model = functionalModel({
      name: 'net',
      input: images,
      output: dense(globalAveragePooling2d(x), { units: 3, activation: 'softmax' }),
    });
    expect(buildForward(model, 'train', { loss: false }).nodes.filter(({ op }) => op === 'softmax')).toHaveLength(1);
  });
});

test('a call in inference mode uses the statistics that move, and drops nothing, though its layer is trained', () => {
  const images = input([4, 4, 3]);
  const normalization = layerOf(LAYERS.BatchNormalization);
  const x = callLayer(normalization, conv2d(images, { filters: 4, kernelSize: 1 }), { inference: true });
  const y = callLayer(layerOf(LAYERS.Dropout, { rate: 0.5 }), batchNormalization(x), { inference: true });
  const model = functionalModel({ name: 'net', input: images, output: dense(flatten(y), { units: 3 }) });
  const again = readNetwork('net', model.config.network ?? []);
  expect(again.layers).toEqual(model.layers);
  const { nodes } = buildForward(again, 'train', { loss: false });
  expect(nodes.map(({ op }) => op).filter((op) => /batchnorm|bnFold|dropout/.test(op))).toEqual(['bnFold', 'batchnorm']);
});
