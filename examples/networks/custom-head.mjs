// A head of one's own on layers that are frozen: the stem stays as it begins (or as --init has it), and what is trained is the head.
//
//   hybrid train --model examples/networks/custom-head.mjs

import { functionalModel, input, layers } from '@hybrid-train/hybrid/layers';

const { batchNormalization, concatenate, conv2d, dense, dropout, globalAveragePooling2d, globalMaxPooling2d, maxPooling2d, rescaling } =
  layers;

const images = input([32, 32, 3]);
let x = rescaling(images, { scale: 1 / 255 });
for (const filters of [16, 32, 64]) {
  x = conv2d(x, { filters, kernelSize: 3, padding: 'same', activation: 'relu', trainable: false });
  x = maxPooling2d(batchNormalization(x, { trainable: false }));
}
const pooled = concatenate([globalAveragePooling2d(x), globalMaxPooling2d(x)]);
const head = dense(dropout(dense(pooled, { units: 64, activation: 'gelu' }), { rate: 0.2 }), { units: 10, name: 'head' });

export default functionalModel({ name: 'custom-head', input: images, output: head });
