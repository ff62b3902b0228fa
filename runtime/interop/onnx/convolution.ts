// ONNX's form of the layers of layers/convolution.ts.

import type { Layer } from '../../layers/index.ts';
import type { Pair } from '../../layers/kinds.ts';
import { isPadded } from '../../model/stem.ts';
import { placeWindow } from '../../ops/window.ts';
import { channelsFirst } from '../layouts.ts';
import { activate } from './activations.ts';
import type { Emitter, OnnxRules } from './emitter.ts';

/** The axis of channels in what a convolution makes. */
const CHANNELS = 1;

export const convolution = {
  Conv2D: {
    affine: (layer) => (isPadded(layer) ? undefined : 'takes'),
    emit: (e, layer, [x]) => finish(e, layer, x, layer.config.groups, false),
  },
  DepthwiseConv2D: { emit: (e, layer, [x]) => finish(e, layer, x, layer.inputShape[2], true) },
  SeparableConv2D: {
    emit(e, layer, [x]) {
      const { name, inputShape, config } = layer;
      const kernelOf = (role: 'depthwise_kernel' | 'pointwise_kernel') => ({
        kernel: e.weight(layer, role) as Float32Array,
        shape: e.shapeOf(layer, role),
      });
      const between = convolve(e, layer, x, {
        ...kernelOf('depthwise_kernel'),
        name: `${name}/depthwise`,
        group: inputShape[2],
        depthwise: true,
      });
      const pointwise = { ...kernelOf('pointwise_kernel'), name, bias: e.weight(layer, 'bias'), group: 1, depthwise: false };
      return activate(e, config.activation, convolve(e, { ...layer, config: ONE_PIXEL }, between, pointwise), name, CHANNELS);
    },
  },
} satisfies Partial<OnnxRules>;

const ONE_PIXEL = { kernelSize: [1, 1], strides: [1, 1], padding: 'valid', dilationRate: [1, 1] } as const;

function finish(e: Emitter, layer: Layer<'Conv2D' | 'DepthwiseConv2D'>, x: string, group: number, depthwise: boolean): string {
  const { name, config } = layer;
  const result = convolve(e, layer, x, { ...e.absorbed(layer), shape: e.shapeOf(layer, 'kernel'), name, group, depthwise });
  return activate(e, config.activation, result, name, CHANNELS);
}

/** What a convolution has besides its window. */
interface Weights {
  readonly name: string;
  readonly kernel: Float32Array;
  readonly shape: readonly number[];
  readonly bias?: Float32Array;
  readonly group: number;
  readonly depthwise: boolean;
}

function convolve(
  e: Emitter,
  {
    inputShape,
    config,
  }: {
    readonly inputShape: readonly number[];
    readonly config: { readonly kernelSize: Pair; readonly strides: Pair; readonly padding: 'valid' | 'same'; readonly dilationRate: Pair };
  },
  x: string,
  { name, kernel, shape, bias, group, depthwise }: Weights,
): string {
  const { kernelSize, strides, padding, dilationRate } = config;
  const first = channelsFirst(shape, kernel, depthwise);
  const inputs = [x, e.constant(`${name}/kernel`, first.shape, first.data)];
  if (bias) inputs.push(e.constant(`${name}/bias`, [bias.length], bias));
  const pads = padsOf(inputShape, kernelSize, strides, padding, dilationRate);
  return e.node('Conv', name, inputs, {
    kernel_shape: [...kernelSize],
    strides: [...strides],
    pads,
    ...(`${dilationRate}` !== '1,1' && { dilations: [...dilationRate] }),
    group,
  });
}

/** Rows and columns of zeros around the image: top, left, bottom, right. */
export function padsOf(
  [height, width]: readonly number[],
  kernel: Pair,
  stride: Pair,
  padding: 'valid' | 'same',
  dilation?: Pair,
): number[] {
  const { top, left, bottom, right } = placeWindow([height, width], kernel, { stride, padding, dilation }).pads;
  return [top, left, bottom, right];
}
