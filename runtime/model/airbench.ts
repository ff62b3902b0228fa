// The network of airbench94 (Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498): wide and shallow, for runs of ten
// epochs. A whitening convolution that is not trained, three groups of two 3×3 convolutions that begin as the identity, batch normalisation
// without scale, GELU, the largest value of each channel, and a linear head whose input is scaled down.

import { input as imageInput, type LayerTensor, layers } from '../layers/functional.ts';
import { functionalModel } from './layered-model.ts';
import type { Model } from './model.ts';

const { activation, batchNormalization, conv2d, dense, dropout, globalMaxPooling2d, maxPooling2d, rescaling } = layers;

/** Channels of the three groups. */
const WIDTHS = [64, 256, 256] as const;
/** Rows and columns of the first convolution's patches. */
const PATCH = 2;
/** Of what the head reads: logits begin small. */
const HEAD_SCALE = 1 / 9;
/** Mean and deviation of CIFAR-10's colours, of pixels from 0 to 1. */
const MEAN = [0.4914, 0.4822, 0.4465] as const;
const DEVIATION = [0.247, 0.2435, 0.2616] as const;

/** What a layer of PyTorch begins with: uniform up to 1/√fan_in. */
const OF_HEAD = { type: 'VarianceScaling', settings: { scale: 1 / 3, mode: 'fan_in', distribution: 'uniform' } } as const;

/** Sizes of the network. */
export interface AirbenchOptions {
  readonly input: Model['input'];
  readonly classes: number;
  /** Before the last layer; 0, which is no layer, by default. */
  readonly dropout?: number;
}

/** The network. Its 24 first filters (for three channels) are measured of the training images when training begins, and stay; their biases are trained. */
export function airbench({ input, classes, dropout: rate = 0 }: AirbenchOptions): Model {
  const images = imageInput(input);
  const channels = input[2];
  const active = (x: LayerTensor) => activation(batchNormalization(x, { scale: false, epsilon: 1e-12 }), { activation: 'gelu' });
  const convolved = (x: LayerTensor, filters: number) =>
    conv2d(x, { filters, kernelSize: 3, padding: 'same', useBias: false, kernelInitializer: 'dirac' });
  let x = normalized(images, channels);
  x = conv2d(x, { filters: 2 * PATCH ** 2 * channels, kernelSize: PATCH, kernelInitializer: 'whitening', activation: 'gelu' });
  for (const filters of WIDTHS) {
    x = active(maxPooling2d(convolved(x, filters)));
    x = active(convolved(x, filters));
  }
  x = rescaling(globalMaxPooling2d(x), { scale: HEAD_SCALE });
  if (rate > 0) x = dropout(x, { rate });
  return functionalModel({
    name: 'airbench',
    input: images,
    output: dense(x, { units: classes, useBias: false, kernelInitializer: OF_HEAD }),
  });
}

/** Pixels less the mean, over the deviation: of each colour where there are three, of all of them otherwise. */
function normalized(images: LayerTensor, channels: number): LayerTensor {
  const mean = (of: readonly number[]) => of.reduce((sum, x) => sum + x, 0) / of.length;
  const [means, deviations] = channels === 3 ? [[...MEAN], [...DEVIATION]] : [[mean(MEAN)], [mean(DEVIATION)]];
  const scale = deviations.map((deviation) => 1 / (255 * deviation));
  const offset = means.map((mean, c) => -mean / deviations[c]);
  return channels === 3 ? rescaling(images, { scale, offset }) : rescaling(images, { scale: scale[0], offset: offset[0] });
}
