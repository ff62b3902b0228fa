// A small training run through the public API, as an embedding program would do it. Argument: JSON with `out`, a folder, and what is to be
// done to the process before: `pollute`, names to put on Object.prototype; `busy`, milliseconds for which the event loop is blocked again and
// again; `epochs`. Prints the SHA-256 of the parameters, how it ended, and how often the blocking code came to its turn. Needs dist.

import { createHash } from 'node:crypto';
import { buildModel, memoryDataset, openDevice, RunFolder, train } from '../../dist/runtime/index.js';

const { out, pollute = [], busy = 0, epochs = 3 } = JSON.parse(process.argv[2]);
for (const name of pollute) Object.prototype[name] = '/polluted';

const images = Uint8Array.from({ length: 40 * 8 * 8 * 3 }, (_, i) => Math.imul(i + 1, 0x9e3779b1) >>> 24);
const labels = Uint8Array.from({ length: 40 }, (_, i) => i % 4);
const data = memoryDataset({ name: 'made up', shape: [8, 8, 3], classes: ['a', 'b', 'c', 'd'], labels, images });

let ticks = 0;
const host = setInterval(() => {
  ticks++;
  for (const end = performance.now() + busy; performance.now() < end; );
}, 5);

const device = await openDevice('wasm', { threads: 2 });
const run = await RunFolder.create({ out, name: 'r', config: { arch: 'convmixer' } });
const result = await train({
  device,
  model: buildModel('convmixer', { input: [8, 8, 3], classes: 4, dim: 8, depth: 1, kernel: 3, patch: 2 }),
  train: data,
  validation: data,
  test: null,
  epochs,
  batch: 8,
  learningRate: 0.01,
  weightDecay: 1e-4,
  schedule: { name: 'cosine' },
  earlyStopping: null,
  plateau: null,
  augment: { crop: 1, flip: true },
  shuffle: true,
  seed: 1n,
  bnMomentum: 0.9,
  recalibrateBn: 0,
  store: run,
}).result;
const { weights } = await run.load('last');
await run.close();
await device.close();
clearInterval(host);
const hash = createHash('sha256');
for (const [name, { data: values }] of weights) hash.update(name).update(new Uint8Array(values.buffer));
console.log(JSON.stringify({ digest: hash.digest('hex'), reason: result.reason, ticks }));
