// Keras' own files, both ways. A `.keras` archive holds the configuration of the model, which only names built-in layers, and
// its weights as `.weights.h5`; that file is also what `save_weights` writes. Names, layouts and order are Keras' in the whole
// project, so that nothing here moves a number.

import { HybridError } from '../base/errors.ts';
import { readHdf5, writeHdf5 } from '../formats/hdf5.ts';
import type { FileTensor } from '../formats/safetensors.ts';
import { type Fail, readZip, writeZip } from '../formats/zip.ts';
import { type AnyLayer, type Config, endOf, writeConfig } from '../layers/define-layer.ts';
import { LAYERS, type Layer } from '../layers/index.ts';
import { layerPathOf } from '../layers/layer.ts';
import type { Model } from '../model/model.ts';
import { optimizerOf, slotVariables } from '../optim/index.ts';
import { type KerasModel, readModel } from './keras-config.ts';
import { notForKeras } from './keras-muon.ts';
import { optimizerConfig } from './keras-optimizer.ts';
import {
  adopt,
  cardOf,
  keptOf,
  kerasName,
  numberedClasses,
  type OptimizerSettings,
  optimizerVariables,
  readCard,
  type TrainedModel,
} from './trained-model.ts';

/** The version whose files these are like. */
const KERAS_VERSION = '3.15.1';
/** Versions of Keras 2. */
const KERAS_2 = /^2\.\d+\.\d/;
/** Of batch normalisation, where nothing is said. */
const KERAS_MOMENTUM = 0.99;
const MEMBERS = { metadata: 'metadata.json', config: 'config.json', weights: 'model.weights.h5' } as const;
/** An attribute of an HDF5 file has to fit into 64 KiB. */
const MAX_ATTRIBUTE_BYTES = 60_000;

/** A `.keras` archive that `keras.models.load_model` reads: compiled, with the state of the optimizer where there is one. */
export async function writeKeras(given: TrainedModel, { date = new Date() } = {}): Promise<Uint8Array> {
  const trained = forKeras(given);
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
export async function writeKerasWeights(given: TrainedModel): Promise<Uint8Array> {
  const trained = forKeras(given);
  const [tensors, { groups }] = hdf5Contents(trained);
  const card = JSON.stringify(cardOf(trained));
  // A model of thousands of classes goes without their names.
  const fits = new TextEncoder().encode(card).length <= MAX_ATTRIBUTE_BYTES;
  const attributes = new Map([['@hybrid', fits ? card : JSON.stringify({ ...cardOf(trained), labels: null })]]);
  if (trained.optimizer) attributes.set('optimizer/vars@name', optimizerOf(trained.optimizerSettings?.optimizer).rule.name); // as Keras says it
  return writeHdf5(tensors, { groups, attributes });
}

/** Without a state that means something else there. */
const forKeras = (trained: TrainedModel): TrainedModel => (notForKeras(trained) ? { ...trained, optimizer: undefined } : trained);

function hdf5Contents({ model, weights, optimizer, optimizerSettings }: TrainedModel): [Map<string, FileTensor>, { groups: string[] }] {
  const tensors = new Map<string, FileTensor>();
  for (const { name, shape } of model.variables) tensors.set(name, { shape, data: weights.get(name) as Float32Array });
  for (const [i, { name, shape }] of (optimizer ? optimizerVariables(model, optimizerSettings?.optimizer) : []).entries()) {
    const data = optimizer?.get(name) as Float32Array;
    tensors.set(name, { shape, data: i === 0 ? BigInt64Array.from(data, BigInt) : data });
  }
  // Keras looks for the group of every layer, with or without variables, and of the model itself.
  const parts = model.variables.map(({ name }) => name.replace(/\/\d+$/, ''));
  const groups = [
    'vars',
    ...new Set([...model.layers.map(({ path }) => `${path}/vars`), ...parts]),
    ...(optimizer ? ['optimizer/vars'] : []),
  ];
  return [tensors, { groups }];
}

function modelConfig(trained: TrainedModel) {
  const { model } = trained;
  const output = model.layers[model.layers.length - 1];
  return {
    module: 'keras.src.models.functional',
    class_name: 'Functional',
    registered_name: 'Functional',
    config: {
      name: model.arch.replaceAll('-', '_'),
      trainable: true,
      layers: model.layers.filter(({ repeats }) => repeats === undefined).map((layer) => layerConfig(layer, trained)),
      input_layers: [[model.layers[0].name, 0, 0]],
      output_layers: [[output.name, callOf(model, output.index), 0]],
    },
    compile_config: compileConfig(model, output.outputShape[0], endOf(output, output.config), trained.optimizerSettings),
  };
}

/** A layer with all its calls. */
function layerConfig(layer: Layer, { model, bnMomentum }: TrainedModel) {
  const { index, name, type } = layer;
  const definition: AnyLayer = LAYERS[type];
  const tensor = (at: number) => {
    const { name, outputShape } = model.layers[at];
    const config = { shape: [null, ...outputShape], dtype: 'float32', keras_history: [name, callOf(model, at), 0] };
    return { class_name: '__keras_tensor__', config };
  };
  const calls = model.layers.filter((other) => other.index === index || other.repeats === index);
  const settings = writeConfig(
    definition,
    type === 'BatchNormalization' ? { ...layer.config, momentum: layer.config.momentum ?? bnMomentum ?? KERAS_MOMENTUM } : layer.config,
  );
  return {
    module: definition.module ?? 'keras.layers',
    class_name: type,
    config: { name, ...(type !== 'SpatialDropout2D' && { trainable: layer.trainable ?? true }), dtype: 'float32', ...settings },
    registered_name: definition.module ? type : null,
    name,
    inbound_nodes:
      definition.reads === 'nothing'
        ? []
        : calls.map(({ inputs, inference }) => {
            const tensors = inputs.map(tensor);
            // A merging layer takes one list of tensors.
            const args = definition.reads === 'list' ? [tensors] : definition.takesTwice ? [...tensors, ...tensors] : tensors;
            return { args, kwargs: inference ? { training: false } : {} };
          }),
  };
}

/** Which of the calls of its layer a layer of the list is. */
const callOf = ({ layers }: Model, at: number): number => {
  const first = layers[at].repeats ?? at;
  return layers.slice(0, at).filter(({ index, repeats }) => index === first || repeats === first).length;
};

/** As the script compiles its models; one unit is that of two classes. */
function compileConfig(model: Model, units: number, end: unknown, settings: OptimizerSettings = { learningRate: 2e-3, weightDecay: 1e-4 }) {
  return {
    optimizer: optimizerConfig(settings, model),
    loss: {
      module: 'keras.losses',
      class_name: units === 1 ? 'BinaryCrossentropy' : 'SparseCategoricalCrossentropy',
      config: {
        name: units === 1 ? 'binary_crossentropy' : 'sparse_categorical_crossentropy',
        reduction: 'sum_over_batch_size',
        from_logits: end !== (units === 1 ? 'sigmoid' : 'softmax'),
      },
      registered_name: null,
    },
    metrics: [
      {
        module: 'keras.metrics',
        class_name: units === 1 ? 'BinaryAccuracy' : 'SparseCategoricalAccuracy',
        config: { name: 'acc', dtype: 'float32', ...(units === 1 && { threshold: end === 'sigmoid' ? 0.5 : 0 }) },
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
 * Reads a `.keras` archive with a model of layers that are known here, however they are wired.
 * @throws HybridError E_CHECKPOINT for anything else; what is not known is told by the name of the layer.
 */
export async function readKeras(bytes: Uint8Array, source = 'the file'): Promise<TrainedModel> {
  const fail: Fail = (what, cause) => {
    throw new HybridError(
      'E_CHECKPOINT',
      `${source} is not a .keras file that can be used: ${what}`,
      'Use a file that Keras wrote with model.save; if it was copied or downloaded, download it again.',
      { cause },
    );
  };
  const members = readZip(bytes, fail);
  const member = (name: string): Uint8Array => members.get(name) ?? fail(`it has no ${name}`);
  const metadata = members.has(MEMBERS.metadata) ? (parse(member(MEMBERS.metadata), MEMBERS.metadata, fail) as Config) : {};
  const isOlder = KERAS_2.test(String(metadata.keras_version));
  const read = readModel(parse(member(MEMBERS.config), MEMBERS.config, fail), source, fail, { isOlder });
  const tensors = placed(read, await readHdf5(member(MEMBERS.weights), `${MEMBERS.weights} of ${source}`), fail);
  return trainedModel(read, tensors, source, readCard(JSON.stringify(metadata.hybrid ?? null)));
}

/** A model of a file with its tensors under the names of its own, and what a card says of it. */
function trainedModel(
  { model, notices, bnMomentum, optimizerSettings, optimizerName, otherOptimizer, paths, augment }: KerasModel,
  tensors: ReadonlyMap<string, FileTensor>,
  source: string,
  { classes, license, preprocessing }: ReturnType<typeof readCard>,
): TrainedModel {
  const adopted = adopt(
    model,
    tensors,
    source,
    optimizerSettings && (optimizerSettings.optimizer ?? 'adamw'),
    optimizerName,
    otherOptimizer,
  );
  const renamed = model.layers.flatMap(({ index, path, variables, repeats }) =>
    repeats !== undefined || paths[index] === path ? [] : variables.map(({ name }) => [name, name.replace(path, paths[index])] as const),
  );
  const told = [...notices, ...(adopted.notices ?? [])];
  return {
    ...adopted,
    ...(renamed.length > 0 && { kerasNames: new Map(renamed) }),
    bnMomentum,
    ...(augment !== undefined && { augment }),
    optimizerSettings,
    classes: classes?.length === model.classes ? classes : numberedClasses(model),
    license,
    preprocessing,
    ...(told.length > 0 && { notices: told }),
  };
}

/** The texts and arrays of a whole model in Keras' older form, `model.save('x.h5')`. */
export interface OlderFile {
  readonly tensors: ReadonlyMap<string, FileTensor>;
  /** Those that its attributes have, in any order. */
  readonly texts: readonly string[];
}

/** Where the older form keeps arrays; Keras 2 writes `:0` behind their names. */
const OLDER_WEIGHTS = /^model_weights\/([^/]+)\/(.+)\/([a-z_]+)(?::0)?$/;
/** Variables of the parts of attention, and what it calls these there. */
const ATTENTION = /^(query|key|value|output)_(kernel|bias)$/;
/** What Keras 2 calls some variables of a class. */
const OLDER_ROLES: Readonly<Record<string, string>> = { 'DepthwiseConv2D kernel': 'depthwise_kernel' };

/**
 * A whole model in Keras' older form; null: it is weights alone. Throws E_CHECKPOINT as `readKeras` does. The state of the optimizer is left out.
 */
export function readOlderKeras({ tensors, texts }: OlderFile, source: string): TrainedModel | null {
  const objects = texts.filter((text) => text.startsWith('{"')).flatMap((text): Config[] => [jsonObject(text) ?? []].flat());
  const config = objects.find(({ class_name, config }) => class_name !== undefined && 'layers' in Object(config));
  if (!config) return null;
  const compiled = objects.find(({ optimizer_config }) => optimizer_config !== undefined);
  const fail: Fail = (what, cause) => {
    throw new HybridError('E_CHECKPOINT', `${source} is not a model of Keras' that can be used: ${what}`, 'Save it again, as .keras.', {
      cause,
    });
  };
  const compile_config = compiled && { ...compiled, optimizer: compiled.optimizer_config };
  const read = readModel({ ...config, compile_config }, source, fail, { isOlder: texts.some((text) => KERAS_2.test(text)) });
  const arrays = [...tensors].flatMap(([path, tensor]) => {
    const [, top, within, role] = OLDER_WEIGHTS.exec(path) ?? [];
    return role === undefined ? [] : [{ top, parts: within.split('/').reverse(), role, tensor }];
  });
  const found = new Map<string, FileTensor>();
  for (const { type, index, repeats, variables } of read.model.layers) {
    if (repeats !== undefined) continue;
    const { top, name } = read.names[index];
    for (const variable of variables) {
      const [, projection, own = variable.role] = ATTENTION.exec(variable.role) ?? [];
      const part = projection === 'output' ? 'attention_output' : projection;
      const roles = [own, OLDER_ROLES[`${type} ${variable.role}`]];
      const among = arrays.filter(
        ({ top: at, role, parts }) => at === top && roles.includes(role) && (part === undefined || parts[0] === part),
      );
      // A layer that was called otherwise when it was made keeps that name here.
      const those = among.length > 1 ? among.filter(({ parts }) => parts[part === undefined ? 0 : 1] === name) : among;
      if (those.length !== 1)
        return fail(`${those.length === 0 ? 'there is no' : `there are ${those.length} of`} ${variable.role} of ${name} (${type})`);
      found.set(variable.name, those[0].tensor);
    }
  }
  const hasState = [...tensors.keys()].filter((path) => path.startsWith('optimizer_weights/')).length > 2;
  const notices = hasState
    ? ['The state of the optimizer is left out: the older form of a file keeps it in another way. Training begins with a new one.']
    : [];
  return trainedModel({ ...read, notices: [...read.notices, ...notices] }, found, source, {});
}

function jsonObject(text: string): Config | undefined {
  try {
    return Object(JSON.parse(text)) as Config;
  } catch {
    return undefined;
  }
}

/** The tensors of a file under the names of the model's own: layers of models in models have their place there, and the optimizer its order. */
function placed(
  { model, paths, fileOrder, optimizerSettings, otherOptimizer }: KerasModel,
  tensors: ReadonlyMap<string, FileTensor>,
  fail: Fail,
): Map<string, FileTensor> {
  const names = new Map(model.layers.flatMap(({ index, path }) => [[paths[index], path] as const]));
  const result = new Map<string, FileTensor>();
  for (const [given, tensor] of tensors) {
    const name = kerasName(given);
    const path = layerPathOf(name);
    const own = path === name ? undefined : names.get(path);
    if (own !== undefined) result.set(`${own}${name.slice(path.length)}`, tensor);
    else if (name.startsWith('layers/') && !/seed_generator/.test(name)) fail(`its weights have ${name}, which is of none of its layers`);
  }
  const state = [...tensors].filter(([name]) => name.startsWith('optimizer/'));
  // The state of another optimizer means nothing here: that it was there is told.
  if (!optimizerSettings || otherOptimizer !== undefined || state.length !== optimizerVariables(model, optimizerSettings.optimizer).length)
    return new Map([...result, ...state]);
  const own = keptOf(model, optimizerOf(optimizerSettings.optimizer));
  const ownNames = slotVariables(own.map(({ slots }) => slots));
  const kept = new Map(own.map(({ variable: { name }, slots }, k) => [name, { slots, names: ownNames[k] }]));
  const inFile = fileOrder.flatMap((index) => {
    const { repeats, variables } = model.layers[index];
    return repeats === undefined ? variables.flatMap(({ name }) => kept.get(name) ?? []) : [];
  });
  for (const k of [0, 1])
    if (tensors.has(`optimizer/vars/${k}`)) result.set(`optimizer/vars/${k}`, tensors.get(`optimizer/vars/${k}`) as FileTensor);
  for (const [k, names] of slotVariables(inFile.map(({ slots }) => slots)).entries()) {
    for (const [slot, name] of names.entries()) {
      const tensor = tensors.get(name);
      if (tensor) result.set(inFile[k].names[slot], tensor);
    }
  }
  return result;
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
