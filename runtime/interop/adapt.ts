// A trained model for other images: its layers for their size and classes, with the weights that fit, and the rest begun anew.

import { HybridError } from '../base/errors.ts';
import { type OptionNames, refuseUnknownOptions } from '../base/kinds.ts';
import { matchClasses } from '../data/classes.ts';
import type { Layer } from '../layers/index.ts';
import { type Shape, sizeOf } from '../layers/layer.ts';
import { buildModel } from '../model/architectures.ts';
import { initialize } from '../model/init.ts';
import { readNetwork } from '../model/layered-model.ts';
import type { Model, NetworkLayer } from '../model/model.ts';
import type { TrainedModel } from './trained-model.ts';

/** What a model is brought to. */
export interface AdaptOptions {
  /** Names of the classes, in the order of their labels. */
  readonly classes: readonly string[];
  /** [height, width, channels] of the images; as before by default. */
  readonly input?: Model['input'];
  /** Seed of the randomly initialised layers; 0 by default. */
  readonly seed?: bigint;
}

/** A model for other images, and what became of its weights. */
export interface AdaptedModel {
  readonly model: Model;
  /** All of them, for `train`. */
  readonly weights: ReadonlyMap<string, Float32Array>;
  /** Names of the layers whose weights were taken, and of those that begin anew. */
  readonly taken: readonly string[];
  readonly anew: readonly string[];
  /** Whether the last layer with weights begins anew. */
  readonly newHead: boolean;
  /** What was taken and what was not, in a sentence. */
  readonly summary: string;
}

const OPTIONS: OptionNames<AdaptOptions> = { classes: true, input: true, seed: true };

/**
 * A trained model for images of other classes, or another size: layers as they are but for the last one with weights, which has a unit for each
 * class; weights that fit by name and shape. The head is kept, its classes in the order of the names, where all of these are the same; else its
 * kernel begins at zero, so that all classes are equally probable.
 *
 * @throws HybridError E_USAGE where the layers cannot take such images, E_CHECKPOINT where no weights fit.
 *
 * @category Models
 */
export function adaptModel(trained: TrainedModel, options: AdaptOptions): AdaptedModel {
  refuseUnknownOptions(options, OPTIONS, 'adaptModel');
  const { classes, input = trained.model.input, seed = 0n } = options;
  const model = modelLike(trained.model, input, classes.length);
  return fitWeights({ ...trained, name: trained.model.arch }, model, { classes, seed });
}

/** Weights from somewhere: those of a trained model, or of a file that says less. */
export interface WeightsToFit {
  /** Whose they are, for messages. */
  readonly name: string;
  readonly weights: ReadonlyMap<string, Float32Array>;
  /** Absent: the shapes are not known, and sizes have to do. */
  readonly model?: Pick<Model, 'variables'>;
  readonly shapes?: ReadonlyMap<string, Shape>;
  /** In the order of the logits; absent, or without names: what there is of them is not known. */
  readonly classes?: readonly string[];
}

/** The weights that fit a model by name and shape, and initial ones for the rest. Throws E_CHECKPOINT where none fit. */
export function fitWeights(
  { name, weights, model: theirs, shapes, classes: before = [] }: WeightsToFit,
  model: Model,
  { classes, seed = 0n }: { readonly classes: readonly string[]; readonly seed?: bigint },
): AdaptedModel {
  const shapeOf = new Map([...(shapes ?? []), ...(theirs?.variables ?? []).map(({ name, shape }) => [name, shape] as const)]);
  const fits = ({ name, shape }: Model['variables'][number]): boolean =>
    weights.get(name)?.length === sizeOf(shape) && `${shapeOf.get(name) ?? shape}` === `${shape}`;
  const layers = model.layers.filter(({ variables, repeats }) => variables.length > 0 && repeats === undefined);
  const head = layers[layers.length - 1];
  const order = orderOf(before, classes);
  const takes = (layer: Layer): boolean => layer.variables.every(fits) && (layer !== head || order !== undefined);
  const taken = layers.filter(takes);
  if (!taken.some(({ variables }) => variables.some(({ shape }) => shape.length > 1))) {
    throw new HybridError(
      'E_CHECKPOINT',
      `no weights of ${name} fit ${model.arch}: no layer has the same name and shape`,
      'Train the architecture of the weights: omit `arch` and its measures.',
      { field: 'init' },
    );
  }
  const names = new Set(taken.flatMap(({ variables }) => variables.map(({ name }) => name)));
  const initial = initialize(model, seed);
  // A head that begins anew says nothing: features of a trained network are large, and random logits of them take hundreds of steps to unlearn.
  const silent = new Set(takes(head) ? [] : head.variables.filter(({ shape }) => shape.length > 1).map(({ name }) => name));
  const fitted = model.variables.map(({ name, shape }): [string, Float32Array] => {
    const values = weights.get(name);
    if (values && names.has(name)) return [name, values];
    return [name, silent.has(name) ? new Float32Array(sizeOf(shape)) : (initial.get(name) as Float32Array)];
  });
  // What the head knows of a class stands where its name does.
  const moved =
    order && Array.from(order).some((from, to) => from !== to)
      ? fitted.map(([name, values]): [string, Float32Array] => [
          name,
          taken.includes(head) && head.variables.some((variable) => variable.name === name)
            ? inOrder(values, order, shapeOf.get(name)?.at(-1))
            : values,
        ])
      : fitted;
  const anew = layers.filter((layer) => !taken.includes(layer));
  return {
    model,
    weights: new Map(moved),
    taken: taken.map(({ name }) => name),
    anew: anew.map(({ name }) => name),
    newHead: anew.includes(head),
    summary: summaryOf(name, taken.length, anew, head, before.length, classes.length),
  };
}

/** For each class the one of that name before, as in `matchClasses`; undefined where they are others, or cannot be told apart. */
function orderOf(before: readonly string[], now: readonly string[]): ArrayLike<number> | undefined {
  if (before.length === 0) return now.map((_, label) => label);
  if (before.length !== now.length) return undefined;
  try {
    return matchClasses({ name: 'the model', classes: before }, { name: 'the data', classes: now });
  } catch (error) {
    if (error instanceof HybridError && error.code === 'E_DATA') return undefined;
    throw error;
  }
}

/** The last axis is that of the classes; one unit is the logit of the second of two, and changes its sign where they change places. */
function inOrder(values: Float32Array, order: ArrayLike<number>, units: number | undefined): Float32Array {
  if (units === 1) return values.map((value) => -value);
  const classes = order.length;
  return values.map((_, i) => values[i - (i % classes) + order[i % classes]]);
}

const MOST_NAMED = 3;

function summaryOf(name: string, taken: number, anew: readonly Layer[], head: Layer, before: number, now: number): string {
  const all = taken + anew.length;
  if (anew.length === 0) return `weights of ${name}: all ${all} layers are loaded`;
  const named = anew.slice(0, MOST_NAMED).map((layer) => {
    if (layer !== head || before === 0) return layer.name;
    return `${layer.name} (${before === now ? 'other classes' : `${before} classes before, ${now} now`})`;
  });
  const rest = anew.length > MOST_NAMED ? ` and ${anew.length - MOST_NAMED} more` : '';
  return `weights of ${name}: ${taken} of ${all} layers are loaded; initialised randomly: ${named.join(', ')}${rest}`;
}

/** The same layers for images of another size, and another number of classes. Throws E_USAGE. */
export function modelLike(model: Model, input: Model['input'], classes: number): Model {
  const { config, layers } = model;
  if (`${input}` === `${model.input}` && classes === model.classes) return model;
  if (!config.network) return buildModel(config.arch, { ...config, input, classes });
  const head = layers.findLast(({ variables }) => variables.length > 0);
  const units = head?.type === 'Dense' ? 'units' : head?.type === 'Conv2D' ? 'filters' : undefined;
  if (!head || units === undefined || head.repeats !== undefined) {
    throw new HybridError(
      'E_USAGE',
      `${model.arch} ends in ${head ? `${head.name} (${head.type})` : 'no layer with weights'}, which cannot be made for other classes`,
      'Use a network whose last layer with weights is Dense or Conv2D.',
    );
  }
  const isOneUnit = layers[layers.length - 1].outputShape[0] === 1 && classes === 2;
  const network = config.network.map((layer, index): NetworkLayer => {
    if ('repeats' in layer) return layer;
    if (layer.type === 'InputLayer') return { ...layer, config: { ...layer.config, batch_shape: [null, ...input] } };
    if (isOneUnit) return layer;
    const changed = index === head.index ? { ...layer, config: { ...layer.config, [units]: classes } } : layer;
    // One unit with a sigmoid becomes one for each class with a softmax.
    const isEnd = index === layers.length - 1 && changed.config.activation === 'sigmoid';
    return isEnd ? { ...changed, config: { ...changed.config, activation: 'softmax' } } : changed;
  });
  return readNetwork(model.arch, network);
}

/** What a file says of single layers, and a setting of a run says of all. */
export interface SaidOfAll {
  readonly momentum?: boolean;
  readonly trainable?: boolean;
}

/** A network whose layers say nothing of their own of what is true in `said`. */
export function withoutOwn(model: Model, { momentum, trainable }: SaidOfAll): Model {
  const { network } = model.config;
  if (!network || (!momentum && !trainable)) return model;
  const changed = network.map((layer): NetworkLayer => {
    if ('repeats' in layer) return layer;
    const { trainable: own, ...rest } = layer;
    const { momentum: _, ...config } = layer.config;
    return {
      ...rest,
      config: momentum && layer.type === 'BatchNormalization' ? config : layer.config,
      ...(!trainable && own === false && { trainable: own }),
    };
  });
  return JSON.stringify(changed) === JSON.stringify(network) ? model : readNetwork(model.arch, changed);
}
