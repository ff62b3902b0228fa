// Keras' own files, both ways. A `.keras` archive holds the configuration of the model, which only names built-in layers, and
// its weights as `.weights.h5`; that file is also what `save_weights` writes. Names, layouts and order are Keras' in the whole
// project, so that nothing here moves a number.

import { HybridError } from '../base/errors.ts';
import { readHdf5, writeHdf5 } from '../formats/hdf5.ts';
import type { FileTensor } from '../formats/safetensors.ts';
import { type Fail, readZip, writeZip } from '../formats/zip.ts';
import type { Layer } from '../model/layers.ts';
import { recognize } from './keras-config.ts';
import {
  adopt,
  cardOf,
  numberedClasses,
  type OptimizerSettings,
  optimizerVariables,
  readCard,
  type TrainedModel,
} from './trained-model.ts';

/** The version whose files these are like. */
const KERAS_VERSION = '3.15.1';
const ADAM = { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 } as const;
const MEMBERS = { metadata: 'metadata.json', config: 'config.json', weights: 'model.weights.h5' } as const;
/** An attribute of an HDF5 file has to fit into 64 KiB. */
const MAX_ATTRIBUTE_BYTES = 60_000;

/** A `.keras` archive that `keras.models.load_model` reads: compiled, with the state of the optimizer where there is one. */
export async function writeKeras(trained: TrainedModel, { date = new Date() } = {}): Promise<Uint8Array> {
  const metadata = { keras_version: KERAS_VERSION, date_saved: date.toISOString().slice(0, 19).replace('T', '@'), hybrid: cardOf(trained) };
  return writeZip(
    new Map([
      [MEMBERS.metadata, encode(metadata)],
      [MEMBERS.config, encode(modelConfig(trained))],
      [MEMBERS.weights, await writeHdf5(...hdf5Contents(trained))],
    ]),
  );
}

/** A `.weights.h5` file for `load_weights` of the same model in Keras. */
export async function writeKerasWeights(trained: TrainedModel): Promise<Uint8Array> {
  const [tensors, { groups }] = hdf5Contents(trained);
  const card = JSON.stringify(cardOf(trained));
  // A model of thousands of classes goes without their names.
  const fits = Buffer.byteLength(card) <= MAX_ATTRIBUTE_BYTES;
  const attributes = new Map([['hybrid', fits ? card : JSON.stringify({ ...cardOf(trained), labels: null })]]);
  return writeHdf5(tensors, { groups, attributes });
}

function hdf5Contents({ model, weights, optimizer }: TrainedModel): [Map<string, FileTensor>, { groups: string[] }] {
  const tensors = new Map<string, FileTensor>();
  for (const { name, shape } of model.variables) tensors.set(name, { shape, data: weights.get(name) as Float32Array });
  for (const [i, { name, shape }] of (optimizer ? optimizerVariables(model) : []).entries()) {
    const data = optimizer?.get(name) as Float32Array;
    tensors.set(name, { shape, data: i === 0 ? BigInt64Array.from(data, BigInt) : data });
  }
  // Keras looks for the group of every layer, with or without variables, and of the model itself.
  const groups = ['vars', ...model.layers.map(({ path }) => `${path}/vars`), ...(optimizer ? ['optimizer/vars'] : [])];
  return [tensors, { groups }];
}

function modelConfig(trained: TrainedModel) {
  const { model } = trained;
  const ends = [model.layers[0], model.layers[model.layers.length - 1]];
  const [inputs, outputs] = ends.map(({ name }) => [[name, 0, 0]]);
  return {
    module: 'keras.src.models.functional',
    class_name: 'Functional',
    registered_name: 'Functional',
    config: {
      name: model.arch.replaceAll('-', '_'),
      trainable: true,
      layers: model.layers.map((layer) => layerConfig(layer, trained)),
      input_layers: inputs,
      output_layers: outputs,
    },
    compile_config: compileConfig(trained.optimizerSettings),
  };
}

function layerConfig(layer: Layer, { model, bnMomentum }: TrainedModel) {
  const tensor = (index: number) => {
    const { name, outputShape } = model.layers[index];
    const config = { shape: [null, ...outputShape], dtype: 'float32', keras_history: [name, 0, 0] };
    return { class_name: '__keras_tensor__', config };
  };
  const tensors = layer.inputs.map(tensor);
  return {
    module: 'keras.layers',
    class_name: layer.type,
    config: { name: layer.name, dtype: 'float32', ...settings(layer, bnMomentum) },
    name: layer.name,
    // A merging layer takes one list of tensors.
    inbound_nodes: tensors.length === 0 ? [] : [{ args: layer.type === 'Add' ? [tensors] : tensors, kwargs: {} }],
  };
}

function settings(layer: Layer, bnMomentum: number | undefined) {
  const kernel = { kernel_initializer: 'glorot_uniform', bias_initializer: 'zeros', use_bias: true };
  const image = { data_format: 'channels_last' };
  const square = (n: number) => [n, n];
  switch (layer.type) {
    case 'InputLayer':
      return { batch_shape: [null, ...layer.shape] };
    case 'Rescaling':
      return { scale: layer.scale, offset: 0 };
    case 'Conv2D': {
      const { filters, kernel: size, stride, padding, activation = 'linear' } = layer;
      const window = { kernel_size: square(size), strides: square(stride), padding, dilation_rate: [1, 1], groups: 1 };
      return { filters, ...window, ...image, activation, ...kernel };
    }
    case 'DepthwiseConv2D': {
      const { kernel_initializer, ...rest } = kernel;
      const window = { kernel_size: square(layer.kernel), strides: [1, 1], padding: 'same', dilation_rate: [1, 1], depth_multiplier: 1 };
      return { ...window, ...image, activation: 'linear', ...rest, depthwise_initializer: kernel_initializer };
    }
    case 'Activation':
      return { activation: layer.activation };
    case 'BatchNormalization':
      return { axis: -1, momentum: bnMomentum ?? layer.momentum, epsilon: layer.epsilon, center: true, scale: true };
    case 'MaxPooling2D':
      return { pool_size: [2, 2], strides: [2, 2], padding: 'valid', ...image };
    case 'GlobalAveragePooling2D':
      return { ...image, keepdims: false };
    case 'Flatten':
      return image;
    case 'Dropout':
      return { rate: layer.rate, seed: null };
    case 'Dense':
      return { units: layer.units, activation: layer.activation ?? 'linear', ...kernel };
    case 'Add':
      return {};
  }
}

/** As the script compiles its models. */
function compileConfig({ learningRate, weightDecay }: OptimizerSettings = { learningRate: 2e-3, weightDecay: 1e-4 }) {
  return {
    optimizer: {
      module: 'keras.optimizers',
      class_name: 'AdamW',
      config: { name: 'adamw', learning_rate: learningRate, weight_decay: weightDecay, ...ADAM, amsgrad: false },
      registered_name: null,
    },
    loss: {
      module: 'keras.losses',
      class_name: 'SparseCategoricalCrossentropy',
      config: { name: 'sparse_categorical_crossentropy', reduction: 'sum_over_batch_size', from_logits: true },
      registered_name: null,
    },
    metrics: [
      {
        module: 'keras.metrics',
        class_name: 'SparseCategoricalAccuracy',
        config: { name: 'acc', dtype: 'float32' },
        registered_name: null,
      },
    ],
    loss_weights: null,
    weighted_metrics: null,
    run_eagerly: false,
    steps_per_execution: 1,
    jit_compile: false,
  };
}

/**
 * Reads a `.keras` archive whose model is one of the architectures, as Keras or this program writes it.
 * @throws HybridError E_CHECKPOINT for anything else.
 */
export async function readKeras(bytes: Uint8Array, source = 'the file'): Promise<TrainedModel> {
  const fail: Fail = (what, cause) => {
    throw new HybridError(
      'E_CHECKPOINT',
      `${source} is not a .keras file that can be used: ${what}`,
      'Use a file that Keras wrote with model.save; if it was copied or downloaded, fetch it again.',
      { cause },
    );
  };
  const members = readZip(bytes, fail);
  const member = (name: string): Uint8Array => members.get(name) ?? fail(`it has no ${name}`);
  const { model, ...training } = recognize(parse(member(MEMBERS.config), MEMBERS.config, fail), fail);
  const metadata = members.has(MEMBERS.metadata) ? (parse(member(MEMBERS.metadata), MEMBERS.metadata, fail) as { hybrid?: unknown }) : {};
  const tensors = await readHdf5(member(MEMBERS.weights), `${MEMBERS.weights} of ${source}`);
  // The state of another optimizer means nothing here.
  if (!training.optimizerSettings) for (const name of [...tensors.keys()]) if (name.startsWith('optimizer/')) tensors.delete(name);
  const { classes, license } = readCard(JSON.stringify(metadata.hybrid ?? null));
  return {
    ...adopt(model, tensors, source),
    ...training,
    classes: classes?.length === model.classes ? classes : numberedClasses(model),
    license,
  };
}

function parse(bytes: Uint8Array, name: string, fail: Fail): object {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // told below
  }
  return fail(`${name} is not a JSON object`);
}

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
