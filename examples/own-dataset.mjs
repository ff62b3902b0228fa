// A dataset of one's own: `Dataset` asks for names, sizes, labels, and `read`, which copies the images that a batch wants. Here they are drawn
// when they are asked for; they might as well come from a database (`read` may return a promise).
//
//   node examples/own-dataset.mjs
//
// `read` runs on the thread that trains. Images in a SharedArrayBuffer (`memoryDataset`), or a reader in a module of its own (`images` of kind
// `module`), are read by the data workers instead.

import { buildModel, openDevice, train } from '@hybrid-train/hybrid';

const SIDE = 16;

/**
 * Stripes: class 0 horizontal, class 1 vertical, class 2 diagonal; period, phase and brightness vary with the index.
 * @param {string} name
 * @param {number} size
 * @param {number} first
 * @returns {import('@hybrid-train/hybrid').Dataset}
 */
function stripes(name, size, first) {
  return {
    name,
    size,
    shape: [SIDE, SIDE, 1],
    classes: ['horizontal', 'vertical', 'diagonal'],
    labels: Uint8Array.from({ length: size }, (_, i) => (first + i) % 3),
    // The same index gives the same bytes whenever it is asked for: a run can then be repeated and resumed.
    read(indices, out) {
      for (let k = 0; k < indices.length; k++) {
        const i = first + indices[k];
        const [period, phase, bright] = [3 + (i % 4), i % 7, 100 + ((i * 37) % 156)];
        for (let y = 0; y < SIDE; y++) {
          for (let x = 0; x < SIDE; x++) {
            const across = [y, x, x + y][i % 3] + phase;
            out[(k * SIDE + y) * SIDE + x] = across % period < period / 2 ? bright : 20;
          }
        }
      }
    },
  };
}

const device = await openDevice('wasm', { threads: 1 }); // a model as small as this has nothing for more
const run = train({
  device,
  model: buildModel('convmixer', { input: [SIDE, SIDE, 1], classes: 3, dim: 16, depth: 1, patch: 2, dropout: 0 }),
  train: stripes('stripes, training set', 300, 0),
  test: stripes('stripes, test set', 60, 300),
  epochs: 6,
  batch: 30,
  learningRate: 0.01,
  bnMomentum: 0.9,
});
for await (const event of run) if (event.type === 'epoch') console.log(`epoch ${event.epoch}: loss ${event.train.loss.toFixed(3)}`);
const { test } = await run.result;
console.log(`test accuracy ${((test?.accuracy ?? 0) * 100).toFixed(1)} %`);
await device.close();
