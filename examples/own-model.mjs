// A model of one's own, written with the graph builder and trained: a small residual network without depthwise convolutions, which none of the
// built-in architectures is. The table of ops is in ARCHITECTURE.md.
//
//   node examples/own-model.mjs

import { evaluate, openDevice, train } from '@hybrid-train/hybrid';
import { syntheticSource } from '@hybrid-train/hybrid/data';
import { graphModel } from '@hybrid-train/hybrid/graph';

const { train: training, test } = syntheticSource({ train: 1000, test: 200 });

const model = graphModel({
  name: 'small-resnet',
  input: training.shape,
  classes: training.classes.length,
  build(g, images) {
    /**
     * Convolution, batch normalisation, ReLU.
     * @param {string} label of the layer: its variables are called `<label>/vars/<k>`
     * @param {number} x
     * @param {{ filters: number, size: number, stride: number }} options
     */
    const convolve = (label, x, { filters, size, stride }) => {
      g.label = label;
      const channels = g.spec(x).shape[2];
      const y = g.one('conv', [x, g.variable('kernel', [size, size, channels, filters])], { stride, padding: 'same' });
      return g.one('relu', [g.batchNormalization(y)]);
    };
    g.label = 'pixels';
    const stem = convolve('stem', g.one('rescale', [images], { scale: 1 / 255 }), { filters: 16, size: 5, stride: 4 });
    const a = convolve('block/a', stem, { filters: 16, size: 3, stride: 1 });
    const b = convolve('block/b', a, { filters: 16, size: 3, stride: 1 });
    g.label = 'head';
    const pooled = g.dropout(g.one('globalAvgPool', [g.one('add', [b, stem])]), 0.1);
    const logits = g.one('conv', [pooled, g.variable('kernel', [16, training.classes.length])], { stride: 1, padding: 'valid' });
    return g.one('bias', [logits, g.variable('bias', [training.classes.length])]);
  },
});

const device = await openDevice('wasm', { threads: 1 }); // a model as small as this has nothing for more
const run = train({
  device,
  model,
  train: training,
  epochs: 8,
  batch: 32,
  learningRate: 0.003,
  bnMomentum: 0.9,
});
for await (const event of run) if (event.type === 'epoch') console.log(`epoch ${event.epoch}: loss ${event.train.loss.toFixed(3)}`);

if (test) {
  const { accuracy } = await evaluate({ device, model, weights: await run.weights, dataset: test, batch: 32 });
  console.log(`${model.variables.length} variables, test accuracy ${(accuracy * 100).toFixed(1)} %`);
}
await device.close();
