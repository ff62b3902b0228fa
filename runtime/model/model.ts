// A model: a checked list of layers and what it was built from. Made by `buildModel` (architectures.ts).

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

export interface Model {
  readonly arch: string;
  readonly layers: readonly Layer[];
  readonly input: readonly [number, number, number];
  readonly classes: number;
  readonly config: ModelConfig;
  /** Of all layers in order, each in the order of its `vars`: Keras' `get_weights()`. */
  readonly variables: readonly VariableInfo[];
}
