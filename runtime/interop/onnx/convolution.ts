// ONNX's form of the layers of layers/convolution.ts.

import type { Layer } from '../../layers/index.ts';
import type { Pair } from '../../layers/kinds.ts';
import { channelsFirst } from '../layouts.ts';
import { activate } from './activations.ts';
import type { Emitter, OnnxRules } from './emitter.ts';

export const convolution = {
  Conv2D: {
    affine: ({ config }) => (config.padding === 'valid' || `${config.kernelSize}` === '1,1' ? 'takes' : undefined),
    emit: (e, layer, [x]) => convolve(e, layer, x, layer.config.groups),
  },
  DepthwiseConv2D: { emit: (e, layer, [x]) => convolve(e, layer, x, layer.inputShape[2]) },
} satisfies Partial<OnnxRules>;

function convolve(e: Emitter, layer: Layer<'Conv2D' | 'DepthwiseConv2D'>, x: string, group: number): string {
  const { name, config, inputShape } = layer;
  const { kernelSize, strides, padding, dilationRate } = config;
  const { kernel, bias } = e.absorbed(layer);
  const first = channelsFirst(e.shapeOf(layer, 'kernel'), kernel, layer.type);
  const inputs = [x, e.constant(`${name}/kernel`, first.shape, first.data)];
  if (bias) inputs.push(e.constant(`${name}/bias`, [bias.length], bias));
  const pads = padsOf(inputShape, kernelSize, strides, padding, dilationRate);
  const result = e.node('Conv', name, inputs, { kernel_shape: [...kernelSize], strides: [...strides], pads, group });
  return activate(e, config.activation, result, name);
}

/** Rows and columns of zeros around the image: top, left, bottom, right. */
export function padsOf(
  shape: readonly number[],
  kernel: Pair,
  strides: Pair,
  padding: 'valid' | 'same',
  dilation: Pair = [1, 1],
): number[] {
  const total = ([0, 1] as const).map((axis) =>
    padding === 'valid'
      ? 0
      : Math.max((Math.ceil(shape[axis] / strides[axis]) - 1) * strides[axis] + (kernel[axis] - 1) * dilation[axis] + 1 - shape[axis], 0),
  );
  return [...total.map((n) => n >> 1), ...total.map((n) => n - (n >> 1))];
}
