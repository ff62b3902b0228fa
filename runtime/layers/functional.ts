// Networks as they are written in Keras' functional way: a function for every layer takes tensors and gives a tensor. Nothing is computed;
// shapes are inferred and checked at each call, and functional-model.ts makes a model of what leads to an output.

import { HybridError, invariant } from '../base/errors.ts';
import { own } from '../base/own.ts';
import { costOf } from '../ir/define-op.ts';
import type { TensorSpec } from '../ir/graph.ts';
import { formatShape } from '../ir/graph.ts';
import { opTable } from '../ops/index.ts';
import { type AnyLayer, buildLayer, type Config, configOf, refusal, variableNames } from './define-layer.ts';
import { LAYERS, type LayerOptions, type LayerType } from './index.ts';
import { snakeCase } from './kinds.ts';
import { graphShape, type Shape, type VariableInfo, type VariableRole } from './layer.ts';
import { LayerBuilder } from './layer-builder.ts';

/** What flows between layers: the result of a call of a layer. */
export class LayerTensor {
  /** Shape of one sample. */
  readonly shape: Shape;
  /** Bytes are images as they come. */
  readonly dtype: TensorSpec['dtype'];
  readonly call: LayerCall;

  constructor({ shape, dtype }: Pick<TensorSpec, 'shape' | 'dtype'>, call: LayerCall) {
    this.shape = shape;
    this.dtype = dtype;
    this.call = call;
  }
}

/** A layer with its settings, before it has a place in a model. Called more than once, it has the same weights each time. */
export interface LayerInstance {
  readonly definition: AnyLayer;
  readonly config: Config;
  /** As its author calls it. */
  readonly name?: string;
  /** False: training leaves it as it is. */
  readonly trainable?: boolean;
  /** In the order in which they were made. */
  readonly calls: LayerCall[];
}

/** A layer at work: what it reads, and what follows from that. */
export interface LayerCall {
  readonly layer: LayerInstance;
  readonly inputs: readonly LayerTensor[];
  readonly output: LayerTensor;
  /** Names begin with `/` until the layer has a place. */
  readonly variables: readonly VariableInfo[];
  readonly flops: number;
  /** As in `Place`. */
  readonly inference?: true;
}

/**
 * Calls a layer. Throws E_USAGE where it cannot read these tensors.
 * @param mode `inference`: in training too, of a layer to which that makes a difference.
 */
export function callLayer(
  layer: LayerInstance,
  given: LayerTensor | readonly LayerTensor[],
  mode?: { readonly inference: boolean },
): LayerTensor {
  const { definition, config } = layer;
  const name = layer.name ?? snakeCase(definition.type);
  const refuse = refusal(definition, name);
  const inputs = given instanceof LayerTensor ? [given] : [...given];
  const { reads } = definition;
  if (reads === 'list' ? inputs.length < 2 : inputs.length !== (reads === 'nothing' ? 0 : 1))
    refuse(
      `reads ${reads === 'list' ? 'two tensors or more' : 'one tensor'}, but was given ${inputs.length}`,
      'Give what other layers return.',
    );
  for (const input of inputs)
    if (!(input instanceof LayerTensor)) refuse('was given something else than a tensor', 'Give what other layers return.');

  const g = new LayerBuilder(name, 'inference');
  const operands = inputs.map(({ shape, dtype }, i) => g.input(`input ${i}`, { shape, dtype, perSample: true }));
  const shapes = inputs.map(({ shape }) => shape);
  const specs = definition.variables?.(config, shapes) ?? {};
  const names = variableNames('', Object.values(specs));
  const variables = Object.entries(specs).map(([role, { shape, initializer, kind = 'parameter', flat }], k): VariableInfo => {
    if (!shape.every((n) => Number.isInteger(n) && n > 0))
      refuse(
        `would have a ${role} of shape [${shape.join(', ')}] for an input of [${shapes[0]?.join(', ')}]`,
        'Give settings that divide its channels.',
      );
    return { name: names[k], shape, kind, role: role as VariableRole, initializer, ...(flat && { flat }) };
  });
  const [first] = layer.calls;
  if (first && shapesOf(first.variables) !== shapesOf(variables))
    refuse(
      `has weights for an input of [${first.inputs[0].shape.join(', ')}] and cannot read [${shapes[0].join(', ')}]`,
      'Give it inputs of one size, or use a second layer.',
    );
  const vars = Object.fromEntries(variables.map((one) => [one.role, g.state(one.role, graphShape(one), one.kind)])) as Record<
    VariableRole,
    number
  >;
  const result = g.spec(buildLayer(g, definition, { config, name, path: name, inputs: operands, vars }));
  invariant(result.perSample, `${name} makes ${formatShape(result)}`);

  const flops = g.nodes.reduce(
    (total, node) => total + (opTable[node.op].traits?.counts ? costOf(opTable[node.op], node, (id) => g.spec(id), 1).flops : 0),
    0,
  );
  const call: LayerCall = {
    layer,
    inputs,
    variables,
    flops,
    ...(mode?.inference && (definition.hasMode || definition.draws?.(config)) && { inference: true as const }),
    get output() {
      return output;
    },
  };
  const output = new LayerTensor(result, call);
  layer.calls.push(call);
  return output;
}

const shapesOf = (variables: readonly VariableInfo[]): string => variables.map(({ role, shape }) => `${role} ${shape}`).join('; ');

/** A layer with these settings. Throws E_USAGE for settings that it does not have. */
export function layerOf(definition: AnyLayer, given: Named & Readonly<Record<string, unknown>> = {}): LayerInstance {
  const { name, trainable, ...options } = own(given);
  const refuse = refusal(definition, name ?? snakeCase(definition.type));
  if (trainable !== undefined && typeof trainable !== 'boolean')
    refuse('has trainable that is neither true nor false', 'Give one of them.');
  return { definition, config: configOf(definition, options, refuse), name, trainable, calls: [] };
}

type Named = {
  /** Name of the layer in tables and files; by default its class with a number. */
  readonly name?: string;
  /** False: training leaves the layer as it is, and batch normalisation is in inference mode. True by default. */
  readonly trainable?: boolean;
};
type Reads<T extends LayerType> = 'list' extends (typeof LAYERS)[T]['reads'] ? readonly LayerTensor[] : LayerTensor;

/**
 * A function of a layer: `conv2d(x, options)` is a new layer that reads x; `conv2d(options)` is a layer to be called, each time with the same
 * weights. Throws E_USAGE where the settings are wrong or do not go with the shape of x.
 */
export type LayerFunction<T extends LayerType> =
  Record<never, never> extends LayerOptions<T>
    ? {
        (x: Reads<T>, options?: LayerOptions<T> & Named): LayerTensor;
        (options?: LayerOptions<T> & Named): (x: Reads<T>) => LayerTensor;
      }
    : {
        (x: Reads<T>, options: LayerOptions<T> & Named): LayerTensor;
        (options: LayerOptions<T> & Named): (x: Reads<T>) => LayerTensor;
      };

/** `Conv2D` → `conv2d`, `MaxPooling2D` → `maxPooling2d`, `ReLU` → `relu`. */
type FunctionName<T extends string> = T extends 'ReLU' | 'ELU' | 'PReLU'
  ? Lowercase<T>
  : T extends `${infer Name}${1 | 2}D${infer _Rest}`
    ? `${Uncapitalize<Name>}${T extends `${string}1D${string}` ? '1d' : '2d'}${T extends `${string}${1 | 2}D${infer Rest}` ? Rest : ''}`
    : Uncapitalize<T>;
const functionName = (type: string): string =>
  /^(P?Re|E)LU$/.test(type) ? type.toLowerCase() : type[0].toLowerCase() + type.slice(1).replace(/([12])D/, '$1d');

type Layers = { readonly [T in Exclude<LayerType, 'InputLayer'> as FunctionName<T>]: LayerFunction<T> };

const functionOf =
  (definition: AnyLayer) =>
  (first: unknown = {}, options?: object) => {
    if (first instanceof LayerTensor || Array.isArray(first)) return callLayer(layerOf(definition, { ...options }), first);
    if (typeof first !== 'object' || first === null || options !== undefined)
      refusal(definition, snakeCase(definition.type))('was given something else than a tensor', 'Give what other layers return.');
    const layer = layerOf(definition, { ...(first as object) });
    return Object.assign((x: LayerTensor | readonly LayerTensor[]) => callLayer(layer, x), { layer });
  };

/** A function for every layer: `layers.conv2d(x, { filters: 32, kernelSize: 3 })`. */
export const layers = Object.fromEntries(
  Object.entries(LAYERS).map(([type, definition]) => [functionName(type), functionOf(definition)]),
) as unknown as Layers;

/** The images: bytes, [height, width, channels]. */
export function input(shape: readonly [number, number, number], given: Named = {}): LayerTensor {
  const { name } = own(given);
  if (!Array.isArray(shape) || shape.length !== 3 || !shape.every((n) => Number.isSafeInteger(n) && n > 0))
    throw new HybridError(
      'E_USAGE',
      `the input has shape [${shape}]`,
      'Give height, width and channels of the images: three whole numbers from 1 on.',
    );
  return callLayer(layerOf(LAYERS.InputLayer, { name, shape: [...shape] }), []);
}
