// What a layer is: one definition says its class and settings in Keras' words, its variables and how it becomes ops. Output shapes, costs,
// Keras' configuration both ways, comparison and the functions of layers.ts follow from it.

import { HybridError, nearest } from '../base/errors.ts';
import { own } from '../base/own.ts';
import type { ValueId } from '../ir/graph.ts';
import type { Initializer } from './initializers.ts';
import { type AnyKind, type ConfigOf, type Schema, snakeCase } from './kinds.ts';
import type { Shape, VariableInfo, VariableRole } from './layer.ts';
import type { LayerBuilder } from './layer-builder.ts';

/** A variable, by its role in `variables` of a definition. */
export interface VariableSpec {
  readonly shape: Shape;
  readonly initializer: Initializer;
  /** `parameter` where nothing is said. */
  readonly kind?: VariableInfo['kind'];
  /** As in `VariableInfo`. */
  readonly flat?: true | Shape;
  /** The part of the layer that it belongs to in Keras' files: its number counts within that. */
  readonly within?: string;
}

/** Where a layer is built: its settings, its operands, and the graph that takes its ops. */
export interface Site<C> {
  readonly g: LayerBuilder;
  readonly config: C;
  /** What it reads, floats. Of the first: its id and shape. */
  readonly inputs: readonly ValueId[];
  readonly x: ValueId;
  readonly shape: Shape;
  readonly vars: Readonly<Record<VariableRole, ValueId>>;
  /** Label of its nodes, prefix of its variables. */
  readonly path: string;
  /** Throws E_USAGE with the name and class of the layer before `what`. */
  refuse(what: string, remedy: string): never;
}

export interface LayerDefinition<T extends string = string, S extends Schema = Schema> {
  /** Keras' name of the class. */
  readonly type: T;
  /** Where Keras has it, if not in keras.layers. */
  readonly module?: string;
  readonly config: S;
  /** One tensor where nothing is said. `list`: two or more in one list. `bytes`: the image as it is. */
  readonly reads?: 'nothing' | 'bytes' | 'list';
  /** In Keras' order: the k-th is `<path>/vars/<k>`. */
  variables?(config: ConfigOf<S>, shapes: readonly Shape[]): Partial<Record<VariableRole, VariableSpec>>;
  /** Adds its ops and returns what it computes; the shape of the layer's output is the shape of that. */
  build(site: Site<ConfigOf<S>>): ValueId;
  /** Keras' call takes the one tensor twice, as attention does: as what asks, and as what is asked. */
  readonly takesTwice?: true;
  /** Keras' call says whether it is for training, of layers that draw nothing as well. */
  readonly hasMode?: true;
  /** Whether it draws random numbers in training. */
  draws?(config: ConfigOf<S>): boolean;
  /** Keys of Keras' configuration that say nothing where the other settings are what can be read. */
  readonly ignoredKeys?: readonly string[];
  /** Of keys that are no settings here: the value that asks for nothing, where that is neither null nor false. */
  readonly neutral?: Config;
  /** Settings as those of an equal layer, where two ways to say it compute the same. */
  reduced?(config: ConfigOf<S>): object;
}

// biome-ignore lint/suspicious/noExplicitAny: a definition of any settings
export type AnyLayer = LayerDefinition<string, any>;

export const defineLayer = <const T extends string, const S extends Schema, const R extends AnyLayer['reads'] = undefined>(
  definition: LayerDefinition<T, S> & { readonly reads?: R },
): LayerDefinition<T, S> & { readonly reads?: R } => definition;

/** Settings of any layer. */
export type Config = Readonly<Record<string, unknown>>;

type Refuse = (what: string, remedy: string) => never;

/** The settings of a layer from the options that a program gives. Throws E_USAGE. */
export function configOf(definition: AnyLayer, options: object, refuse: Refuse): Config {
  const given = own(options) as Config;
  const schema = definition.config as Schema;
  const names = Object.keys(schema).filter((name) => schema[name].part !== 'fixed');
  for (const name of Object.keys(given)) {
    if (names.includes(name) || given[name] === undefined) continue;
    const near = nearest(name, names);
    refuse(`has no setting ${name}${near ? `; did you mean ${near}?` : ''}`, `Its settings: ${names.join(', ') || 'none'}.`);
  }
  return complete(
    schema,
    (name) => given[name],
    (name, kind, value) =>
      value === undefined
        ? refuse(`needs ${name}`, `Give ${kind.expected}.`)
        : refuse(`has ${name} ${shown(value)}`, `Give ${kind.expected}.`),
  );
}

/** What a layer ends with: its activation, or the one that it is. */
export const endOf = ({ type }: Pick<AnyLayer, 'type'>, { activation }: Config): unknown => (type === 'Softmax' ? 'softmax' : activation);

/** Names of the variables of a layer that is at `path`, in order: `<path>/vars/<k>`, or `<path>/<part>/vars/<k>`. */
export function variableNames(path: string, specs: readonly Pick<VariableSpec, 'within'>[]): string[] {
  const counts = new Map<string, number>();
  return specs.map(({ within }) => {
    const at = within === undefined ? path : `${path}/${within}`;
    const k = counts.get(at) ?? 0;
    counts.set(at, k + 1);
    return `${at}/vars/${k}`;
  });
}

/** Keys of Keras' configurations that are about no setting of ours: they are read elsewhere, or mean nothing here. */
const COMMON_KEYS = new Set(['name', 'trainable', 'dtype', 'batch_input_shape', 'input_dtype', 'optional', 'seed']);

/** The settings of a layer from a configuration of Keras'. */
export function readConfig(definition: AnyLayer, said: Config, refuse: Refuse): Config {
  const given = own(said);
  const schema = definition.config as Schema;
  const keys = new Map(Object.entries(schema).flatMap(([name, kind]) => keysOf(name, kind).map((key) => [key, name] as const)));
  for (const [key, value] of Object.entries(given)) {
    // What is off or absent asks for nothing.
    if (value === null || value === false || value === definition.neutral?.[key]) continue;
    if (keys.has(key) || COMMON_KEYS.has(key) || definition.ignoredKeys?.includes(key)) continue;
    refuse(`has ${key} ${shown(value)}, which is not supported`, `Save the model without ${key}.`);
  }
  const found = (name: string, kind: AnyKind) => given[keysOf(name, kind).find((key) => given[key] !== undefined) ?? ''];
  return complete(schema, found, (name, kind, value) => {
    const key = keysOf(name, kind)[0];
    return value === undefined || value === null
      ? refuse(`has no ${key}`, `${definition.type} is read with ${key}: ${kind.expected}.`)
      : refuse(`has ${key} ${shown(value)}, and only ${kind.expected} is read`, `Build the model with ${key}: ${kind.expected}.`);
  });
}

/** The configuration of Keras' for these settings; `compact`: for this program, without what is at its default. */
export function writeConfig(definition: AnyLayer, config: Config, { compact = false } = {}): Config {
  const entries = Object.entries(definition.config as Schema).flatMap(([name, kind]) => {
    const value = kind.part === 'fixed' ? kind.fallback?.({}) : config[name];
    if (compact && kind.fallback && JSON.stringify(kind.fallback(config)) === JSON.stringify(value)) return [];
    const write = (!compact && kind.foreign) || kind.write;
    return [[keysOf(name, kind)[0], write ? write(value) : value]];
  });
  return Object.fromEntries(entries);
}

/** What results in inference depend on, of the settings: equal text, equal results. */
export function comparable(definition: AnyLayer, config: Config): string {
  const reduced = (definition.reduced?.(config) ?? config) as Config;
  const entries = Object.entries(definition.config as Schema).flatMap(([name, kind]) =>
    kind.part ? [] : [[name, kind.reduced ? kind.reduced(reduced[name]) : reduced[name]]],
  );
  return JSON.stringify([definition.type, ...entries]);
}

/** Keras' keys of a setting: the one that is written, then others that are read. */
export const keysOf = (name: string, { key = snakeCase(name), earlierKeys = [] }: AnyKind): string[] => [key, ...earlierKeys];

function complete(
  schema: Schema,
  given: (name: string, kind: AnyKind) => unknown,
  refuse: (name: string, kind: AnyKind, value: unknown) => never,
): Record<string, unknown> {
  const config: Record<string, unknown> = {};
  for (const [name, kind] of Object.entries(schema)) {
    const found = given(name, kind);
    const absent = found === undefined || found === null;
    const read = found === undefined ? undefined : kind.read(found);
    const value = read === undefined && absent && kind.fallback ? kind.fallback(config) : read;
    if (value === undefined) refuse(name, kind, found);
    if (kind.part !== 'fixed') config[name] = value;
  }
  return config;
}

/** A value in a message: short, whatever it is. */
const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
};

/** Refuses any axis but the last: channels are last here. */
export function alongLast({ config, shape, refuse }: Site<{ readonly axis: number }>): void {
  if (config.axis !== -1 && config.axis !== shape.length)
    refuse(`works along axis ${config.axis} of [${shape.join(', ')}]`, 'Give -1, the last axis: that of the channels.');
}

/** Adds a layer to a graph; what is wrong is told with the layer's name. */
export function buildLayer(
  g: LayerBuilder,
  definition: AnyLayer,
  { config, name, path, inputs, vars }: Pick<Site<Config>, 'config' | 'path' | 'inputs' | 'vars'> & { readonly name: string },
): ValueId {
  const operands = definition.reads === 'bytes' ? inputs : inputs.map((id) => g.floats(id));
  const shape = operands.length > 0 ? g.spec(operands[0]).shape : [];
  const refuse = refusal(definition, name);
  try {
    return definition.build({ g, config, inputs: operands, x: operands[0], shape, vars, path, refuse });
  } catch (error) {
    if (!(error instanceof HybridError) || error.code !== 'E_USAGE' || REFUSED.has(error)) throw error;
    return refuse(`cannot be built: ${error.message}`, error.remedy, error);
  }
}

/** Errors that name their layer already. */
const REFUSED = new WeakSet<Error>();

/** Refusals that begin with the name of the layer. */
export const refusal =
  ({ type }: AnyLayer, name: string) =>
  (what: string, remedy: string, cause?: unknown): never => {
    const error = new HybridError('E_USAGE', `${name} (${type}) ${what}`, remedy, { cause });
    REFUSED.add(error);
    throw error;
  };
