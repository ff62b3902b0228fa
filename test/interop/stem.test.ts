// Mean and deviation of the pixels: a layer where a model is trained, part of the first convolution's weights in ONNX files and for inference. Where
// the convolution pads with zeros the mean is subtracted first, or pixels at the border would be wrong.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import type { Device } from '../../runtime/device.ts';
import { writeNpz } from '../../runtime/formats/npz.ts';
import { readOnnx } from '../../runtime/formats/onnx-file.ts';
import { toOnnx } from '../../runtime/interop/onnx.ts';
import { fromOnnx } from '../../runtime/interop/onnx-import.ts';
import { numberedClasses, type TrainedModel } from '../../runtime/interop/trained-model.ts';
import { input, type LayerTensor, layers } from '../../runtime/layers/functional.ts';
import { initialize } from '../../runtime/model/init.ts';
import { functionalModel } from '../../runtime/model/layered-model.ts';
import { forInference } from '../../runtime/model/stem.ts';
import { evaluate } from '../../runtime/train/evaluate.ts';
import { predict } from '../../runtime/train/predict.ts';
import { openKerasNetwork, relative } from '../support/keras-network.ts';
import { logitsOf } from '../support/logits.ts';
import { pythonWith, runPython } from '../support/python.ts';
import { Random } from '../support/random.ts';

const { add, batchNormalization, conv2d, dense, globalAveragePooling2d, normalization, rescaling, zeroPadding2d } = layers;

const SIZE = [11, 9, 3] as const;
const ROWS = 4;
const random = new Random(3);
const IMAGES = Uint8Array.from({ length: ROWS * SIZE[0] * SIZE[1] * SIZE[2] }, () => random.below(256));
/** ImageNet's, of pixels from 0 to 255. */
const PIXELS = { scale: [0.229, 0.224, 0.225].map((std) => 1 / (255 * std)), offset: [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225] };
const stem = { filters: 6, kernelSize: 3, strides: 2, useBias: false } as const;

/** A network, its nodes up to the first convolution of its ONNX file, and whether inference here has the pixels in the weights. */
const NETWORKS: Record<string, { net: (x: LayerTensor) => LayerTensor; nodes: string; folds: boolean }> = {
  'one factor': { net: (x) => conv2d(rescaling(x, { scale: 1 / 255 }), stem), nodes: 'Cast Transpose Conv', folds: false },
  'one factor and one addend': {
    net: (x) => conv2d(rescaling(x, { scale: 1 / 127.5, offset: -1 }), stem),
    nodes: 'Cast Transpose Conv',
    folds: true,
  },
  'one of each channel': {
    net: (x) => conv2d(rescaling(x, PIXELS), { ...stem, useBias: true }),
    nodes: 'Cast Transpose Conv',
    folds: true,
  },
  'zeros around it, one factor': {
    net: (x) => conv2d(rescaling(x, { scale: 1 / 255 }), { ...stem, padding: 'same' }),
    nodes: 'Cast Transpose Conv',
    folds: false,
  },
  'zeros around it': {
    net: (x) => conv2d(rescaling(x, PIXELS), { ...stem, padding: 'same' }),
    nodes: 'Cast Add Transpose Conv',
    folds: false,
  },
  'zeros of a layer around it': {
    net: (x) => conv2d(zeroPadding2d(rescaling(x, PIXELS), { padding: 2 }), stem),
    nodes: 'Cast Add Transpose Pad Conv',
    folds: false,
  },
  'same without zeros': {
    net: (x) => conv2d(rescaling(x, PIXELS), { ...stem, kernelSize: 1, strides: 1, padding: 'same' }),
    nodes: 'Cast Transpose Conv',
    folds: true,
  },
  'a Normalization behind it': {
    net: (x) => conv2d(normalization(rescaling(x, { scale: 1 / 255 })), stem),
    nodes: 'Cast Transpose Conv',
    folds: true,
  },
  'a Normalization whose numbers are settings': {
    net: (x) => conv2d(normalization(x, { mean: [120, 110, 100], variance: [3000, 3200, 2900] }), stem),
    nodes: 'Cast Transpose Conv',
    folds: true,
  },
  'two readers': {
    net: (x) => {
      const pixels = rescaling(x, PIXELS);
      return add([conv2d(pixels, stem), conv2d(pixels, stem)]);
    },
    nodes: 'Cast Mul Add Transpose Conv',
    folds: false,
  },
};

function networkOf(name: string): TrainedModel {
  const images = input(SIZE);
  const x = batchNormalization(NETWORKS[name].net(images));
  const model = functionalModel({ name: 'net', input: images, output: dense(globalAveragePooling2d(x), { units: 5 }) });
  const numbers = new Random(7);
  const weights = new Map(
    [...initialize(model, 5n)].map(([path, values]) => {
      const role = model.variables.find((variable) => variable.name === path)?.role ?? '';
      const some = () => numbers.below(1000) / 1000;
      if (['bias', 'beta', 'moving_mean', 'mean'].includes(role)) return [path, values.map(() => some() - 0.5)];
      return [path, ['gamma', 'moving_variance', 'variance'].includes(role) ? values.map(() => 0.5 + some()) : values];
    }),
  );
  return { model, weights, classes: numberedClasses(model) };
}

let device: Device;
beforeAll(async () => {
  device = await openWasmDevice({ threads: 1 });
});
afterAll(() => device.close());

const mean = (values: ArrayLike<number>) => Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;
const size = (values: Float32Array) => mean(values.map(Math.abs));
const kernelOf = ({ model, weights }: TrainedModel) =>
  weights.get(model.variables.find(({ role }) => role === 'kernel')?.name ?? '') as Float32Array;

describe.each(Object.keys(NETWORKS))('%s', (name) => {
  test('is in the weights of an ONNX file as far as zeros allow, which gives the same logits', async () => {
    const trained = networkOf(name);
    const file = readOnnx(toOnnx(trained), { source: 'net.onnx' });
    const ops = file.nodes.map(({ op }) => op);
    expect(ops.slice(0, ops.indexOf('Conv') + 1).join(' ')).toBe(NETWORKS[name].nodes);
    const again = fromOnnx(file, 'net.onnx');
    expect(relative(await logitsOf(device, again, IMAGES), await logitsOf(device, trained, IMAGES))).toBeLessThan(1e-5);
    // Read again, it can be trained on: pixels of about 1, and a kernel that is not hundreds of times smaller than at the beginning.
    expect(size(kernelOf(again)) / size(kernelOf(trained))).toBeGreaterThan(0.2);
    expect(again.model.layers.some(({ type }) => type === 'Rescaling')).toBe(true);
  });

  test('is in the weights for inference where there are no zeros', async () => {
    const trained = networkOf(name);
    const folded = forInference(trained);
    expect(folded.model === trained.model).toBe(!NETWORKS[name].folds);
    if (folded.model !== trained.model && 'layers' in folded.model)
      expect(folded.model.layers.slice(0, 2).map(({ type }) => type)).toEqual(['InputLayer', 'Conv2D']);
    const own = await logitsOf(device, trained, IMAGES);
    expect(relative(await logitsOf(device, { ...trained, ...folded } as TrainedModel, IMAGES), own)).toBeLessThan(1e-5);
    // What is asked for is the model that was given.
    const bytes = IMAGES.length / ROWS;
    const images = Array.from({ length: ROWS }, (_, i) => IMAGES.subarray(i * bytes, (i + 1) * bytes));
    let row = 0;
    for await (const probabilities of predict({ device, trained, images })) {
      const logits = own.subarray(row * 5, row * 5 + 5);
      const sum = logits.reduce((total, logit) => total + Math.exp(logit), 0);
      for (const [k, logit] of logits.entries()) expect(probabilities[k]).toBeCloseTo(Math.exp(logit) / sum, 5);
      row++;
    }
    expect(row).toBe(ROWS);
  });
});

test('a normalisation before a convolution in groups is taken up channel by channel', async () => {
  const images = input(SIZE);
  const x = batchNormalization(conv2d(rescaling(images, { scale: 1 / 255 }), { filters: 8, kernelSize: 3 }));
  const y = globalAveragePooling2d(conv2d(x, { filters: 12, kernelSize: 3, groups: 4 }));
  const model = functionalModel({ name: 'net', input: images, output: dense(y, { units: 5 }) });
  const numbers = new Random(9);
  const weights = new Map(
    [...initialize(model, 5n)].map(([path, values]) => [
      path,
      path.includes('normalization') ? values.map(() => 0.2 + numbers.below(1000) / 500) : values,
    ]),
  );
  const trained = { model, weights, classes: numberedClasses(model) };
  const file = readOnnx(toOnnx(trained, { foldBatchNorm: true }), { source: 'net.onnx' });
  expect(file.nodes.map(({ op }) => op)).toEqual(['Cast', 'Transpose', 'Conv', 'Conv', 'GlobalAveragePool', 'Flatten', 'Gemm', 'Identity']);
  expect(relative(await logitsOf(device, fromOnnx(file, 'net.onnx'), IMAGES), await logitsOf(device, trained, IMAGES))).toBeLessThan(1e-5);
});

test.each(['sequential', 'windows', 'excited', 'framed'])('the logits of Keras survive the way through ONNX: %s', async (name) => {
  const network = await openKerasNetwork(new URL('../golden/keras', import.meta.url).pathname, name);
  const again = fromOnnx(readOnnx(toOnnx(network.trained), { source: 'net.onnx' }), 'net.onnx');
  const centered = (rows: ArrayLike<number>) => {
    const { classes } = again.model;
    return Array.from(rows, (value, i) => value - mean(Array.from(rows).slice(i - (i % classes), i - (i % classes) + classes)));
  };
  expect(relative(centered(await logitsOf(device, again, network.images)), centered(network.logits))).toBeLessThan(2e-5);
});

test('evaluation has the losses of the model as it was given', async () => {
  const trained = networkOf('one of each channel');
  const labels = Int32Array.from({ length: ROWS }, (_, i) => i);
  const dataset = memoryDataset({ name: 'four', shape: [...SIZE], classes: trained.classes, images: IMAGES, labels });
  const { loss } = await evaluate({ device, model: trained.model, weights: trained.weights, dataset, workers: 0 });
  const logits = await logitsOf(device, trained, IMAGES);
  const losses = Array.from(labels, (label, row) => {
    const own = logits.subarray(row * 5, row * 5 + 5);
    return Math.log(own.reduce((sum, logit) => sum + Math.exp(logit), 0)) - own[label];
  });
  expect(loss).toBeCloseTo(mean(losses), 5);
});

const python = pythonWith('pixels in the weights of ONNX files', 'onnx', 'onnxruntime', 'numpy');
const folder = mkdtempSync(join(tmpdir(), 'hybrid-stem-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.skipIf(!python)('ONNX Runtime gives the same logits', { timeout: 900_000 }, async () => {
  const names = Object.keys(NETWORKS);
  for (const [k, name] of names.entries()) {
    writeFileSync(join(folder, `${k}.onnx`), toOnnx(networkOf(name)));
    writeFileSync(join(folder, `${k}.folded.onnx`), toOnnx(networkOf(name), { foldBatchNorm: true }));
    writeFileSync(join(folder, `${k}.data.npz`), writeNpz(new Map([['images', { shape: [ROWS, ...SIZE], data: IMAGES }]])));
  }
  const { models } = (await runPython(python as string, 'onnx_peer.py', folder)) as {
    readonly models: Readonly<Record<string, { readonly logits: readonly number[] }>>;
  };
  for (const [k, name] of names.entries()) {
    const own = await logitsOf(device, networkOf(name), IMAGES);
    for (const file of [`${k}.onnx`, `${k}.folded.onnx`]) expect(relative(models[file].logits, own), `${name}, ${file}`).toBeLessThan(1e-5);
  }
});
