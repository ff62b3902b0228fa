// What a model is: variables, and either a checked list of layers (`buildModel`, architectures.ts) or a forward pass of its
// author's own (`graphModel`, graph-model.ts).

import type { Graph } from '../ir/graph.ts';
import type { Layer, VariableInfo } from './layers.ts';

/** Plain JSON from which `buildModel(config.arch, config)` makes the same model again. */
export interface ModelConfig {
  /** Name of the architecture: one of `ARCHITECTURES` (architectures.ts). */
  readonly arch: string;
  /** [height, width, channels] of the images. */
  readonly input: readonly [number, number, number];
  readonly classes: number;
  /** Rate of the dropout before the head. */
  readonly dropout: number;
  /** Factor on the channels of a named architecture. */
  readonly width?: number;
  /** Of `convmixer` only. */
  readonly dim?: number;
  readonly depth?: number;
  readonly kernel?: number;
  readonly patch?: number;
}

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

/** A model made of layers. */
export interface Model extends ModelCore {
  readonly layers: readonly Layer[];
  readonly config: ModelConfig;
}

/** A model that is a graph. */
export interface GraphModel extends ModelCore {
  /** Its forward graph, as `buildForward` (build-graph.ts) describes that of a model made of layers. */
  forward(mode: 'train' | 'inference', options: { readonly loss: boolean }): Graph;
}

/** What can be trained, evaluated and asked for predictions. */
export type TrainableModel = Model | GraphModel;
