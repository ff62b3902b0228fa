// Layer tables, parameter counts, FLOPs and variable names of keras-semantics.md, sections 6 and 7.1.

import { describe, expect, test } from 'vitest';
import type { LayerType } from '../../runtime/layers/index.ts';
import { snakeCase } from '../../runtime/layers/kinds.ts';
import { countParameters } from '../../runtime/layers/layer.ts';
import { ARCHITECTURES, architectureName, buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
import type { Model } from '../../runtime/model/model.ts';

const cifar = { input: [32, 32, 3], classes: 10 } as const;
const build = (arch: string) => buildModel(arch, cifar);

/** One layer of a table: class, output shape, parameters, FLOPs. */
type Row = [LayerType, string, number, number];

const table = (model: Model): Row[] =>
  model.layers.map(({ type, outputShape, variables, flops }) => [type, outputShape.join(','), countParameters(variables), flops]);

const patchEmbedding = (shape: string, parameters: number, flops: number, bn: number): Row[] => [
  ['Conv2D', shape, parameters, flops],
  ['Activation', shape, 0, 0],
  ['BatchNormalization', shape, bn, 0],
];

/** Rows of `depth` ConvMixer blocks, and with the residual around the whole block those of the fifth model. */
function blocks(
  depth: number,
  shape: string,
  { dw, dwFlops, pw, bn }: Record<'dw' | 'dwFlops' | 'pw' | 'bn', number>,
  whole = false,
): Row[] {
  const depthwise: Row = ['DepthwiseConv2D', shape, dw, dwFlops];
  const pointwise: Row = ['Conv2D', shape, pw, 33_554_432];
  const activation: Row[] = [
    ['Activation', shape, 0, 0],
    ['BatchNormalization', shape, bn, 0],
  ];
  const add: Row = ['Add', shape, 0, 0];
  const block = whole
    ? [depthwise, pointwise, ...activation, add, ...activation]
    : [depthwise, ...activation, add, pointwise, ...activation];
  return Array.from({ length: depth }, () => block).flat();
}

const start: Row[] = [
  ['InputLayer', '32,32,3', 0, 0],
  ['Rescaling', '32,32,3', 0, 0],
];
const stage256 = (depth: number, whole = false): Row[] => [
  ...patchEmbedding('16,16,256', 3_328, 1_572_864, 1_024),
  ...blocks(depth, '16,16,256', { dw: 6_656, dwFlops: 3_276_800, pw: 65_792, bn: 1_024 }, whole),
];
const stage512: Row[] = [
  ...patchEmbedding('8,8,512', 524_800, 67_108_864, 2_048),
  ...blocks(4, '8,8,512', { dw: 13_312, dwFlops: 1_638_400, pw: 262_656, bn: 2_048 }),
];
const pooledHead = (channels: number, parameters: number, flops: number): Row[] => [
  ['GlobalAveragePooling2D', `${channels}`, 0, 0],
  ['Dropout', `${channels}`, 0, 0],
  ['Dense', '10', parameters, flops],
];
const flattenHead = (features: number, parameters: number, flops: number): Row[] => [
  ['Flatten', `${features}`, 0, 0],
  ['Dropout', `${features}`, 0, 0],
  ['Dense', '256', parameters, flops],
  ['Dense', '10', 2_570, 5_120],
];

const TABLES: Record<string, Row[]> = {
  'convmixer-256-8': [...start, ...stage256(8), ...pooledHead(256, 2_570, 5_120)],
  'conv-pooling': [
    ...start,
    ['BatchNormalization', '32,32,3', 12, 0],
    ['Conv2D', '32,32,64', 1_792, 3_538_944],
    ['Conv2D', '32,32,64', 36_928, 75_497_472],
    ['MaxPooling2D', '16,16,64', 0, 0],
    ['BatchNormalization', '16,16,64', 256, 0],
    ['Conv2D', '16,16,128', 73_856, 37_748_736],
    ['Conv2D', '16,16,128', 147_584, 75_497_472],
    ['MaxPooling2D', '8,8,128', 0, 0],
    ['BatchNormalization', '8,8,128', 512, 0],
    ['Conv2D', '8,8,256', 295_168, 37_748_736],
    ['Conv2D', '8,8,256', 590_080, 75_497_472],
    ['MaxPooling2D', '4,4,256', 0, 0],
    ...flattenHead(4_096, 1_048_832, 2_097_152),
  ],
  'convmixer-2stage-flatten': [...start, ...stage256(4), ...stage512, ...flattenHead(32_768, 8_388_864, 16_777_216)],
  'convmixer-2stage': [...start, ...stage256(4), ...stage512, ...pooledHead(512, 5_130, 10_240)],
  'convmixer-256-8-block-residual': [...start, ...stage256(8, true), ...pooledHead(256, 2_570, 5_120)],
};

/** [layers, total, trainable, non-trainable, FLOPs, variables, trainable variables] */
const TOTALS: Record<string, number[]> = {
  'convmixer-256-8': [64, 602_890, 594_186, 8_704, 296_227_840, 104, 70],
  'conv-pooling': [18, 2_197_590, 2_197_200, 390, 307_631_104, 28, 22],
  'convmixer-2stage-flatten': [68, 10_340_874, 10_327_050, 13_824, 373_560_320, 112, 76],
  'convmixer-2stage': [67, 1_954_570, 1_940_746, 13_824, 356_788_224, 110, 74],
  'convmixer-256-8-block-residual': [64, 602_890, 594_186, 8_704, 296_227_840, 104, 70],
};

describe.each(Object.keys(TABLES))('%s', (arch) => {
  const model = build(arch);

  test('has the layers, shapes, parameters and FLOPs of Keras', () => {
    expect(table(model)).toEqual(TABLES[arch]);
  });

  test('has the totals of Keras', () => {
    const { layers, variables } = model;
    expect([
      layers.length,
      countParameters(variables),
      countParameters(variables, 'parameter'),
      countParameters(variables, 'statistic'),
      layers.reduce((sum, layer) => sum + layer.flops, 0),
      variables.length,
      variables.filter(({ kind }) => kind === 'parameter').length,
    ]).toEqual(TOTALS[arch]);
  });

  test('is rebuilt from its configuration as JSON', () => {
    const config = JSON.parse(JSON.stringify(model.config));
    expect(buildModel(config.arch, config)).toEqual(model);
    const narrow = buildModel(arch, { input: [16, 24, 1], classes: 3, dropout: 0.1, width: 1 / 16 });
    expect(buildModel(narrow.config.arch, JSON.parse(JSON.stringify(narrow.config)))).toEqual(narrow);
  });

  test('drops out half before the head unless told otherwise; rate 0 keeps the layer', () => {
    const rates = (dropout?: number) =>
      buildModel(arch, { ...cifar, dropout }).layers.flatMap((layer) => (layer.type === 'Dropout' ? [layer.config.rate] : []));
    expect(rates()).toEqual([0.5]);
    expect(rates(0.2)).toEqual([0.2]);
    expect(rates(0)).toEqual([0]);
  });
});

describe('wiring', () => {
  test('a block of the first model adds its input after the depthwise half', () => {
    const { layers } = build('convmixer-256-8');
    for (let b = 0; b < 8; b++) {
      expect(layers[5 + 7 * b].type).toBe('DepthwiseConv2D');
      expect(layers[8 + 7 * b].inputs).toEqual([7 + 7 * b, 4 + 7 * b]);
      expect(layers[9 + 7 * b].inputs).toEqual([8 + 7 * b]);
    }
    expect(layers.flatMap(({ type, index }) => (type === 'DepthwiseConv2D' ? [index] : []))).toEqual([5, 12, 19, 26, 33, 40, 47, 54]);
  });

  test('a block of the fifth model adds its input after both convolutions', () => {
    const { layers } = build('convmixer-256-8-block-residual');
    for (let b = 0; b < 8; b++) expect(layers[9 + 7 * b].inputs).toEqual([8 + 7 * b, 4 + 7 * b]);
  });

  test('the second stage adds its own block inputs', () => {
    const { layers } = build('convmixer-2stage');
    for (let b = 0; b < 4; b++) expect(layers[39 + 7 * b].inputs).toEqual([38 + 7 * b, 35 + 7 * b]);
  });
});

describe('names', () => {
  test('classes in snake case', () => {
    const classes: LayerType[] = [
      'Conv2D',
      'DepthwiseConv2D',
      'BatchNormalization',
      'GlobalAveragePooling2D',
      'MaxPooling2D',
      'InputLayer',
    ];
    expect(classes.map(snakeCase)).toEqual([
      'conv2d',
      'depthwise_conv2d',
      'batch_normalization',
      'global_average_pooling2d',
      'max_pooling2d',
      'input_layer',
    ]);
  });

  const shapes = (arch: string) => new Map(build(arch).variables.map(({ name, shape }) => [name, shape]));

  test('variables of the first model', () => {
    const variables = shapes('convmixer-256-8');
    expect(variables.get('layers/conv2d/vars/0')).toEqual([2, 2, 3, 256]);
    expect(variables.get('layers/conv2d/vars/1')).toEqual([256]);
    for (let b = 0; b < 8; b++) {
      expect(variables.get(`layers/depthwise_conv2d${b ? `_${b}` : ''}/vars/0`)).toEqual([5, 5, 256, 1]);
      expect(variables.get(`layers/conv2d_${b + 1}/vars/0`)).toEqual([1, 1, 256, 256]);
      expect(variables.get(`layers/batch_normalization_${2 * b + 2}/vars/3`)).toEqual([256]);
    }
    expect(variables.get('layers/dense/vars/0')).toEqual([256, 10]);
    expect([...variables.keys()].slice(0, 6)).toEqual([
      'layers/conv2d/vars/0',
      'layers/conv2d/vars/1',
      'layers/batch_normalization/vars/0',
      'layers/batch_normalization/vars/1',
      'layers/batch_normalization/vars/2',
      'layers/batch_normalization/vars/3',
    ]);
  });

  test('kinds and roles of a batch normalisation', () => {
    const bn = build('conv-pooling').variables.slice(0, 4);
    expect(bn.map(({ kind, role }) => `${role} ${kind}`)).toEqual([
      'gamma parameter',
      'beta parameter',
      'moving_mean statistic',
      'moving_variance statistic',
    ]);
  });

  test('models one and five have the same variables in another order', () => {
    const one = [...shapes('convmixer-256-8').keys()];
    const five = [...shapes('convmixer-256-8-block-residual').keys()];
    expect(five).not.toEqual(one);
    expect([...five].sort()).toEqual([...one].sort());
    expect(shapes('convmixer-256-8-block-residual')).toEqual(shapes('convmixer-256-8'));
  });
});

describe('other sizes', () => {
  test('convmixer is the first model by default, and any other of the family', () => {
    expect(build('convmixer').layers).toEqual(build('convmixer-256-8').layers);
    const { layers, variables } = buildModel('convmixer', { input: [30, 45, 1], classes: 7, dim: 6, depth: 2, kernel: 3, patch: 3 });
    expect(layers.length).toBe(5 + 7 * 2 + 3);
    expect(layers[5].outputShape).toEqual([10, 15, 6]);
    expect(variables[0].shape).toEqual([3, 3, 1, 6]);
    expect(layers.at(-1)?.outputShape).toEqual([7]);
  });

  test('width scales channels, not image channels or classes', () => {
    const narrow = (arch: string) =>
      new Map(buildModel(arch, { ...cifar, width: 1 / 16 }).variables.map(({ name, shape }) => [name, shape]));
    expect(narrow('convmixer-2stage-flatten').get('layers/conv2d/vars/0')).toEqual([2, 2, 3, 16]);
    expect(narrow('convmixer-2stage-flatten').get('layers/conv2d_5/vars/0')).toEqual([2, 2, 16, 32]);
    expect(narrow('convmixer-2stage-flatten').get('layers/dense/vars/0')).toEqual([8 * 8 * 32, 16]);
    expect(narrow('conv-pooling').get('layers/conv2d_5/vars/0')).toEqual([3, 3, 16, 16]);
    expect(narrow('conv-pooling').get('layers/dense_1/vars/0')).toEqual([16, 10]);
  });

  test('an image just large enough, and one whose last row fills no patch', () => {
    expect(buildModel('conv-pooling', { input: [8, 8, 3], classes: 2 }).layers[13].outputShape).toEqual([1, 1, 256]);
    expect(buildModel('convmixer-2stage', { input: [5, 7, 3], classes: 2 }).layers[33].outputShape).toEqual([1, 1, 512]);
  });
});

describe('refusals', () => {
  const refuse = (arch: string, options: Partial<Parameters<typeof buildModel>[1]>, ...parts: string[]) => {
    let error: unknown;
    try {
      buildModel(arch, { ...cifar, ...options });
    } catch (caught) {
      error = caught;
    }
    expect(error).toMatchObject({ code: 'E_USAGE', remedy: expect.stringMatching(/./) });
    for (const part of parts) expect((error as Error).message).toContain(part);
  };

  test('an unknown architecture, with the nearest one', () => {
    refuse('convmixer-2stages', {}, 'convmixer-2stages', 'did you mean convmixer-2stage?');
    refuse('resnet-50', {}, 'resnet-50');
    expect(ARCHITECTURES.map(architectureName)).toEqual(ARCHITECTURES);
  });

  test('images that the strides leave nothing of', () => {
    refuse('conv-pooling', { input: [32, 7, 3] }, '8×8', '32×7');
    refuse('convmixer-2stage', { input: [3, 32, 3] }, '4×4', '3×32');
    refuse('convmixer', { patch: 33 }, '33×33', '32×32');
  });

  test('numbers out of range', () => {
    refuse('convmixer', { dim: 0 }, 'dim', '0');
    refuse('convmixer', { depth: 2.5 }, 'depth', '2.5');
    refuse('convmixer-2stage', { classes: 1 }, 'classes', '1');
    refuse('convmixer-2stage', { input: [32, 32, 0] }, 'channels', '0');
    refuse('convmixer-2stage', { dropout: 1 }, 'dropout', '1');
    refuse('convmixer-2stage', { dropout: Number.NaN }, 'dropout', 'NaN');
    refuse('convmixer-2stage', { width: 0 }, 'width', '0');
  });

  test('options of the other kind of architecture', () => {
    refuse('convmixer-2stage', { dim: 64 }, 'convmixer-2stage', 'dim', '64');
    refuse('convmixer', { width: 0.5 }, 'width');
  });
});

describe('efficientnet-lite0', () => {
  const options = { input: [64, 64, 3], classes: 10 } as const;

  test('is built by its name, with kernels drawn as those of Keras’ EfficientNets but for the last, whose logits would be large', () => {
    const model = buildModel('efficientnet-lite0', options);
    expect(model.arch).toBe('efficientnet-lite0');
    expect(countParameters(model.variables, 'parameter')).toBe(4_652_008 - 990 * 1281);
    const weights = initialize(model, 3n);
    const deviation = (values: Float32Array) => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
    const kernel = (role: string, shape: string) =>
      model.variables.find((one) => one.role === role && `${one.shape}` === shape)?.name as string;
    // √(2 / fan out): 1×1 with 1280 filters; the head's is Glorot's √(2 / (1280 + 10)).
    expect(deviation(weights.get(kernel('kernel', '1,1,320,1280')) as Float32Array)).toBeCloseTo(Math.sqrt(2 / 1280), 3);
    expect(deviation(weights.get(kernel('kernel', '1280,10')) as Float32Array)).toBeCloseTo(Math.sqrt(2 / 1290), 3);
    expect(Math.max(...(weights.get(kernel('kernel', '1280,10')) as Float32Array))).toBeLessThanOrEqual(Math.sqrt(6 / 1290));
  });

  test('has measures of its own', () => {
    expect(() => buildModel('efficientnet-lite0', { ...options, dim: 5 })).toThrow('efficientnet-lite0 has a fixed dim, but 5 was given');
    expect(() => buildModel('efficientnet-lite0', { ...options, width: 0.5 })).toThrow('has a fixed width');
    expect(buildModel('efficientnet-lite0', options).layers.find(({ type }) => type === 'Dropout')?.config).toMatchObject({ rate: 0.2 });
  });
});
