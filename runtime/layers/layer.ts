// A layer in its place in a model, as data: what all that reads models sees of it.

import type { StateKind } from '../ir/graph.ts';
import type { Initializer } from './initializers.ts';

/** Shape of one sample: [height, width, channels], or [features] after pooling or flattening. */
export type Shape = readonly number[];

/** What a variable is for its layer. */
export type VariableRole =
  | 'kernel'
  | 'depthwise_kernel'
  | 'pointwise_kernel'
  | 'bias'
  | 'gamma'
  | 'beta'
  | 'moving_mean'
  | 'moving_variance'
  | 'mean'
  | 'variance'
  | 'count'
  | 'alpha'
  | `${'query' | 'key' | 'value' | 'output'}_${'kernel' | 'bias'}`;

/** A tensor of weights: a parameter, or a moving statistic. */
export interface VariableInfo {
  /** Keras' path in a weight file: `layers/conv2d_1/vars/0`. */
  readonly name: string;
  /** In Keras' layout. */
  readonly shape: Shape;
  /** Trained by the optimizer, or moved along by batch normalisation. */
  readonly kind: Extract<StateKind, 'parameter' | 'statistic'>;
  readonly role: VariableRole;
  /** What it begins with. */
  readonly initializer: Initializer;
  /** In graphs it is a list of as many elements, or has that shape: of what has more axes in Keras' layout than it is used with. */
  readonly flat?: true | Shape;
}

/** The shape of a variable in graphs. */
export const graphShape = ({ shape, flat }: Pick<VariableInfo, 'shape' | 'flat'>): Shape =>
  flat === true ? [sizeOf(shape)] : (flat ?? shape);

/** A layer in its place, but for its class and configuration: name, wiring and all that follows from them. */
export interface Place {
  readonly index: number;
  /** As its author calls it, or its class in snake case, with the number of earlier layers of the class where there are any: `conv2d`, `conv2d_1`. */
  readonly name: string;
  /** `layers/<class>[_k]`: the label of its nodes and the prefix of its variables, as Keras' files have it. */
  readonly path: string;
  /** Indices of the layers it reads. */
  readonly inputs: readonly number[];
  /** Shape of its first input. */
  readonly inputShape: Shape;
  readonly outputShape: Shape;
  readonly variables: readonly VariableInfo[];
  /**
   * Floating-point operations of one image, forward: two a multiply-add of convolutions and dense layers, taps on zero padding included. Bias,
   * activations, normalisation, addition and pooling are not counted: the convention of the ConvMixer literature.
   */
  readonly flops: number;
  /** It stays as it is in training: batch normalisation in inference mode, weights without gradient, slots and decay. */
  readonly trainable?: false;
  /** This call is in inference mode in training too: statistics that move, and no dropout; its parameters are trained. */
  readonly inference?: true;
  /** Index of the layer whose further call this is: the same weights, other input. */
  readonly repeats?: number;
}

/** The layer of a variable: `layers/conv2d` of `layers/conv2d/vars/0`, and the attention itself of one of its projections. */
export const layerPathOf = (variable: string): string => variable.replace(/(?:\/(?:query|key|value|output)_dense)?\/vars\/\d+$/, '');

export const sizeOf = (shape: Shape): number => shape.reduce((product, n) => product * n, 1);

/** Number of weights of a layer or of a whole model, of one kind or of all. */
export const countParameters = (variables: readonly VariableInfo[], kind?: VariableInfo['kind']): number =>
  variables.filter((variable) => !kind || variable.kind === kind).reduce((total, { shape }) => total + sizeOf(shape), 0);
