// The network that Keras' configuration of a model describes: layers with their settings, read by their definitions, wired as the file says.
// Models in models are taken apart into their layers. A network that is one of the architectures is recognised as that one.

import { HybridError } from '../base/errors.ts';
import type { Fail } from '../formats/zip.ts';
import { quote } from '../formats/zip.ts';
import { type AnyLayer, type Config, comparable } from '../layers/define-layer.ts';
import { callLayer, type LayerInstance, type LayerTensor } from '../layers/functional.ts';
import { LAYERS, type Layer, type LayerType, layerNamed } from '../layers/index.ts';
import { snakeCase } from '../layers/kinds.ts';
import { ARCHITECTURES, buildModel, type ModelOptions } from '../model/architectures.ts';
import { assemble, instanceOf } from '../model/layered-model.ts';
import type { Model } from '../model/model.ts';
import { augmentationOf, type TakenOver } from './keras-augmentation.ts';
import { readLoss } from './keras-loss.ts';
import { otherMatrices } from './keras-muon.ts';
import { callOf, operationOf, referencesIn } from './keras-operations.ts';
import { optimizerNotices, readOptimizer } from './keras-optimizer.ts';
import type { OptimizerSettings } from './trained-model.ts';

/** A model of a file. */
export interface KerasModel {
  readonly model: Model;
  /** Of each layer of the model, by its index: where its variables are in the file of weights, such as `layers/sequential/layers/conv2d`. */
  readonly paths: readonly string[];
  /** Indices of the layers in the order in which the file has them, which is the order of the optimizer's variables. */
  readonly fileOrder: readonly number[];
  /** Of each layer of the model: what the file calls it. */
  readonly names: readonly KerasName[];
  /** What the file says and training here does not do, in sentences. */
  readonly notices: readonly string[];
  /** What layers at the front do to pictures in training, as `--augment` has it. */
  readonly augment?: string;
  /** Of the first batch normalisation. */
  readonly bnMomentum?: number;
  /** Of the optimizer that the model was compiled with. */
  readonly optimizerName?: string;
  readonly optimizerSettings?: OptimizerSettings;
  /** Why its state is that of another one all the same, as the end of a sentence. */
  readonly otherOptimizer?: string;
}

/** What a file calls a layer, and the outermost model that it is in, or itself where it is in none. */
export interface KerasName {
  readonly top: string;
  readonly name: string;
}

/** More layers than any network has: a number from a file must not decide how long this takes. */
const MOST_LAYERS = 10_000;
/** Of things in a message. */
const MOST_NAMED = 5;
/** Models in models, and lists in the arguments of calls. */
const DEEPEST = 16;

/**
 * @param file The parsed `config.json`.
 * @param isOlder Keras 2 wrote it.
 * @param fail For a file that is not as Keras writes it. What is well-formed and cannot be read throws E_CHECKPOINT with the layer's name.
 */
export function readModel(file: object, source: string, fail: Fail, { isOlder = false } = {}): KerasModel {
  const { class_name, config, compile_config } = file as Config;
  const reader = new Reader(source, fail, isOlder);
  const top = reader.container(String(class_name), object(config, 'config', fail), '', 0, '');
  const input = top.inputs?.[0];
  if (!input || top.inputs?.length !== 1)
    return refuse(source, `the model has ${top.inputs?.length ?? 0} inputs`, 'Models with one input, an image, are read.');
  const { name: inputName } = input.call.layer;
  if (input.shape.length !== 3)
    refuse(
      source,
      `${inputName} (InputLayer) takes [${input.shape.join(', ')}] for a sample`,
      'Models of images are read: [height, width, channels].',
    );
  const output = reader.read(() => top.call([]));
  const compilation = compile_config as Config | null | undefined;
  const compiled = compilation?.optimizer;
  for (const notice of [...readLoss(compilation, output, source), ...optimizerNotices(compiled)]) reader.notices.push(notice);
  const name = modelName((config as Config).name);
  const { model: network, instances } = reader.read(() => assemble({ name, input, output }));
  const momenta = new Set(network.layers.flatMap((layer) => (layer.type === 'BatchNormalization' ? [layer.config.momentum] : [])));
  // What is particular about layers in training no architecture says.
  const isPlain = momenta.size <= 1 && network.layers.every(({ trainable, inference }) => trainable !== false && !inference);
  const model = (isPlain && recognize(network)) || network;

  const paths = instances.map((instance) => reader.paths.get(instance) as string);
  const fileOrder = [...reader.paths.keys()].flatMap((instance) => {
    const index = instances.indexOf(instance);
    return index < 0 ? [] : [index];
  });
  const names = instances.map((instance) => reader.names.get(instance) as KerasName);
  const optimizerSettings = readOptimizer(compiled);
  const pathOf = (index: number) => (names[index].top === names[index].name ? '' : `${names[index].top}/`) + names[index].name;
  return {
    model,
    paths,
    fileOrder,
    names,
    notices: reader.notices,
    augment: reader.augment.length > 0 ? reader.augment.join(',') : undefined,
    bnMomentum: [...momenta][0] ?? undefined,
    optimizerSettings,
    optimizerName: classOf(compiled),
    otherOptimizer: otherMatrices(model, compiled, optimizerSettings, pathOf),
  };
}

const modelName = (name: unknown): string => (typeof name === 'string' && /^[\w .-]{1,100}$/.test(name) ? name : 'model');

/** A layer, or a model as a layer: what takes tensors. */
interface Part {
  call(inputs: readonly LayerTensor[], inference?: boolean): LayerTensor;
  /** Input tensors of its own. */
  readonly inputs?: readonly LayerTensor[];
}

/** What a call reads, and whether it is in inference mode in training too. */
interface Reads {
  readonly reads: readonly string[];
  readonly inference: boolean;
}

/** A layer in its container, with its calls: which results it reads each time. */
interface Entry {
  readonly name: string;
  readonly part: Part;
  readonly calls: readonly Reads[];
  /** Its number in what reads it. */
  readonly firstCall: number;
}

class Reader {
  /** Of all layers, in the order of the file: the prefix of their variables. */
  readonly paths = new Map<LayerInstance, string>();
  /** Of all layers: what the file calls them. */
  readonly names = new Map<LayerInstance, KerasName>();
  readonly notices: string[] = [];
  /** Names of augmentations, in place of layers. */
  readonly augment: string[] = [];
  readonly #source: string;
  readonly #fail: Fail;
  readonly #isOlder: boolean;
  readonly #names = new Set<string>();
  #layers = 0;

  constructor(source: string, fail: Fail, isOlder: boolean) {
    this.#source = source;
    this.#fail = fail;
    this.#isOlder = isOlder;
  }

  /** Refusals of layers, as those of a file. */
  read<T>(make: () => T): T {
    try {
      return make();
    } catch (error) {
      if (!(error instanceof HybridError) || error.code !== 'E_USAGE') throw error;
      return refuse(this.#source, error.message, error.remedy, error);
    }
  }

  /** A Sequential or Functional model. Without tensors its call begins with inputs of its own. */
  container(type: string, config: Config, path: string, depth: number, top: string): Part {
    const { layers: list, name } = config;
    if (type !== 'Functional' && type !== 'Sequential' && type !== 'Model')
      refuse(
        this.#source,
        `the model ${quote(String(name))} is of class ${quote(type)}`,
        'Sequential and functional models of built-in layers are read; build it as one of them.',
      );
    if (depth > DEEPEST) return this.#fail('its models are in one another without end');
    if (!Array.isArray(list)) return this.#fail('its configuration has no list of layers');
    if ((this.#layers += list.length) > MOST_LAYERS) return this.#fail(`it has more than ${MOST_LAYERS} layers`);
    return type === 'Sequential' ? this.#sequential(list, path, depth, top) : this.#functional(config, list, path, depth, top);
  }

  #sequential(list: readonly unknown[], path: string, depth: number, top: string): Part {
    const parts = this.#parts(list, path, depth, top).map(({ part }) => part);
    const [first] = parts;
    const inputs = first?.inputs;
    if (!inputs)
      return refuse(
        this.#source,
        'a Sequential model has no InputLayer: the size of its images is not known',
        'Begin it with keras.Input((height, width, channels)), or call it once, and save it again.',
      );
    // A model that is a layer is given its input.
    return { inputs, call: (given, inference) => parts.slice(1).reduce((x, part) => part.call([x], inference), given[0] ?? inputs[0]) };
  }

  #functional(config: Config, list: readonly unknown[], path: string, depth: number, top: string): Part {
    const entries = this.#parts(list, path, depth, top);
    const [inputs, outputs] = [config.input_layers, config.output_layers].map((value) => referencesIn(value));
    const byName = new Map(entries.map((entry) => [entry.name, entry]));
    if (byName.size !== entries.length) this.#fail('two of its layers have one name');
    if (outputs.length !== 1)
      refuse(
        this.#source,
        `the model ${quote(String(config.name))} has ${outputs.length} outputs${outputs.length > 0 ? `: ${outputs.slice(0, MOST_NAMED).map(nameOf).join(', ')}` : ''}`,
        'Models with one output, the logits or probabilities of the classes, are read.',
      );
    const own = inputs.map((key) => {
      const [tensor] = byName.get(nameOf(key))?.part.inputs ?? [];
      return tensor ?? this.#fail(`its input ${quote(nameOf(key))} is not a layer of it`);
    });
    return {
      inputs: own,
      call: (given, inference) => {
        const results = new Map(inputs.map((key, i) => [key, given[i] ?? own[i]]));
        let waiting = entries.flatMap(({ name, part, calls, firstCall }) =>
          calls.map((one, k) => ({ ...one, key: `${name}\n${k + firstCall}`, part })),
        );
        // Layers that are shared may be called again after those that come later in the list.
        while (waiting.length > 0) {
          const left = waiting.filter(({ key, part, reads, inference: own }) => {
            const tensors = reads.map((read) => results.get(read));
            if (tensors.includes(undefined)) return true;
            results.set(key, part.call(tensors as LayerTensor[], inference || own));
            return false;
          });
          if (left.length === waiting.length) {
            const missing = left[0].reads.find((read) => !results.has(read)) as string;
            this.#fail(`its layer ${quote(nameOf(left[0].key))} reads ${quote(nameOf(missing))}, which is not there`);
          }
          waiting = left;
        }
        return results.get(outputs[0]) ?? this.#fail(`its output ${quote(nameOf(outputs[0]))} is not a layer of it`);
      },
    };
  }

  #parts(list: readonly unknown[], path: string, depth: number, top: string): Entry[] {
    const counts = new Map<string, number>();
    return list.map((item, index) => {
      const { class_name, config, name, inbound_nodes, module, registered_name } = object(item, `layer ${index}`, this.#fail);
      const settings = object(config, `the configuration of layer ${index}`, this.#fail);
      const type = String(class_name);
      const own = typeof name === 'string' ? name : typeof settings.name === 'string' ? settings.name : `layer ${index}`;
      const nodes = Array.isArray(inbound_nodes) ? inbound_nodes : [];
      // Older files say no module: operations have no settings of layers there.
      const isOperation =
        type === 'TFOpLambda' ||
        (typeof module === 'string'
          ? module.startsWith('keras.src.ops')
          : module === undefined &&
            nodes.length > 0 &&
            !Array.isArray(settings.layers) &&
            settings.trainable === undefined &&
            !type.startsWith('SpatialDropout'));
      if (isOperation) return this.#operation(type, settings, own, nodes);
      const snake = snakeCase(type);
      const earlier = counts.get(snake) ?? 0;
      counts.set(snake, earlier + 1);
      const at = `${path}layers/${snake}${earlier ? `_${earlier}` : ''}`;
      const isModel = Array.isArray(settings.layers);
      if (!isModel) this.#refuseCode(type, own, module, registered_name);
      const passed = this.#augmentation(type, settings, own);
      const part = passed
        ? passed
        : isModel
          ? this.container(type, settings, `${at}/`, depth + 1, top || own)
          : this.#layer(this.#known(type, own), settings, own, at, top || own);
      const calls = nodes.map((call) => this.#reads(call, own, type, settings));
      // Of a model Keras 2 counts the call that made it.
      return { name: own, part, calls, firstCall: isModel && Array.isArray(nodes[0]) ? 1 : 0 };
    });
  }

  /** Of a layer that changes pictures in training alone: its input, and what `--augment` has for it. */
  #augmentation(type: string, settings: Config, name: string): Part | undefined {
    if (!augmentationOf(type, settings, [])) return undefined;
    let isTold = false;
    return {
      call: ([x]) => {
        const { names, lost } = augmentationOf(type, settings, x.shape) as TakenOver;
        const { layer } = augmentationOf(type, settings, x.shape) as TakenOver;
        if (!isTold && lost)
          this.notices.push(`${name} (${type}) ${layer ? 'becomes the middle of the image' : 'is left out of training'}: ${lost}`);
        // One name cannot be there twice.
        for (const one of isTold ? [] : names)
          if (!this.augment.some((other) => other.split('=')[0] === one.split('=')[0])) this.augment.push(one);
        isTold = true;
        return layer ? this.read(() => callLayer(instanceOf(layer.type, layer.config, name), [x])) : x;
      },
    };
  }

  /** What is code of somebody's own is refused as that, whatever it is called. */
  #refuseCode(type: string, name: string, module: unknown, registered: unknown): void {
    const layer = `${name} (${type})`;
    const isOwn =
      (typeof module === 'string' && !/^(tf_)?keras\b/.test(module)) ||
      [type, registered].some((one) => typeof one === 'string' && one.includes('>'));
    if (type === 'Lambda')
      refuse(
        this.#source,
        `${layer} is a function in Python, which is not run here`,
        'Write it as layers, such as Rescaling, or as operations on tensors.',
      );
    if (isOwn)
      refuse(
        this.#source,
        `${layer} is a layer of its author's own${typeof registered === 'string' ? `, ${quote(registered)}` : ''}, whose code is not in the file`,
        "Build the model of Keras' own layers.",
      );
  }

  /** The class of a layer, if there is one here. */
  #known(type: string, name: string): string {
    if (!layerNamed(type))
      return refuse(
        this.#source,
        `${name} (${type}) is of a layer class that is not supported`,
        `Replace it. Layers that are read: ${Object.keys(LAYERS).join(', ')}.`,
      );
    return type;
  }

  /** An operation on tensors, such as `x + 3.0`, is the layer that computes the same. It has no weights, and no number among the layers. */
  #operation(type: string, settings: Config, name: string, nodes: readonly unknown[]): Entry {
    const calls = nodes.map((node) => operationOf(type, settings, node));
    const [first] = calls;
    if (!first || !calls.every((call) => JSON.stringify(call?.layer) === JSON.stringify(first.layer)))
      return refuse(
        this.#source,
        `${name} is the operation ${typeof settings.function === 'string' ? settings.function : type} on tensors`,
        'Write it as a layer.',
      );
    const part = this.#layer(first.layer.type, first.layer.config, name, `operations/${name}`, '');
    return { name, part, calls: calls.map((call) => ({ reads: call?.reads ?? [], inference: false })), firstCall: 0 };
  }

  #layer(type: string, settings: Config, name: string, path: string, top: string): Part {
    this.#notes(type, settings, name);
    // Models in models may each have a layer of that name.
    const isFree = !this.#names.has(name);
    this.#names.add(name);
    const instance = this.read(() => instanceOf(type, readable(settings), isFree ? name : undefined, settings.trainable !== false));
    this.paths.set(instance, path);
    this.names.set(instance, { top, name });
    if (type !== 'InputLayer') return { call: (inputs, inference = false) => this.read(() => callLayer(instance, inputs, { inference })) };
    const tensor = this.read(() => callLayer(instance, []));
    return { inputs: [tensor], call: () => tensor };
  }

  /** What a layer is told about training that training here does not do. */
  #notes(type: string, settings: Config, name: string): void {
    const { dtype } = settings;
    // Anything but a name is a table of policies, or somebody's own.
    const policy =
      typeof dtype === 'string' || (dtype ?? null) === null ? dtype : (Object((dtype as Config).config).name ?? 'a policy of its own');
    if (type === 'InputLayer' && (policy === 'string' || policy === 'bool'))
      refuse(
        this.#source,
        `${name} (InputLayer) takes ${policy === 'string' ? 'text' : 'true and false'} (dtype ${quote(policy)})`,
        'Models of images are read.',
      );
    if (type === 'InputLayer' && policy === 'int8')
      refuse(this.#source, `${name} (InputLayer) takes int8, which has no room for pixels up to 255`, 'Give it uint8 or float32.');
    const isMixed = String(policy).startsWith('mixed_');
    if (type !== 'InputLayer' && (policy ?? 'float32') !== 'float32' && !isMixed)
      refuse(this.#source, `${name} (${type}) computes in ${quote(String(policy))}`, 'Save the model in float32.');
    const rounding = `The model computes in ${String(policy)} in Keras, and in float32 here: results are not rounded to 16 bits`;
    if (isMixed && !this.notices.includes(rounding)) this.notices.push(rounding);
    if (settings.synchronized === true)
      this.notices.push(`${name} (${type}) is synchronized over devices; here that is so in one process, and over several with --sync-bn`);
    if (this.#isOlder && JSON.stringify(settings.activation ?? null).includes('"hard_sigmoid"'))
      refuse(
        this.#source,
        `${name} (${type}) has activation "hard_sigmoid" of Keras 2, 0.2·x + 0.5; that of Keras 3, which is the one here, is x/6 + 0.5`,
        'Save the model with Keras 3, or write it as Rescaling(0.2, offset=0.5) and ReLU(max_value=1).',
      );
    for (const [key, value] of Object.entries(settings))
      if (key.endsWith('_regularizer') && value !== null)
        this.notices.push(
          `${name} (${type}) has ${/^[aeiou]/.test(key) ? 'an' : 'a'} ${key}, which training here does not have; see weight decay`,
        );
  }

  /** The results that a call reads, in order. */
  #reads(call: unknown, name: string, type: string, { trainable }: Config): Reads {
    const { args, kwargs } = callOf(call);
    // Keras 2 keeps to what a call says, which is a list there. Keras 3 overrides it in training and in inference; and of dropout and noise it is the default, written for every call.
    const [isOlder, isOff] = [Array.isArray(call), kwargs.training === false];
    for (const [key, value] of Object.entries(kwargs)) {
      const isTensor = referencesIn(value).length > 0;
      const asks = key === 'training' ? value === true && isOlder : isTensor ? !TENSORS.has(key) : (value ?? false) !== false;
      if (asks) refuse(this.#source, `${name} (${type}) is called with ${key}`, `Call it without ${key}.`);
    }
    if (args.some((value) => value !== null && typeof value !== 'object'))
      refuse(this.#source, `${name} (${type}) is called with ${JSON.stringify(args)}`, 'Call it with tensors alone.');
    const read = referencesIn({ args, kwargs });
    if (layerNamed(type)?.takesTwice && new Set(read).size > 1)
      refuse(
        this.#source,
        `${name} (${type}) asks with ${nameOf(read[0])} and attends to ${nameOf(read.find((one) => one !== read[0]) as string)}`,
        'Give it one tensor as query, value and key, without a mask: attention of a tensor to itself is read.',
      );
    if (isOff && !isOlder && trainable !== false && !/Dropout|GaussianNoise/.test(type))
      this.notices.push(
        `${name} is called with training=False; in training Keras 3 overrides that, and so it is here: set trainable = False`,
      );
    return {
      reads: layerNamed(type)?.takesTwice ? [...new Set(read)] : read,
      inference: isOlder && isOff,
    };
  }
}

/** Arguments of calls that are the tensors that a layer reads, by name. */
const TENSORS = new Set(['inputs', 'x', 'query', 'value', 'key']);

/** Settings that say how a layer is computed; regularisation is told of, and is no part of that, nor is how many images a batch has. */
const readable = (settings: Config): Config =>
  Object.fromEntries(
    Object.entries(settings)
      .filter(([key]) => !key.endsWith('_regularizer'))
      .map(([key, value]) => [
        key,
        /^batch_(input_)?shape$/.test(key) && Array.isArray(value) ? [null, ...value.slice(1)] : (numbersOf(value) ?? value),
      ]),
  );

/** An array of numpy's as Keras writes it. */
const numbersOf = (value: unknown): unknown => {
  const { class_name, config } = Object(value) as Config;
  return class_name === '__numpy__' || class_name === '__tensor__' ? Object(config).value : undefined;
};

const nameOf = (key: string): string => key.split('\n')[0];

function refuse(source: string, what: string, remedy: string, cause?: unknown): never {
  throw new HybridError('E_CHECKPOINT', `${source} cannot be used: ${what}`, remedy, { cause });
}

/** The architecture with the measures that the layers suggest which computes the same; null: none does. */
function recognize(network: Model): Model | null {
  const of = <T extends LayerType>(type: T) => network.layers.filter((layer): layer is Layer<T> & Layer => layer.type === type);
  const [[stem], depthwise] = [of('Conv2D'), of('DepthwiseConv2D')];
  if (!stem) return null;
  const shared: ModelOptions = { input: network.input, classes: network.classes, dropout: of('Dropout')[0]?.config.rate ?? 0 };
  const text = comparableText(network);
  for (const arch of ARCHITECTURES) {
    const { filters, kernelSize } = stem.config;
    const full = arch === 'conv-pooling' ? 64 : 256;
    const options =
      arch === 'convmixer'
        ? { dim: filters, depth: depthwise.length, kernel: depthwise[0]?.config.kernelSize[0] ?? 1, patch: kernelSize[0] }
        : filters === full
          ? {}
          : { width: filters / full };
    try {
      const model = buildModel(arch, { ...shared, ...options });
      if (comparableText(model) === text) return model;
    } catch {
      // these measures are impossible in this architecture
    }
  }
  return null;
}

const comparableText = ({ layers }: Model): string =>
  layers.map(({ type, config, inputs, repeats }) => `${comparable(LAYERS[type] as AnyLayer, config)} ${inputs} ${repeats}`).join('\n');

const classOf = (optimizer: unknown): string | undefined => {
  const { class_name } = (optimizer ?? {}) as Config;
  return typeof class_name === 'string' ? class_name : undefined;
};

function object(value: unknown, what: string, fail: Fail): Config {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Config) : fail(`${what} is not an object`);
}
