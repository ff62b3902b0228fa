// EfficientNet-Lite0 (Liu and Tan, 2020): EfficientNet-B0 without squeezing and excitation, with ReLU6.

import { input as imageInput, type LayerTensor, layers } from '../layers/functional.ts';
import { functionalModel } from './layered-model.ts';
import type { Model } from './model.ts';

const { activation, add, batchNormalization, conv2d, dense, depthwiseConv2d, dropout, globalAveragePooling2d, rescaling } = layers;

/** Groups of blocks: how many, kernel, stride of the first, factor of the expansion, channels. */
export const GROUPS = [
  [1, 3, 1, 1, 16],
  [2, 3, 2, 6, 24],
  [2, 5, 2, 6, 40],
  [3, 3, 2, 6, 80],
  [3, 5, 1, 6, 112],
  [4, 5, 2, 6, 192],
  [1, 3, 1, 6, 320],
] as const;
const STEM = 32;
const HEAD = 1280;

/**
 * What its kernels begin with, as in Keras' EfficientNets. The last layer's is that of any dense layer: theirs, of a variance of 1/3 by the number of classes, is
 * for a thousand of them, and with ten begins at a loss of about six.
 */
const OF_KERNELS = { type: 'VarianceScaling', settings: { scale: 2, mode: 'fan_out', distribution: 'truncated_normal' } } as const;

/** Sizes of the network. */
export interface EfficientNetOptions {
  readonly input: Model['input'];
  readonly classes: number;
  /** Before the last layer; 0.2 by default. */
  readonly dropout?: number;
}

/** The network: pixels (x − 127)/128, a 3×3 convolution of stride 2, 16 inverted bottlenecks with ReLU6, a 1×1 convolution, the mean, and a dense layer. */
export function efficientNetLite0({ input, classes, dropout: rate = 0.2 }: EfficientNetOptions): Model {
  const images = imageInput(input);
  const normalized = (x: LayerTensor) => batchNormalization(x, { epsilon: 1e-3 });
  const active = (x: LayerTensor) => activation(normalized(x), { activation: 'relu6' });
  const point = (x: LayerTensor, filters: number) => conv2d(x, { filters, kernelSize: 1, useBias: false, kernelInitializer: OF_KERNELS });
  let x = rescaling(images, { scale: 1 / 128, offset: -127 / 128 });
  x = active(conv2d(x, { filters: STEM, kernelSize: 3, strides: 2, padding: 'same', useBias: false, kernelInitializer: OF_KERNELS }));
  let channels = STEM;
  for (const [count, kernelSize, stride, factor, filters] of GROUPS) {
    for (let i = 0; i < count; i++) {
      const before = x;
      const strides = i === 0 ? stride : 1;
      if (factor !== 1) x = active(point(x, factor * channels));
      x = active(depthwiseConv2d(x, { kernelSize, strides, padding: 'same', useBias: false, depthwiseInitializer: OF_KERNELS }));
      x = normalized(point(x, filters));
      if (strides === 1 && channels === filters) x = add([x, before]);
      channels = filters;
    }
  }
  x = globalAveragePooling2d(active(point(x, HEAD)));
  return functionalModel({
    name: 'efficientnet-lite0',
    input: images,
    output: dense(dropout(x, { rate }), { units: classes }),
  });
}
