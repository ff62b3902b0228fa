// Measures `openClassifier` under callers who each wait for one answer before they ask again: requests a second, delay of the event loop, memory.
//
//   node bench/classifier.mjs [--requests 100000] [--callers 64] [--side 256] [--threads N]
//
// The pictures are JPEG files of 256 × 256 pixels that sharp made of noise, decoded for every request; the model is a ConvMixer of about 30,000 parameters for
// images of 32 × 32. Prints one line of JSON. Needs sharp, and a build (npm run build).

import { loadavg } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { buildModel, openClassifier, openDevice } from '@hybrid-train/hybrid';
import { initialize } from '@hybrid-train/hybrid/layers';
import sharp from 'sharp';

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '100000' },
    callers: { type: 'string', default: '64' },
    side: { type: 'string', default: '256' },
    threads: { type: 'string' },
  },
});
const [requests, callers, side] = [values.requests, values.callers, values.side].map(Number);

const model = buildModel('convmixer', { input: [32, 32, 3], classes: 10, dim: 64, depth: 5, kernel: 5, patch: 2, dropout: 0 });
const parameters = model.variables
  .filter(({ kind }) => kind === 'parameter')
  .reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
const pictures = await Promise.all(
  Array.from({ length: 32 }, async (_, i) => {
    const small = Uint8Array.from({ length: 32 * 32 * 3 }, (__, k) => (k * 2_654_435_761 * (i + 1)) >>> 24);
    return sharp(small, { raw: { width: 32, height: 32, channels: 3 } })
      .resize(side, side, { kernel: 'cubic' })
      .jpeg({ quality: 85 })
      .toBuffer();
  }),
);

const device = await openDevice('wasm', values.threads === undefined ? {} : { threads: Number(values.threads) });
const classes = Array.from({ length: 10 }, (_, i) => `class ${i}`);
const classifier = await openClassifier({ model, weights: initialize(model, 1n), classes }, { device, batch: 32 });

/** So many requests, by callers who each wait for the answer. */
async function serve(count) {
  let asked = 0;
  const caller = async () => {
    while (asked < count) await classifier.classify(pictures[asked++ % pictures.length]);
  };
  await Promise.all(Array.from({ length: callers }, caller));
}

const rss = () => Math.round(process.memoryUsage().rss / 2 ** 20);
await serve(Math.min(2000, requests)); // warm: code, sharp's threads, memory of both
const delay = monitorEventLoopDelay({ resolution: 1 });
const memory = [rss()];
const start = performance.now();
delay.enable();
const parts = 10;
for (let part = 0; part < parts; part++) {
  await serve(Math.round(requests / parts));
  memory.push(rss());
}
delay.disable();
const seconds = (performance.now() - start) / 1000;
console.log(
  JSON.stringify({
    requests,
    callers,
    pictures: `JPEG, ${side} × ${side}, ${Math.round(pictures.reduce((sum, { length }) => sum + length, 0) / pictures.length / 1024)} KiB`,
    parameters,
    device: device.description,
    requestsPerSecond: Number((requests / seconds).toFixed(1)),
    eventLoopMs: { p50: delay.percentile(50) / 1e6, p99: delay.percentile(99) / 1e6, max: delay.max / 1e6 },
    rssMiB: memory,
    node: process.version,
    load: loadavg().map((value) => Number(value.toFixed(1))),
    seconds: Number(seconds.toFixed(1)),
  }),
);

await classifier.close();
await device.close();
