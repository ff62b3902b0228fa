// A small vision transformer (Dosovitskiy et al., 2020): patches of 4×4 pixels, positions that are learnt, four blocks of attention and of dense
// layers, the mean over all places.
//
//   hybrid train --model examples/networks/small-vit.mjs --augment crop,flip --epochs 30 --schedule one-cycle

import { functionalModel, input, layers } from '@hybrid-train/hybrid/layers';

const { add, conv2d, dense, dropout, einsumDense, globalAveragePooling1d, layerNormalization, multiHeadAttention, rescaling, reshape } =
  layers;

const [PLACES, SIZE] = [64, 48];

const images = input([32, 32, 3]);
const patches = conv2d(rescaling(images, { scale: 1 / 127.5, offset: -1 }), { filters: SIZE, kernelSize: 4, strides: 4 });
// A bias for each place as well as each feature: so the network knows where a patch was.
let x = einsumDense(reshape(patches, { targetShape: [PLACES, SIZE] }), {
  equation: 'abc,cd->abd',
  outputShape: [PLACES, SIZE],
  biasAxes: 'bd',
});
for (let block = 0; block < 4; block++) {
  const attended = multiHeadAttention(layerNormalization(x, { epsilon: 1e-6 }), { numHeads: 4, keyDim: SIZE / 4 });
  x = add([x, attended]);
  const wide = dense(layerNormalization(x, { epsilon: 1e-6 }), { units: 2 * SIZE, activation: 'gelu' });
  x = add([x, dropout(dense(wide, { units: SIZE }), { rate: 0.1 })]);
}
x = globalAveragePooling1d(layerNormalization(x, { epsilon: 1e-6 }));

export default functionalModel({ name: 'small-vit', input: images, output: dense(x, { units: 10 }) });
