// ResNet-20 of He et al. (2015) for CIFAR-10, written as a user of Keras writes it: three stages of three blocks, 0.27 million parameters. `--arch resnet-20` is
// the same network.
//
//   hybrid train --model examples/networks/resnet-20.mjs --augment crop,flip --epochs 30 --schedule one-cycle

import { functionalModel, input, layers } from '@hybrid-train/hybrid/layers';

const { activation, add, batchNormalization, conv2d, dense, globalAveragePooling2d, rescaling } = layers;

/**
 * @param {import('@hybrid-train/hybrid/layers').LayerTensor} x
 * @param {number} filters
 * @param {number} size of the kernel
 * @param {number} strides
 */
const normalized = (x, filters, size, strides) =>
  batchNormalization(conv2d(x, { filters, kernelSize: size, strides, padding: 'same', useBias: false, kernelInitializer: 'he_normal' }));

const images = input([32, 32, 3]);
let x = activation(normalized(rescaling(images, { scale: 1 / 127.5, offset: -1 }), 16, 3, 1), { activation: 'relu' });
for (const filters of [16, 32, 64]) {
  for (let block = 0; block < 3; block++) {
    const strides = block === 0 && filters > 16 ? 2 : 1;
    const y = activation(normalized(x, filters, 3, strides), { activation: 'relu' });
    const short = strides === 1 ? x : normalized(x, filters, 1, 2);
    x = activation(add([normalized(y, filters, 3, 1), short]), { activation: 'relu' });
  }
}

export default functionalModel({ name: 'resnet-20', input: images, output: dense(globalAveragePooling2d(x), { units: 10 }) });
