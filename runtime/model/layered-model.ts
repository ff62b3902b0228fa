// From tensors to a model: the layers that lead to an output, in the order in which Keras has them. Indices, names in files and the order of
// variables follow from that order alone, so that a file from here finds its places there, and the other way round.

import { HybridError, invariant } from '../base/errors.ts';
import { refuseUnknownOptions } from '../base/kinds.ts';
import { type AnyLayer, type Config, endOf, readConfig, refusal, writeConfig } from '../layers/define-layer.ts';
import { callLayer, input as inputTensor, type LayerCall, type LayerInstance, LayerTensor } from '../layers/functional.ts';
import { LAYERS, type Layer, layerNamed } from '../layers/index.ts';
import { snakeCase } from '../layers/kinds.ts';
import type { Model, ModelConfig, NetworkLayer } from './model.ts';

/** What a network leads from and to. */
export interface FunctionalModelOptions {
  /** For people, and for the checkpoints. */
  readonly name: string;
  /** What `input` returned. */
  readonly input: LayerTensor;
  /** The logits, [classes], or the logit of the second of two, [1]; a softmax or its sigmoid at the very end is left to the loss, and stays with files for Keras. */
  readonly output: LayerTensor;
}

/** A model of the layers that lead from the input to the output. Throws E_USAGE where they do not, or the output is not a vector of logits. */
export function functionalModel(options: FunctionalModelOptions): Model {
  refuseUnknownOptions<FunctionalModelOptions>(options, { name: true, input: true, output: true }, 'functionalModel');
  const { name, input, output } = options;
  const { model } = assemble({ name, input, output });
  return model;
}

/** Layers in a row. */
export interface SequentialModelOptions {
  readonly name: string;
  /** [height, width, channels] of the images. */
  readonly input: readonly [number, number, number];
  /** In order: what functions of `layers` return where they are given no tensor. */
  readonly layers: readonly ((x: LayerTensor) => LayerTensor)[];
}

/** A model of layers one after the other. Throws E_USAGE as `functionalModel` does. */
export function sequentialModel(options: SequentialModelOptions): Model {
  refuseUnknownOptions<SequentialModelOptions>(options, { name: true, input: true, layers: true }, 'sequentialModel');
  const { name, input, layers } = options;
  const images = inputTensor(input);
  return functionalModel({ name, input: images, output: layers.reduce((x, layer) => layer(x), images) });
}

interface Assembled {
  readonly model: Model;
  /** The instance of each layer, by its index. */
  readonly instances: readonly LayerInstance[];
}

/** `functionalModel`, with what the layers came from; `config` in place of the layers' own, for a model that has a name for them. */
export function assemble({ name, input, output, config }: FunctionalModelOptions & { readonly config?: ModelConfig }): Assembled {
  for (const [what, tensor] of Object.entries({ input, output }))
    if (!(tensor instanceof LayerTensor))
      throw new HybridError('E_USAGE', `the ${what} of ${name} is not a tensor`, 'Give what input() and layers return.');
  const { calls, order } = inKerasOrder(output);
  checkEnds(name, input, output, calls);

  const names = namesOf(name, order);
  const indices = new Map(calls.map((call, index) => [call, index]));
  const first = new Map<LayerInstance, number>();
  const layers = calls.map((call, index): Layer => {
    const { definition, config } = call.layer;
    const { name, path } = names.get(call.layer) as { name: string; path: string };
    const inputs = call.inputs.map(({ call }) => indices.get(call) as number);
    const repeats = first.get(call.layer);
    if (repeats === undefined) first.set(call.layer, index);
    const inputShape = call.inputs[0]?.shape ?? [];
    const variables = call.variables.map((variable) => ({ ...variable, name: `${path}${variable.name}` }));
    const place = { index, name, path, inputs, inputShape, outputShape: call.output.shape, variables, flops: call.flops };
    const frozen = call.layer.trainable === false && { trainable: false };
    const mode = call.inference && { inference: call.inference };
    return { type: definition.type, config, ...place, ...frozen, ...mode, ...(repeats !== undefined && { repeats }) } as Layer;
  });
  const variables = order.flatMap((instance) => layers[first.get(instance) as number].variables);
  const instances = calls.map(({ layer }) => layer);
  const shape = input.shape as [number, number, number];
  // One unit is the logit of the second of two classes.
  const classes = Math.max(2, output.shape[0]);
  const model: Model = {
    arch: name,
    layers,
    input: shape,
    classes,
    config: config ?? { arch: name, input: shape, classes, network: networkOf(layers, instances) },
    variables,
  };
  return { model, instances };
}

function checkEnds(name: string, input: LayerTensor, output: LayerTensor, calls: readonly LayerCall[]): void {
  const inputs = calls.filter(({ layer }) => layer.definition.type === 'InputLayer');
  if (inputs.length !== 1 || inputs[0] !== input.call)
    throw new HybridError(
      'E_USAGE',
      inputs.length > 1 ? `${name} has ${inputs.length} inputs` : `the output of ${name} does not depend on its input`,
      'Give one input, from which all that leads to the output is made.',
    );
  if (input.shape.length !== 3)
    throw new HybridError(
      'E_USAGE',
      `the input of ${name} has shape [${input.shape.join(', ')}]`,
      'Give an input of [height, width, channels].',
    );
  const { shape } = output;
  if (shape.length !== 1 || calls.length < 2)
    throw new HybridError(
      'E_USAGE',
      `${name} ends in [${shape.join(', ')}], and a classifier ends in [classes]`,
      'End with a Dense layer that has a unit for each class, or one unit for two classes.',
    );
  const made = shape[0] === 1 ? 'sigmoid' : 'softmax';
  const { definition, config, name: given } = output.call.layer;
  if (shape[0] > 1 && endOf(definition, config) === 'sigmoid')
    refusal(definition, given ?? snakeCase(definition.type))(
      `ends ${name} with a sigmoid for each of ${shape[0]} classes, and of these one is the truth here`,
      'End with a softmax or with logits; a sigmoid can be that of one unit, for two classes.',
    );
  // Behind it only what leaves probabilities as they are: then they would be taken for logits.
  for (let { call } = output; PASSING.has(call.layer.definition.type); { call } = call.inputs[0]) {
    const [before] = call.inputs;
    const { definition, config, name: given } = before.call.layer;
    if (endOf(definition, config) === made)
      refusal(definition, given ?? snakeCase(definition.type))(
        `computes probabilities, and ${name} has further layers after it`,
        `Give the last layer the ${made}.`,
      );
  }
}

/** Layers that compute nothing. */
const PASSING = new Set<string>(['Flatten', 'Reshape', 'Dropout', 'Permute']);

/** Names and paths of layers: a class is numbered in Keras' order, and a name that its author gave is kept. */
function namesOf(model: string, order: readonly LayerInstance[]): Map<LayerInstance, { readonly name: string; readonly path: string }> {
  const given = new Set<string>();
  for (const { name } of order) {
    if (name === undefined) continue;
    if (given.has(name))
      throw new HybridError('E_USAGE', `two layers of ${model} are called ${name}`, 'Give each layer its own name, or none.');
    given.add(name);
  }
  const counts = new Map<string, number>();
  const numbered = (base: string): string => {
    const earlier = counts.get(base) ?? 0;
    counts.set(base, earlier + 1);
    return earlier ? `${base}_${earlier}` : base;
  };
  return new Map(
    order.map((instance) => {
      const own = numbered(snakeCase(instance.definition.type));
      let name = instance.name ?? own;
      for (let k = 1; instance.name === undefined && given.has(name); k++) name = `${own}~${k}`;
      given.add(name);
      return [instance, { name, path: `layers/${own}` }];
    }),
  );
}

/**
 * The calls that lead to `output`, each after those it reads, and the layers in Keras' order: by their distance from the output, the farthest
 * first, and by the order in which a search from the output meets them (`map_graph` of keras.src.ops.function).
 */
function inKerasOrder(output: LayerTensor): { readonly calls: LayerCall[]; readonly order: LayerInstance[] } {
  const met = new Map<LayerInstance, number>();
  const finished = new Set<LayerCall>();
  // Depth first, with a stack of its own: networks are deeper than a program's stack may be.
  const path: { readonly call: LayerCall; next: number }[] = [];
  const enter = (call: LayerCall): void => {
    if (!met.has(call.layer)) met.set(call.layer, met.size);
    path.push({ call, next: 0 });
  };
  enter(output.call);
  while (path.length > 0) {
    const at = path[path.length - 1];
    const input = at.call.inputs[at.next++];
    if (!input) finished.add((path.pop() as typeof at).call);
    else if (!finished.has(input.call)) enter(input.call);
  }

  const depths = new Map<LayerCall, number>();
  const layerDepths = new Map<LayerInstance, number>();
  for (const call of [...finished].reverse()) {
    const depth = Math.max(depths.get(call) ?? 0, layerDepths.get(call.layer) ?? 0);
    layerDepths.set(call.layer, depth);
    depths.set(call, depth);
    for (const { call: before } of call.inputs) depths.set(before, Math.max(depths.get(before) ?? 0, depth + 1));
  }
  const depthOf = (call: LayerCall) => depths.get(call) as number;
  const metAt = (layer: LayerInstance) => met.get(layer) as number;
  const order = [...layerDepths.keys()].sort(
    (a, b) => (layerDepths.get(b) as number) - (layerDepths.get(a) as number) || metAt(a) - metAt(b),
  );
  const calls = [...finished].sort((a, b) => depthOf(b) - depthOf(a) || metAt(a.layer) - metAt(b.layer));
  invariant(calls.length === depths.size, 'a layer reads what does not lead to the output');
  return { calls, order };
}

/** From which `readNetwork` makes the layers again. What is at its default is left out. */
const networkOf = (layers: readonly Layer[], instances: readonly LayerInstance[]): NetworkLayer[] =>
  layers.map(({ type, inputs, repeats, inference }, index) => {
    const mode = inference && { inference };
    if (repeats !== undefined) return { repeats, inputs, ...mode };
    const { name, definition, config, trainable } = instances[index];
    return {
      type,
      name,
      config: writeConfig(definition, config, { compact: true }),
      ...(trainable === false && { trainable }),
      inputs,
      ...mode,
    };
  });

/** The model of a network that was kept as JSON. Throws E_USAGE where it is none. */
export function readNetwork(name: string, network: readonly NetworkLayer[]): Model {
  const tensors: LayerTensor[] = [];
  for (const at of network) {
    const tensorOf = (index: number): LayerTensor => tensors[index] ?? broken(name, `layer ${tensors.length} reads layer ${index}`);
    const layer = 'repeats' in at ? tensorOf(at.repeats).call.layer : instanceOf(at.type, at.config, at.name, at.trainable);
    tensors.push(callLayer(layer, at.inputs.map(tensorOf), { inference: at.inference === true }));
  }
  const [input] = tensors;
  return functionalModel({ name, input: input ?? broken(name, 'it has no layers'), output: tensors[tensors.length - 1] });
}

/** A layer of Keras' configuration. Throws E_USAGE with the name of the layer. */
export function instanceOf(type: string, config: Config, name?: string, trainable?: boolean): LayerInstance {
  const definition = layerNamed(type);
  if (!definition)
    return refusal({ type } as AnyLayer, name ?? snakeCase(type))(
      'is of an unsupported class',
      `Known are ${Object.keys(LAYERS).join(', ')}.`,
    );
  return { definition, config: readConfig(definition, config, refusal(definition, name ?? snakeCase(type))), name, trainable, calls: [] };
}

function broken(name: string, what: string): never {
  throw new HybridError('E_USAGE', `${name} is not a network: ${what}`, 'Build it with input() and layers.');
}
