// What a model is: variables, and either a checked list of layers (`buildModel`, architectures.ts) or a forward pass of its
// author's own (`graphModel`, graph-model.ts).

import type { Graph } from '../ir/graph.ts';
import type { Config } from '../layers/define-layer.ts';
import type { Layer } from '../layers/index.ts';
import { isMeasured } from '../layers/initializers.ts';
import { layerPathOf, type VariableInfo } from '../layers/layer.ts';
import type { FrozenLayers } from '../layers/layer-builder.ts';
import type { WithLoss } from './graph-parts.ts';

/** Plain JSON from which the same model can be made again: `buildModel(config.arch, config)`, or of its layers where it has a `network`. */
export interface ModelConfig {
  /** Name of the architecture: one of `ARCHITECTURES` (architectures.ts), or what a network of one's own is called. */
  readonly arch: string;
  /** [height, width, channels] of the images. */
  readonly input: readonly [number, number, number];
  readonly classes: number;
  /** Rate of the dropout before the head of an architecture. */
  readonly dropout?: number;
  /** The layers, where they are those of no architecture. */
  readonly network?: readonly NetworkLayer[];
  /** Factor on the channels of a named architecture. */
  readonly width?: number;
  /** Measures of `convmixer` only. */
  readonly dim?: number;
  readonly depth?: number;
  readonly kernel?: number;
  readonly patch?: number;
  /** Where it is not GELU. */
  readonly activation?: 'gelu' | 'relu';
  /** Epsilon of its batch normalisation, if not 0.001. */
  readonly epsilon?: number;
}

/** A call of a layer as plain JSON: a class with its settings as in Keras' configuration, or a further call of an earlier layer. */
export type NetworkLayer = {
  /** Indices of the calls it reads. */
  readonly inputs: readonly number[];
  /** The call is in inference mode in training too. */
  readonly inference?: boolean;
} & (
  | { readonly type: string; readonly name?: string; readonly config: Config; readonly trainable?: boolean }
  | { readonly repeats: number }
);

/** What all models have. */
interface ModelCore {
  /** Its name. */
  readonly arch: string;
  /** [height, width, channels] of the images. */
  readonly input: readonly [number, number, number];
  readonly classes: number;
  /** In order; of a list of layers each in the order of its `vars`: Keras' `get_weights()`. */
  readonly variables: readonly VariableInfo[];
}

/**
 * A model made of layers.
 *
 * @category Models
 */
export interface Model extends ModelCore {
  readonly layers: readonly Layer[];
  readonly config: ModelConfig;
}

/** A model that is a graph. */
export interface GraphModel extends ModelCore {
  /** Its forward graph, as `buildForward` (build-graph.ts) describes that of a model made of layers. */
  forward(mode: 'train' | 'inference', options: { readonly loss: WithLoss; readonly frozen?: FrozenLayers }): Graph;
}

/**
 * What can be trained, evaluated and asked for predictions.
 *
 * @category Models
 */
export type TrainableModel = Model | GraphModel;

/** Layers that training leaves as they are, by their paths. */
export const untrainablePaths = (model: TrainableModel): ReadonlySet<string> =>
  new Set('layers' in model ? model.layers.filter(({ trainable }) => trainable === false).map(({ path }) => path) : []);

/** Names of the kernels of products and convolutions: all parameters but biases and what normalisation has. */
export const kernelsOf = ({ variables }: TrainableModel): ReadonlySet<string> =>
  new Set(variables.filter(({ role }) => /kernel$/.test(role)).map(({ name }) => name));

/** Whether training leaves a variable as it is: that of a layer which is not trained, and one that is measured of the images. */
export function untrainable(model: TrainableModel): (name: string) => boolean {
  const frozen = untrainablePaths(model);
  const measured = new Set(measuredVariables(model).map(({ name }) => name));
  return (name) => measured.has(name) || frozen.has(layerPathOf(name));
}

/** Those that follow from the training images. */
export const measuredVariables = ({ variables }: TrainableModel): VariableInfo[] =>
  variables.filter(({ initializer }) => isMeasured(initializer));

/** Names of the biases of batch normalisation. */
export function normBiases(model: TrainableModel): ReadonlySet<string> {
  const biases = model.variables.filter(({ role }) => role === 'beta').map(({ name }) => name);
  if (!('layers' in model)) return new Set(biases);
  const paths = new Set(model.layers.filter(({ type }) => type === 'BatchNormalization').map(({ path }) => path));
  return new Set(biases.filter((name) => paths.has(layerPathOf(name))));
}

/** Parameters that an optimizer trains where nothing is frozen besides, in the order of the model. */
export function trainedVariables(model: TrainableModel): VariableInfo[] {
  const isFrozen = untrainable(model);
  return model.variables.filter(({ kind, name }) => kind === 'parameter' && !isFrozen(name));
}
