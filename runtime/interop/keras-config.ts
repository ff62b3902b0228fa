// Finds the architecture that Keras' configuration of a model describes: the layers are read one by one, and compared with
// those of the architectures that could have them. A model that differs in any way that matters to its results is refused.

import type { Fail } from '../formats/zip.ts';
import { quote } from '../formats/zip.ts';
import { ARCHITECTURES, buildModel, type ModelOptions } from '../model/architectures.ts';
import type { Layer, LayerConfig } from '../model/layers.ts';
import type { Model } from '../model/model.ts';
import type { OptimizerSettings } from './trained-model.ts';

interface Recognized {
  readonly model: Model;
  readonly bnMomentum?: number;
  readonly optimizerSettings?: OptimizerSettings;
}

type Json = Readonly<Record<string, unknown>>;

/** A layer as the file has it: what it is, and the indices of those it reads. */
type FileLayer = { readonly config: LayerConfig; readonly inputs: readonly number[] };

/** @param file The parsed `config.json`. */
export function recognize(file: object, fail: Fail): Recognized {
  const { class_name, config, compile_config } = file as Json;
  if (class_name !== 'Functional') fail(`its model is of class ${quote(String(class_name))}, and only functional models are read`);
  const { layers: list } = object(config, 'config', fail);
  if (!Array.isArray(list) || list.length > 10_000) return fail('its configuration has no list of layers');
  const layers = readLayers(list, fail);

  const candidates = candidateModels(layers);
  const differences = candidates.map((model) => firstDifference(model, layers));
  const model = candidates[differences.indexOf(null)];
  if (!model) {
    const closest = candidates.map(({ arch }, i) => ({ arch, at: differences[i] as number })).sort((a, b) => b.at - a.at)[0];
    const where = closest ? `; it is closest to ${closest.arch}, from which it differs at layer ${closest.at}` : '';
    return fail(`its model is none of ${ARCHITECTURES.join(', ')}${where}`);
  }
  const norm = layers.find(({ config }) => config.type === 'BatchNormalization')?.config;
  const bnMomentum = norm?.type === 'BatchNormalization' ? norm.momentum : undefined;
  return { model, bnMomentum, optimizerSettings: optimizerSettings(compile_config) };
}

/** Every architecture with the measures that the layers suggest. */
function candidateModels(layers: readonly FileLayer[]): Model[] {
  const of = <T extends LayerConfig['type']>(type: T) =>
    layers.map(({ config }) => config).filter((config): config is Extract<LayerConfig, { type: T }> => config.type === type);
  const [input] = of('InputLayer');
  const [stem] = of('Conv2D');
  const depthwise = of('DepthwiseConv2D');
  const head = of('Dense').at(-1);
  if (input?.shape.length !== 3 || !stem || !head) return [];
  const shared: ModelOptions = {
    input: input.shape as unknown as [number, number, number],
    classes: head.units,
    dropout: of('Dropout')[0]?.rate ?? 0,
  };
  return ARCHITECTURES.flatMap((arch) => {
    const full = arch === 'conv-pooling' ? 64 : 256;
    const options =
      arch === 'convmixer'
        ? { dim: stem.filters, depth: depthwise.length, kernel: depthwise[0]?.kernel ?? 1, patch: stem.kernel }
        : stem.filters === full
          ? {}
          : { width: stem.filters / full };
    try {
      return [buildModel(arch, { ...shared, ...options })];
    } catch {
      return []; // these measures are impossible in this architecture
    }
  });
}

/** Index of the first layer in which the model differs; null: in none. */
function firstDifference(model: Model, layers: readonly FileLayer[]): number | null {
  const own = model.layers.map(comparable);
  const theirs = layers.map(({ config, inputs }) => comparable({ ...config, inputs } as Layer));
  for (let i = 0; i < Math.max(own.length, theirs.length); i++) if (own[i] !== theirs[i]) return i;
  return null;
}

/** All of a layer that its results depend on. Rates of dropout and momenta belong to training. */
function comparable(layer: Layer): string {
  const { type, inputs } = layer;
  switch (layer.type) {
    case 'InputLayer':
      return JSON.stringify([type, layer.shape]);
    case 'Rescaling':
      return JSON.stringify([type, Math.fround(layer.scale), inputs]); // the same factor once it is a float32
    case 'Conv2D': {
      const { filters, kernel, stride, padding, activation } = layer;
      // Where windows neither overlap the edge nor leave a rest, both paddings are the same.
      return JSON.stringify([type, filters, kernel, stride, kernel === 1 ? 'valid' : padding, activation ?? null, inputs]);
    }
    case 'DepthwiseConv2D':
      return JSON.stringify([type, layer.kernel, inputs]);
    case 'Activation':
      return JSON.stringify([type, layer.activation, inputs]);
    case 'BatchNormalization':
      return JSON.stringify([type, layer.epsilon, inputs]);
    case 'Dense':
      return JSON.stringify([type, layer.units, layer.activation ?? null, inputs]);
    default:
      return JSON.stringify([type, inputs]);
  }
}

function readLayers(list: readonly unknown[], fail: Fail): FileLayer[] {
  const indices = new Map<unknown, number>();
  return list.map((entry, index) => {
    const { class_name, config, name, inbound_nodes } = object(entry, `layer ${index}`, fail);
    const refuse = (what: string) => fail(`layer ${index} (${quote(String(class_name))}) ${what}`);
    const settings = object(config, `the configuration of layer ${index}`, fail);
    const dtype = typeof settings.dtype === 'string' ? settings.dtype : (settings.dtype as { config?: Json } | null)?.config?.name;
    if (dtype !== undefined && dtype !== 'float32') refuse(`computes in ${quote(String(dtype))}, and only float32 is read`);
    const inputs = producers(inbound_nodes, 0).map(
      (producer) => indices.get(producer) ?? refuse(`reads ${quote(String(producer))}, which does not come before it`),
    );
    indices.set(name, index);
    return { config: readLayer(String(class_name), settings, refuse), inputs };
  });
}

/** Names of the layers whose tensors occur in the arguments of a call. */
function producers(value: unknown, depth: number): unknown[] {
  if (typeof value !== 'object' || value === null || depth > 8) return [];
  const { class_name, config } = value as Json;
  if (class_name === '__keras_tensor__') return [((config as Json | undefined)?.keras_history as unknown[] | undefined)?.[0]];
  return Object.values(value).flatMap((part) => producers(part, depth + 1));
}

function readLayer(type: string, settings: Json, refuse: (what: string) => never): LayerConfig {
  /** A setting that has to be what it says here, or be absent. */
  const demand = (expected: Json) => {
    for (const [key, value] of Object.entries(expected)) {
      const found = settings[key] ?? value;
      if (JSON.stringify(found) !== JSON.stringify(value))
        refuse(`has ${key} ${JSON.stringify(found).slice(0, 60)} instead of ${JSON.stringify(value)}`);
    }
  };
  const number = (key: string): number => (typeof settings[key] === 'number' ? settings[key] : refuse(`has no number ${key}`));
  const square = (key: string): number => {
    const value = settings[key];
    const [a, b] = Array.isArray(value) ? value : [value, value];
    return typeof a === 'number' && a === b ? a : refuse(`has a ${key} that is not square`);
  };
  const activation = () => {
    const value = settings.activation;
    const name = typeof value === 'object' && value !== null ? (value as Json).config : value;
    if (name === undefined || name === null || name === 'linear') return undefined;
    return name === 'gelu' || name === 'relu' ? name : refuse(`has the activation ${quote(String(name))}; gelu and relu are read`);
  };
  const image = { data_format: 'channels_last' };
  const dense = { ...image, dilation_rate: [1, 1], use_bias: true };
  switch (type) {
    case 'InputLayer': {
      const shape = settings.batch_shape ?? settings.batch_input_shape;
      if (!Array.isArray(shape) || !shape.slice(1).every((n) => Number.isInteger(n))) return refuse('has no fixed size');
      return { type, shape: shape.slice(1) };
    }
    case 'Rescaling':
      demand({ offset: 0 });
      return { type, scale: number('scale') };
    case 'Conv2D': {
      demand({ ...dense, groups: 1 });
      const padding = settings.padding === 'same' || settings.padding === 'valid' ? settings.padding : refuse('has an unknown padding');
      return {
        type,
        filters: number('filters'),
        kernel: square('kernel_size'),
        stride: square('strides'),
        padding,
        activation: activation(),
      };
    }
    case 'DepthwiseConv2D':
      demand({ ...dense, strides: [1, 1], padding: 'same', depth_multiplier: 1, activation: 'linear' });
      return { type, kernel: square('kernel_size') };
    case 'Activation':
      return { type, activation: activation() ?? refuse('has no activation') };
    case 'BatchNormalization':
      if (settings.axis !== 3) demand({ axis: -1 });
      demand({ center: true, scale: true, renorm: false });
      return { type, epsilon: number('epsilon'), momentum: number('momentum') };
    case 'MaxPooling2D':
      demand({ ...image, pool_size: [2, 2], strides: [2, 2], padding: 'valid' });
      return { type };
    case 'GlobalAveragePooling2D':
      demand({ ...image, keepdims: false });
      return { type };
    case 'Flatten':
      demand(image);
      return { type };
    case 'Dropout':
      return { type, rate: number('rate') };
    case 'Dense':
      demand({ use_bias: true });
      return { type, units: number('units'), activation: activation() };
    case 'Add':
      return { type };
    default:
      return refuse('is of a kind that none of the architectures has');
  }
}

/** Of an optimizer that is ours; others leave nothing to go on with. */
function optimizerSettings(compiled: unknown): OptimizerSettings | undefined {
  const { class_name, config } = ((compiled as Json | null)?.optimizer ?? {}) as { class_name?: unknown; config?: Json };
  if ((class_name !== 'AdamW' && class_name !== 'Adam') || typeof config !== 'object' || config === null) return undefined;
  const { learning_rate, weight_decay, beta_1, beta_2, epsilon, amsgrad } = config;
  if (beta_1 !== 0.9 || beta_2 !== 0.999 || epsilon !== 1e-7 || amsgrad === true || typeof learning_rate !== 'number') return undefined;
  return { learningRate: learning_rate, weightDecay: typeof weight_decay === 'number' ? weight_decay : 0 };
}

function object(value: unknown, what: string, fail: Fail): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : fail(`${what} is not an object`);
}
