// Weights under the names and in the layouts of PyTorch: `<layer>.weight`, `.bias`, `.running_mean`, `.running_var`, for a module
// whose parts are called as our layers are. nn.Flatten of a channels-first image is provided for.

import type { Layer } from '../layers/index.ts';
import { channelsFirst, transposed } from './layouts.ts';
import type { TrainedModel } from './trained-model.ts';

const NAMES = {
  kernel: 'weight',
  depthwise_kernel: 'depthwise.weight',
  pointwise_kernel: 'pointwise.weight',
  gamma: 'weight',
  bias: 'bias',
  beta: 'bias',
  moving_mean: 'running_mean',
  moving_variance: 'running_var',
} as const;

export function torchTensors({ model, weights }: TrainedModel): Map<string, { shape: readonly number[]; data: Float32Array }> {
  const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const layer of model.layers) {
    for (const { name, shape, role } of layer.variables) {
      const data = weights.get(name) as Float32Array;
      const key = `${layer.name}.${NAMES[role]}`;
      if (!role.endsWith('kernel')) tensors.set(key, { shape, data });
      else if (layer.type === 'Dense') tensors.set(key, transposed(shape, data, flattened(layer, model.layers)));
      else tensors.set(key, channelsFirst(shape, data, role === 'depthwise_kernel' || layer.type === 'DepthwiseConv2D'));
    }
  }
  return tensors;
}

/** Shape of the image that a dense layer reads flattened; null: it reads no image. */
function flattened(layer: Layer, layers: readonly Layer[]): Layer['inputShape'] | null {
  const before = layers[layer.inputs[0]];
  if (before.type === 'Dropout') return flattened(before, layers);
  return before.type === 'Flatten' ? before.inputShape : null;
}
