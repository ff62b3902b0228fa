// Networks written in Keras' functional way: shapes as they are written, sharing, Keras' order, refusals, and the same model again from its
// configuration.

import { describe, expect, test } from 'vitest';
import { modelOf } from '../../runtime/interop/trained-model.ts';
import { graphDigest } from '../../runtime/ir/serialize.ts';
import { input, type LayerTensor, layers } from '../../runtime/layers/functional.ts';
import { buildForward } from '../../runtime/model/build-graph.ts';
import { functionalModel, sequentialModel } from '../../runtime/model/layered-model.ts';
import type { Model } from '../../runtime/model/model.ts';
import { formatSummary, summarize } from '../../runtime/model/summary.ts';
import { hybridError } from '../support/expect-error.ts';

const {
  activation,
  add,
  batchNormalization,
  conv2d,
  dense,
  depthwiseConv2d,
  dropout,
  flatten,
  globalAveragePooling2d,
  maxPooling2d,
  rescaling,
} = layers;

const names = ({ layers }: Model) => layers.map(({ name }) => name);
const digest = (model: Model) => graphDigest(buildForward(model, 'train', { loss: true }));

const attempt = async (make: () => unknown) => make();

/** Two branches of different length, a layer that is called twice, a name. */
function branched(): Model {
  const images = input([12, 8, 3]);
  const x = rescaling(images, { scale: 1 / 255 });
  const shared = conv2d({ filters: 4, kernelSize: 3, padding: 'same', name: 'both' });
  const stem = conv2d(x, { filters: 4, kernelSize: [1, 1], activation: 'relu' });
  const short = shared(stem);
  const long = batchNormalization(shared(depthwiseConv2d(stem, { kernelSize: 3, padding: 'same' })));
  const pooled = globalAveragePooling2d(maxPooling2d(add([short, long, stem])));
  return functionalModel({ name: 'branched', input: images, output: dense(dropout(pooled, { rate: 0.25 }), { units: 5 }) });
}

test('shapes are known as a network is written', () => {
  const x = input([33, 32, 3]);
  const shapes = [
    conv2d(x, { filters: 8, kernelSize: 3, padding: 'same' }),
    conv2d(x, { filters: 8, kernelSize: 2, strides: 2 }),
    maxPooling2d(conv2d(x, { filters: 8, kernelSize: 5 })),
    flatten(x),
    dense(flatten(x), { units: 7 }),
  ].map(({ shape }: LayerTensor) => shape.join('×'));
  expect(shapes).toEqual(['33×32×8', '16×16×8', '14×14×8', '3168', '7']);
});

describe('a model of branches and a shared layer', () => {
  const model = branched();

  test('has its layers in the order of Keras: by distance from the output', () => {
    expect(names(model)).toEqual([
      ...['input_layer', 'rescaling', 'conv2d', 'depthwise_conv2d', 'both', 'both', 'batch_normalization'],
      ...['add', 'max_pooling2d', 'global_average_pooling2d', 'dropout', 'dense'],
    ]);
    const [first, second] = model.layers.filter(({ name }) => name === 'both');
    expect([first.repeats, second.repeats]).toEqual([undefined, first.index]);
    expect([first.path, second.variables]).toEqual(['layers/conv2d_1', first.variables]);
  });

  test('has the weights of a shared layer once, and both its calls compute', () => {
    expect(new Set(model.variables.map(({ name }) => name)).size).toBe(model.variables.length);
    const graph = buildForward(model, 'train', { loss: true });
    const kernel = graph.values.findIndex(({ name }) => name === 'layers/conv2d_1/vars/0');
    expect(graph.nodes.filter(({ op, inputs }) => op === 'conv' && inputs.includes(kernel)).length).toBe(2);
    const { total, flops, layers } = summarize(model);
    expect(total.count).toBe(model.variables.reduce((sum, { shape }) => sum + shape.reduce((n, m) => n * m, 1), 0));
    // Both calls cost, in one row.
    const [both] = layers.filter(({ name }) => name === 'both');
    expect(both.flops).toBe(2 * 2 * 9 * 4 * 12 * 8 * 4);
    expect(flops).toBe(layers.reduce((sum, layer) => sum + layer.flops, 0));
    expect(formatSummary(summarize(model))).toMatch(/both \(Conv2D\).*conv2d\[0\]\[0\], depthwise_conv2d\[0\]\[0\]/);
  });

  test('counts the operations of every kind of convolution', () => {
    const x = input([8, 8, 4]);
    const of = (output: LayerTensor) =>
      summarize(functionalModel({ name: 'one', input: x, output: layers.globalAveragePooling2d(output) })).flops;
    expect(of(depthwiseConv2d(x, { kernelSize: 3, padding: 'same' }))).toBe(2 * 9 * 8 * 8 * 4);
    expect(of(depthwiseConv2d(x, { kernelSize: 3, padding: 'same', strides: 2 }))).toBe(2 * 9 * 4 * 4 * 4);
    expect(of(conv2d(x, { filters: 6, kernelSize: 3, groups: 2 }))).toBe(2 * 9 * 2 * 6 * 6 * 6);
  });

  test('is the same again from its configuration as JSON', () => {
    const again = modelOf(JSON.parse(JSON.stringify(model.config)));
    expect(again).toEqual(model);
    expect(digest(again as Model)).toBe(digest(model));
  });
});

test('a chain of layers is the same as its functional form', () => {
  const chain = sequentialModel({
    name: 'chain',
    input: [8, 8, 1],
    layers: [rescaling({ scale: 1 / 255 }), conv2d({ filters: 2, kernelSize: 3, activation: 'gelu' }), flatten(), dense({ units: 3 })],
  });
  const images = input([8, 8, 1]);
  const x = conv2d(rescaling(images, { scale: 1 / 255 }), { filters: 2, kernelSize: 3, activation: 'gelu' });
  expect(chain).toEqual(functionalModel({ name: 'chain', input: images, output: dense(flatten(x), { units: 3 }) }));
});

test('images that nothing rescales keep their values', () => {
  const model = sequentialModel({
    name: 'plain',
    input: [4, 4, 1],
    layers: [conv2d({ filters: 2, kernelSize: 1 }), flatten(), dense({ units: 2 })],
  });
  const [node] = buildForward(model, 'inference', { loss: false }).nodes;
  expect([node.op, node.attrs]).toEqual(['rescale', { scale: 1 }]);
});

describe('refusals name the layer, the value and the limit', () => {
  const x = input([6, 6, 3]);
  test.each<[string, () => unknown, string[]]>([
    [
      'a setting that is none',
      () => conv2d(x, { filters: 2, kernelsize: 3 } as never),
      ['conv2d (Conv2D) has no setting kernelsize', 'kernelSize'],
    ],
    ['a setting that is missing', () => conv2d(x, { filters: 2 } as never), ['conv2d (Conv2D) needs kernelSize']],
    ['a value of another kind', () => dense(flatten(x), { units: 2.5, name: 'head' }), ['head (Dense) has units 2.5', 'whole number']],
    [
      'a name that is none',
      () => activation(x, { activation: 'gleu' as never }),
      ['activation (Activation) has activation "gleu"', 'gelu'],
    ],
    ['a window that does not fit', () => conv2d(x, { filters: 2, kernelSize: 7 }), ['7×7', '6×6']],
    ['shapes that differ', () => add([x, conv2d(x, { filters: 2, kernelSize: 1 })]), ['add (Add)', '[6, 6, 3] and [6, 6, 2]']],
    ['one tensor for two', () => add([x]), ['add (Add) reads two tensors or more, but was given 1']],
    ['an image where there is none', () => conv2d(flatten(x), { filters: 2, kernelSize: 1 }), ['conv2d (Conv2D) reads an image', '[108]']],
    ['no tensor', () => flatten(5 as never), ['flatten (Flatten) was given something else']],
    ['an input that is none', () => input([6, 6] as never), ['6,6']],
    [
      'an output that is not a vector',
      () => functionalModel({ name: 'm', input: x, output: flatten(x) && conv2d(x, { filters: 2, kernelSize: 1 }) }),
      ['[6, 6, 2]'],
    ],
    [
      'an output from another input',
      () => functionalModel({ name: 'm', input: x, output: dense(flatten(input([2, 2, 1])), { units: 2 }) }),
      ['does not depend on its input'],
    ],
    [
      'two layers of one name',
      () => sequentialModel({ name: 'm', input: [2, 2, 1], layers: [flatten({ name: 'a' }), dense({ units: 2, name: 'a' })] }),
      ['called a'],
    ],
  ])('%s', async (_what, make, parts) => {
    const error = await hybridError('E_USAGE', attempt(make));
    for (const part of parts) expect(`${error.message} ${error.remedy}`).toContain(part);
  });

  test.each([Number.POSITIVE_INFINITY, Number.NaN, -1e-3, 0, 1e39, 1e-50])('an epsilon of %s, at once', async (epsilon) => {
    const error = await hybridError(
      'E_USAGE',
      attempt(() => batchNormalization(x, { epsilon })),
    );
    expect(error.message).toMatch(/^batch_normalization \(BatchNormalization\) has epsilon /);
  });

  test('what somebody has written to Object.prototype is not a setting', () => {
    Object.defineProperty(Object.prototype, 'activation', { value: 'relu', configurable: true, writable: true });
    Object.defineProperty(Object.prototype, 'name', { value: 'everything', configurable: true, writable: true });
    try {
      const { layer } = dense(flatten(x), { units: 2 }).call;
      expect(layer.config.activation).toBe('linear');
      expect([layer.name, input([2, 2, 1]).call.layer.name]).toEqual([undefined, undefined]);
    } finally {
      Reflect.deleteProperty(Object.prototype, 'activation');
      Reflect.deleteProperty(Object.prototype, 'name');
    }
  });

  test('a shared layer whose second input has another size', async () => {
    const shared = dense({ units: 3 });
    shared(flatten(input([2, 2, 1])));
    const error = await hybridError(
      'E_USAGE',
      attempt(() => shared(flatten(input([3, 3, 1])))),
    );
    expect(error.message).toContain('[4] and cannot read [9]');
  });
});
