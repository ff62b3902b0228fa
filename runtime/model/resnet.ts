// ResNet-20 of He et al. (2015) for images as small as CIFAR-10's: three stages of three blocks, 0.27 million parameters for ten classes.

import { input as imageInput, type LayerTensor, layers } from '../layers/functional.ts';
import { functionalModel } from './layered-model.ts';
import type { Model } from './model.ts';

const { activation, add, batchNormalization, conv2d, dense, dropout, globalAveragePooling2d, rescaling } = layers;

/** Sizes of the network. */
export interface ResNetOptions {
  readonly input: Model['input'];
  readonly classes: number;
  /** Before the last layer; 0, which is no layer, by default. */
  readonly dropout?: number;
}

/** The network; examples/networks/resnet-20.mjs shows the same, written out. */
export function resNet20({ input, classes, dropout: rate = 0 }: ResNetOptions): Model {
  const images = imageInput(input);
  const normalized = (x: LayerTensor, filters: number, kernelSize: number, strides: number) =>
    batchNormalization(conv2d(x, { filters, kernelSize, strides, padding: 'same', useBias: false, kernelInitializer: 'he_normal' }));
  const relu = (x: LayerTensor) => activation(x, { activation: 'relu' });
  let x = relu(normalized(rescaling(images, { scale: 1 / 127.5, offset: -1 }), 16, 3, 1));
  for (const filters of [16, 32, 64]) {
    for (let block = 0; block < 3; block++) {
      const strides = block === 0 && filters > 16 ? 2 : 1;
      const y = relu(normalized(x, filters, 3, strides));
      x = relu(add([normalized(y, filters, 3, 1), strides === 1 ? x : normalized(x, filters, 1, 2)]));
    }
  }
  const pooled = globalAveragePooling2d(x);
  const output = dense(rate > 0 ? dropout(pooled, { rate }) : pooled, { units: classes });
  return functionalModel({ name: 'resnet-20', input: images, output });
}
