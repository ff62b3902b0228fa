// MobileNetV2 of Sandler et al. (2018), half as wide and with smaller strides for images of 32 pixels: inverted residuals, depthwise
// convolutions with strides, ReLU6.
//
//   hybrid train --model examples/networks/mobilenet-v2.mjs --augment crop,flip

import { functionalModel, input, layers } from '@hybrid-train/hybrid/layers';

const { add, batchNormalization, conv2d, dense, depthwiseConv2d, globalAveragePooling2d, relu, rescaling } = layers;

/** Factor on the channels of all blocks. */
const WIDTH = 0.5;
/** Expansion, channels, blocks, stride of the first: a row a stage. */
const STAGES = [
  [1, 16, 1, 1],
  [6, 24, 2, 1],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
];
const clipped = { maxValue: 6 };

/**
 * @param {import('@hybrid-train/hybrid/layers').LayerTensor} x
 * @param {number} filters
 * @param {number} size
 */
const normalized = (x, filters, size = 1, strides = 1) =>
  batchNormalization(conv2d(x, { filters, kernelSize: size, strides, padding: 'same', useBias: false }), { momentum: 0.9 });

const images = input([32, 32, 3]);
let x = relu(normalized(rescaling(images, { scale: 1 / 127.5, offset: -1 }), 16, 3), clipped);
for (const [expansion, channels, blocks, first] of STAGES) {
  const filters = Math.max(8, Math.round((channels * WIDTH) / 8) * 8);
  for (let block = 0; block < blocks; block++) {
    const strides = block === 0 ? first : 1;
    const wide = expansion === 1 ? x : relu(normalized(x, x.shape[2] * expansion), clipped);
    const spread = depthwiseConv2d(wide, { kernelSize: 3, strides, padding: 'same', useBias: false });
    const y = normalized(relu(batchNormalization(spread, { momentum: 0.9 }), clipped), filters);
    x = strides === 1 && x.shape[2] === filters ? add([x, y]) : y;
  }
}

const features = globalAveragePooling2d(relu(normalized(x, 640), clipped));
export default functionalModel({ name: 'mobilenet-v2', input: images, output: dense(features, { units: 10 }) });
