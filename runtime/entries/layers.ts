/**
 * Models as Keras users write them: `@hybrid-train/hybrid/layers`.
 *
 * @module Layers
 */

export type { ActivationName } from '../layers/activations.ts';
export { input, type LayerFunction, LayerTensor, layers } from '../layers/functional.ts';
export type { Layer, LayerConfig, LayerOptions, LayerType } from '../layers/index.ts';
export type { Initializer } from '../layers/initializers.ts';
export type { Shape, VariableInfo } from '../layers/layer.ts';
export { initialize } from '../model/init.ts';
export { type FunctionalModelOptions, functionalModel, type SequentialModelOptions, sequentialModel } from '../model/layered-model.ts';
export type { ModelConfig, NetworkLayer } from '../model/model.ts';
