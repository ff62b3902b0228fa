// Weights under the names and in the layouts of PyTorch: `<layer>.weight`, `.bias`, `.running_mean`, `.running_var`. Written for a module
// whose parts are called as our layers are (nn.Flatten of a channels-first image is provided for), and read under whatever names its parts have.

import { HybridError } from '../base/errors.ts';
import type { Layer } from '../layers/index.ts';
import { graphShape } from '../layers/layer.ts';
import type { Model } from '../model/model.ts';
import { channelsFirst, channelsLast, transposed, untransposed } from './layouts.ts';
import type { SavedTensor, TrainedModel } from './trained-model.ts';

const NAMES = {
  kernel: 'weight',
  depthwise_kernel: 'depthwise.weight',
  pointwise_kernel: 'pointwise.weight',
  gamma: 'weight',
  alpha: 'weight',
  bias: 'bias',
  beta: 'bias',
  moving_mean: 'running_mean',
  moving_variance: 'running_var',
  mean: 'mean',
  variance: 'variance',
  count: 'count',
  query_kernel: 'query.weight',
  query_bias: 'query.bias',
  key_kernel: 'key.weight',
  key_bias: 'key.bias',
  value_kernel: 'value.weight',
  value_bias: 'value.bias',
  output_kernel: 'output.weight',
  output_bias: 'output.bias',
} as const;

export function torchTensors({ model, weights }: TrainedModel): Map<string, { shape: readonly number[]; data: Float32Array }> {
  const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const layer of model.layers) {
    for (const variable of layer.variables) {
      const { name, shape, role } = variable;
      const data = weights.get(name) as Float32Array;
      const key = `${layer.name}.${NAMES[role]}`;
      if (!role.endsWith('kernel'))
        tensors.set(key, {
          shape: role === 'alpha' ? shape.filter((n) => n > 1) : layer.type === 'MultiHeadAttention' ? graphShape(variable) : shape,
          data,
        });
      else if (layer.type === 'MultiHeadAttention' || layer.type === 'EinsumDense')
        tensors.set(key, transposed(graphShape(variable), data, null));
      else if (layer.type === 'Dense') tensors.set(key, transposed(shape, data, flattened(layer, model.layers)));
      else tensors.set(key, channelsFirst(shape, data, role === 'depthwise_kernel' || layer.type === 'DepthwiseConv2D'));
    }
  }
  return tensors;
}

/** Tensors that say nothing about what a model computes. */
const IGNORED = /(^|\.)num_batches_tracked$/;

/**
 * The weights of a model from tensors of PyTorch.
 * @param modules Of the layers that have weights, in their order: the names of the modules that they are there.
 * @param source Name of the file, for messages.
 * @throws HybridError E_CHECKPOINT where one is missing or has another shape, and where there are others.
 */
export function fromTorch(
  { layers, arch }: Model,
  modules: readonly string[],
  tensors: ReadonlyMap<string, SavedTensor>,
  source: string,
): Map<string, Float32Array> {
  const weights = new Map<string, Float32Array>();
  const used = new Set<string>();
  for (const [k, { type, variables }] of layers.filter(({ variables }) => variables.length > 0).entries()) {
    for (const { name, shape, role } of variables) {
      const isKernel = role === 'kernel' || role === 'depthwise_kernel';
      const isDepthwise = isKernel && type === 'DepthwiseConv2D';
      const key = `${modules[k]}.${isKernel ? 'weight' : NAMES[role]}`;
      const found = tensors.get(key);
      const [h, w, inputs, outputs] = shape;
      const theirs = !isKernel
        ? shape
        : type === 'Dense'
          ? [shape[1], shape[0]]
          : isDepthwise
            ? [inputs * outputs, 1, h, w]
            : [outputs, inputs, h, w];
      if (!found || `${found.shape}` !== `${theirs}`) {
        const has = found ? `has ${key} with shape [${found.shape.join(', ')}]` : `lacks ${key}`;
        throw new HybridError(
          'E_CHECKPOINT',
          `${source} ${has}; ${arch} needs shape [${theirs.join(', ')}]`,
          'It is damaged, or of another network.',
        );
      }
      used.add(key);
      const data = Float32Array.from(found.data as ArrayLike<number>, Number);
      weights.set(name, !isKernel ? data : type === 'Dense' ? untransposed(shape, data) : channelsLast(shape, data, isDepthwise));
    }
  }
  const surplus = [...tensors.keys()].find((name) => !used.has(name) && !IGNORED.test(name));
  if (surplus === undefined) return weights;
  throw new HybridError('E_CHECKPOINT', `${source} has ${surplus}, which ${arch} does not have`, 'It is of another network.');
}

/** Shape of the image that a dense layer reads flattened; null: it reads no image. */
function flattened(layer: Layer, layers: readonly Layer[]): Layer['inputShape'] | null {
  const before = layers[layer.inputs[0]];
  if (before.type === 'Dropout') return flattened(before, layers);
  return before.type === 'Flatten' ? before.inputShape : null;
}
