// Predictions from a worker thread: the main thread only sends pictures and gets probabilities, and never computes.
//
//   node examples/predict-in-worker.mjs [RUN]
//
// RUN is a folder of `hybrid train`, or a file of weights; without one the model has its initial weights, which know nothing.

import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { buildModel, openDevice, predict, readWeights } from '@hybrid-train/hybrid';
import { syntheticSource } from '@hybrid-train/hybrid/data';
import { initialize } from '@hybrid-train/hybrid/layers';

if (isMainThread) await main(process.argv[2]);
else await work(workerData);

/** @param {string | undefined} run */
async function main(run) {
  const worker = new Worker(new URL(import.meta.url), { workerData: run });
  const { train } = syntheticSource({ train: 4 });
  const image = new Uint8Array(32 * 32 * 3);
  worker.on('message', ({ id, probabilities }) => {
    const best = probabilities.indexOf(Math.max(...probabilities));
    console.log(`picture ${id}: class ${best}, ${(100 * probabilities[best]).toFixed(1)} %`);
    if (id === train.size - 1) worker.postMessage(null);
  });
  for (let id = 0; id < train.size; id++) {
    await train.read([id], image);
    worker.postMessage({ id, image });
  }
}

/** @param {string | undefined} run */
async function work(run) {
  const trained = run ? (await readWeights(run)).trained : withInitialWeights();
  if (!trained) throw new Error(`${run} does not say which model it is`);
  const device = await openDevice('wasm');
  /** @type {number[]} */
  const ids = [];
  // `predict` takes pictures from an async iterable as they come: the model is compiled once.
  const images = (async function* () {
    for await (const message of messages()) {
      ids.push(message.id);
      yield message.image;
    }
  })();
  for await (const probabilities of predict({ device, trained, images, batch: 1 })) {
    const id = ids.shift();
    parentPort?.postMessage({ id, probabilities });
  }
  await device.close();
}

/** The messages of the main thread, up to the first null. */
async function* messages() {
  /** @type {{ id: number, image: Uint8Array }[]} */
  const waiting = [];
  let wake = () => {};
  let ended = false;
  parentPort?.on('message', (message) => {
    if (message) waiting.push(message);
    else ended = true;
    wake();
  });
  for (;;) {
    const message = waiting.shift();
    if (message) yield message;
    else if (ended) break;
    else await new Promise((resolve) => (wake = () => resolve(undefined)));
  }
  parentPort?.close();
}

function withInitialWeights() {
  const model = buildModel('convmixer', { input: [32, 32, 3], classes: 10, dim: 16, depth: 2, patch: 4 });
  return { model, weights: initialize(model, 0n) };
}
