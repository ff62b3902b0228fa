// Layers as Keras describes them: what a model is made of before it becomes a graph. Holds their configurations, output
// shapes, variables and costs; computes nothing. The graph of a layer is in build-graph.ts.

import { HybridError, invariant } from '../base/errors.ts';
import type { StateKind } from '../ir/graph.ts';

/** An activation function. */
export type ActivationName = 'gelu' | 'relu';
/** `valid` reads no pixel outside the image; `same` pads with zeros to ⌈n / stride⌉ results. */
export type Padding = 'valid' | 'same';

/** Shape of one sample: [height, width, channels], or [features] after pooling or flattening. */
export type Shape = readonly number[];

/** What a layer is, under Keras' class names. Kernels are square; a stride holds for both axes. */
export type LayerConfig =
  | { readonly type: 'InputLayer'; readonly shape: Shape }
  | { readonly type: 'Rescaling'; readonly scale: number }
  | {
      readonly type: 'Conv2D';
      readonly filters: number;
      readonly kernel: number;
      readonly stride: number;
      readonly padding: Padding;
      readonly activation?: ActivationName;
    }
  /** Stride 1, padding `same`, one filter a channel. */
  | { readonly type: 'DepthwiseConv2D'; readonly kernel: number }
  | { readonly type: 'Activation'; readonly activation: ActivationName }
  /** `momentum` is Keras' default and documents the layer; the momentum of a run is a hyper-parameter of training. */
  | { readonly type: 'BatchNormalization'; readonly epsilon: number; readonly momentum: number }
  | { readonly type: 'Add' }
  /** Windows of 2×2, stride 2, padding `valid`. */
  | { readonly type: 'MaxPooling2D' }
  | { readonly type: 'GlobalAveragePooling2D' }
  | { readonly type: 'Flatten' }
  | { readonly type: 'Dropout'; readonly rate: number }
  | { readonly type: 'Dense'; readonly units: number; readonly activation?: ActivationName };

/** Class of a layer, as Keras calls it. */
export type LayerType = LayerConfig['type'];

/** A tensor of weights: a parameter, or a moving statistic. */
export interface VariableInfo {
  /** Keras' path in a weight file: `layers/conv2d_1/vars/0`. */
  readonly name: string;
  /** In Keras' layout. */
  readonly shape: Shape;
  /** Trained by the optimizer, or moved along by batch normalisation. */
  readonly kind: Extract<StateKind, 'parameter' | 'statistic'>;
  readonly role: 'kernel' | 'bias' | 'gamma' | 'beta' | 'moving_mean' | 'moving_variance';
}

/** A layer in its place: configuration, name, wiring and all that follows from them. */
export type Layer = LayerConfig & {
  readonly index: number;
  /** Class in snake case, with the number of earlier layers of the class where there are any: `conv2d`, `conv2d_1`. */
  readonly name: string;
  /** `layers/<name>`: the label of its nodes and the prefix of its variables. */
  readonly path: string;
  /** Indices of the layers it reads. */
  readonly inputs: readonly number[];
  readonly inputShape: Shape;
  readonly outputShape: Shape;
  readonly variables: readonly VariableInfo[];
  /** Floating-point operations of one image, forward; see `layerFlops`. */
  readonly flops: number;
};

/** Builds a list of layers: each `add` appends one and returns its index, to be read by later layers. */
export class LayerList {
  readonly layers: Layer[] = [];
  readonly #counts = new Map<LayerType, number>();

  get last(): Layer {
    const layer = this.layers.at(-1);
    invariant(layer, 'the list has no layer yet');
    return layer;
  }

  /** Reads the last layer if no inputs are named. Throws E_USAGE where a kernel does not fit its input. */
  add(config: LayerConfig, ...inputs: number[]): number {
    const index = this.layers.length;
    if (inputs.length === 0 && config.type !== 'InputLayer') inputs = [index - 1];
    for (const input of inputs) invariant(input >= 0 && input < index, `layer ${index} reads layer ${input}`);

    const earlier = this.#counts.get(config.type) ?? 0;
    this.#counts.set(config.type, earlier + 1);
    const name = snakeCase(config.type) + (earlier ? `_${earlier}` : '');
    const path = `layers/${name}`;

    const inputShapes = inputs.map((input) => this.layers[input].outputShape);
    const inputShape = inputShapes[0] ?? [];
    const outputShape = inferShape(config, inputShapes, path);
    const variables = variablesOf(config, inputShape, path);
    const flops = layerFlops(config, inputShape, outputShape);
    this.layers.push({ ...config, index, name, path, inputs, inputShape, outputShape, variables, flops });
    return index;
  }
}

/** Keras' rule for names in files: `DepthwiseConv2D` becomes `depthwise_conv2d`. */
export const snakeCase = (type: string): string =>
  type
    .replace(/(.)([A-Z][a-z]+)/g, '$1_$2')
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .toLowerCase();

export const sizeOf = (shape: Shape): number => shape.reduce((product, n) => product * n, 1);

const sum = (numbers: readonly number[]): number => numbers.reduce((total, n) => total + n, 0);

/** Number of weights of a layer or of a whole model, of one kind or of all. */
export const countParameters = (variables: readonly VariableInfo[], kind?: VariableInfo['kind']): number =>
  sum(variables.filter((variable) => !kind || variable.kind === kind).map((variable) => sizeOf(variable.shape)));

function inferShape(config: LayerConfig, inputs: readonly Shape[], path: string): Shape {
  const [input] = inputs;
  switch (config.type) {
    case 'InputLayer':
      return config.shape;
    case 'Conv2D':
      return [...windows(config.type, path, input, config.kernel, config.stride, config.padding), config.filters];
    case 'MaxPooling2D':
      return [...windows(config.type, path, input, 2, 2, 'valid'), input[2]];
    case 'GlobalAveragePooling2D':
      return [input[2]];
    case 'Flatten':
      return [sizeOf(input)];
    case 'Dense':
      invariant(input.length === 1, `${path}: a Dense layer reads [features], not [${input}]`);
      return [config.units];
    case 'Add':
      invariant(inputs.length === 2 && `${inputs[0]}` === `${inputs[1]}`, `${path}: adds shapes [${inputs.join('] and [')}]`);
      return input;
    case 'Rescaling':
    case 'DepthwiseConv2D':
    case 'Activation':
    case 'BatchNormalization':
    case 'Dropout':
      return input;
  }
}

/** Positions of a window along height and width. */
function windows(type: LayerType, path: string, [h, w]: Shape, kernel: number, stride: number, padding: Padding): [number, number] {
  const positions = (n: number) => (padding === 'same' ? Math.ceil(n / stride) : Math.floor((n - kernel) / stride) + 1);
  if (positions(h) < 1 || positions(w) < 1) {
    throw new HybridError(
      'E_USAGE',
      `${path} (${type} ${kernel}×${kernel}) does not fit into its input of ${h}×${w} pixels`,
      'Use larger images, or an architecture that reduces them less.',
    );
  }
  return [positions(h), positions(w)];
}

function variablesOf(config: LayerConfig, input: Shape, path: string): VariableInfo[] {
  const c = input.at(-1) ?? 0;
  const variables = (...list: [VariableInfo['role'], Shape, VariableInfo['kind']?][]): VariableInfo[] =>
    list.map(([role, shape, kind = 'parameter'], i) => ({ name: `${path}/vars/${i}`, shape, kind, role }));
  switch (config.type) {
    case 'Conv2D':
      return variables(['kernel', [config.kernel, config.kernel, c, config.filters]], ['bias', [config.filters]]);
    case 'DepthwiseConv2D':
      return variables(['kernel', [config.kernel, config.kernel, c, 1]], ['bias', [c]]);
    case 'Dense':
      return variables(['kernel', [c, config.units]], ['bias', [config.units]]);
    case 'BatchNormalization':
      return variables(['gamma', [c]], ['beta', [c]], ['moving_mean', [c], 'statistic'], ['moving_variance', [c], 'statistic']);
    default:
      return [];
  }
}

/**
 * FLOPs of one image, forward: two a multiply-add of convolutions and dense layers, taps on zero padding included. Bias,
 * activations, normalisation, addition and pooling are not counted: the convention of the ConvMixer literature.
 */
function layerFlops(config: LayerConfig, input: Shape, output: Shape): number {
  switch (config.type) {
    case 'Conv2D':
      return 2 * config.kernel ** 2 * input[2] * sizeOf(output);
    case 'DepthwiseConv2D':
      return 2 * config.kernel ** 2 * sizeOf(output);
    case 'Dense':
      return 2 * input[0] * config.units;
    default:
      return 0;
  }
}
