// Eight worker threads at once, each with a device of its own and with leave to set flags; all must compute the same bits.

import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { trainingGraphs } from '../../dist/runtime/entries/graph.js';
import { initialize } from '../../dist/runtime/entries/layers.js';
import { buildModel, openDevice } from '../../dist/runtime/index.js';

async function step() {
  const device = await openDevice('wasm', { threads: 2, v8Flags: true });
  const model = buildModel('convmixer', { input: [8, 8, 3], classes: 4, dim: 32, depth: 2 });
  const executable = await device.compile(trainingGraphs(model), { capacity: 8, seed: 1n });
  for (const [name, values] of initialize(model, 1n)) await executable.write(name, values);
  const images = new Uint8Array(8 * 8 * 8 * 3).map((_, i) => (i * 2654435761) >>> 24);
  const batch = { rows: 8, images, labels: new Int32Array(8).map((_, i) => i % 4), samples: new Int32Array(8).map((_, i) => i) };
  let loss = 0;
  for (let i = 0; i < 20; i++) {
    ({ loss } = await executable.gradient({ ...batch, epoch: 1 }));
    await executable.update({ learningRate: 1e-2, weightDecay: 1e-4, bnMomentum: 0.9 });
  }
  await device.close();
  return loss;
}

if (isMainThread) {
  const losses = await Promise.all(
    Array.from(
      { length: 8 },
      () =>
        new Promise((resolve, reject) => {
          const worker = new Worker(fileURLToPath(import.meta.url));
          worker
            .once('message', resolve)
            .once('error', reject)
            .once('exit', (status) => reject(new Error(`ended with status ${status}`)));
        }),
    ),
  );
  if (new Set(losses).size !== 1 || !(losses[0] > 0)) throw new Error(`not the same bits: ${losses}`);
  console.log('well');
} else {
  parentPort.postMessage(await step());
}
