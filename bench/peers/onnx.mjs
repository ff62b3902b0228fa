// Inference of the five models in hybrid and in ONNX Runtime on the CPU: the same weights (the ONNX file is what `hybrid export --format
// onnx` writes), the same images, in turn in one process; one image at a time, where the time is what counts, and many.
//
//   ONNXRUNTIME_NODE_INSTALL=skip npm install --prefix FOLDER onnxruntime-node@1.30.0
//   node bench/peers/onnx.mjs --onnxruntime FOLDER [--arch NAME,…] [--batch 1,128] [--runs 9] [--threads N] [--fold-bn]
//
// Needs a build (npm run build).

import { createRequire } from 'node:module';
import { availableParallelism, cpus } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { buildModel, exportModel, openDevice } from '@hybrid-train/hybrid';
import { trainingGraphs } from '@hybrid-train/hybrid/graph';
import { initialize } from '@hybrid-train/hybrid/layers';

const { values } = parseArgs({
  options: {
    onnxruntime: { type: 'string' },
    arch: {
      type: 'string',
      default: 'convmixer-256-8,conv-pooling,convmixer-2stage-flatten,convmixer-2stage,convmixer-256-8-block-residual',
    },
    batch: { type: 'string', default: '1,128' },
    runs: { type: 'string', default: '9' },
    threads: { type: 'string', default: `${availableParallelism()}` },
    'fold-bn': { type: 'boolean', default: false },
  },
});
if (values.onnxruntime === undefined) {
  console.error('usage: onnx.mjs --onnxruntime FOLDER [--arch NAME,…] [--batch 1,128] [--runs 9] [--threads N] [--fold-bn]');
  process.exit(2);
}
const [runs, threads] = [values.runs, values.threads].map(Number);
const require = createRequire(resolve(values.onnxruntime, 'package.json'));
const ort = require('onnxruntime-node');

const noise = (i) => (Math.imul(i + 1, 0x9e3779b1) >>> 8) / 2 ** 24;

/** Those that hybrid begins with, but noise where it begins with zeros and ones, so that nothing cancels by chance. */
function weightsOf(model) {
  let seen = 0;
  const noisy = (data) => {
    const flat = data.every((value) => value === data[0]);
    return Float32Array.from(data, (value) => (flat ? value + 0.4 * noise(seen++) - (value === 0 ? 0.2 : 0) : value));
  };
  return new Map([...initialize(model, 0n)].map(([name, data]) => [name, noisy(data)]));
}

const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

/** Medians of the times of both, in ms, and by how much their logits are apart. */
async function compare(device, model, onnx, weights, batch) {
  const images = Uint8Array.from({ length: batch * 32 * 32 * 3 }, (_, i) => 256 * noise(i));
  const executable = await device.compile(trainingGraphs(model), { capacity: batch, seed: 0n, programs: ['predict'] });
  for (const { name } of executable.state) if (weights.has(name)) await executable.write(name, weights.get(name));
  const options = { intraOpNumThreads: threads, interOpNumThreads: 1, graphOptimizationLevel: 'all' };
  const session = await ort.InferenceSession.create(onnx, options);
  const feeds = { images: new ort.Tensor('uint8', images, [batch, 32, 32, 3]) };
  const systems = {
    hybrid: () => executable.predict({ rows: batch, images }),
    onnxruntime: async () => (await session.run(feeds)).logits.data,
  };
  const own = await systems.hybrid();
  const theirs = await systems.onnxruntime();
  const largest = own.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  const apart = own.reduce((max, value, i) => Math.max(max, Math.abs(value - theirs[i])), 0) / largest;
  if (!(apart < 1e-4)) throw new Error(`${model.arch}: logits are ${apart} of the largest apart`);
  const times = { hybrid: [], onnxruntime: [] };
  for (let run = 0; run < runs; run++) {
    for (const [name, predict] of Object.entries(systems)) {
      await new Promise((done) => setTimeout(done, 100)); // the other's threads go to sleep
      // A time of a few milliseconds is the mean of several, one after the other.
      const begin = performance.now();
      let count = 0;
      do {
        await predict();
        count++;
      } while (performance.now() - begin < 100);
      times[name].push((performance.now() - begin) / count);
    }
  }
  await executable.close();
  await session.release();
  return { hybrid: median(times.hybrid), onnxruntime: median(times.onnxruntime), apart };
}

const device = await openDevice('wasm', { threads, v8Flags: true });
const { version } = require('onnxruntime-node/package.json');
console.log(
  `${cpus()[0].model}, ${threads} threads, Node ${process.version}; hybrid: ${device.description}; onnxruntime-node ${version}\n`,
);
console.log('| model | batch | hybrid | onnxruntime | hybrid is faster by | logits apart |\n| --- | --- | --- | --- | --- | --- |');
for (const arch of values.arch.split(',')) {
  const model = buildModel(arch, { input: [32, 32, 3], classes: 10 });
  const weights = weightsOf(model);
  const onnx = await exportModel({ model, weights }, 'onnx', { foldBatchNorm: values['fold-bn'] });
  for (const batch of values.batch.split(',').map(Number)) {
    const { hybrid, onnxruntime, apart } = await compare(device, model, onnx, weights, batch);
    const cells = [hybrid, onnxruntime].map((ms) => `${ms.toFixed(2)} ms, ${((1000 * batch) / ms).toFixed(0)} images/s`);
    console.log(`| ${arch} | ${batch} | ${cells.join(' | ')} | ${(onnxruntime / hybrid).toFixed(2)} | ${apart.toExponential(1)} |`);
  }
}
await device.close();
