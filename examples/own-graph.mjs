// A graph that is no model: edges of pictures, by Sobel's kernels and a maximum over windows of 2×2, on every device that there is.
//
//   node examples/own-graph.mjs

import { HybridError, openDevice } from '@hybrid-train/hybrid';
import { GraphBuilder, ops, printGraph } from '@hybrid-train/hybrid/graph';

const SIDE = 16;

// images u8 [16, 16, 1] → logits f32 [8, 8, 2]: changes to the right and downwards. Names of inputs and of the result are the contract's.
const g = new GraphBuilder('edges', ops);
const images = g.input('images', { dtype: 'u8', shape: [SIDE, SIDE, 1], perSample: true });
const kernels = g.state('sobel', [3, 3, 1, 2], 'parameter');
const changes = g.one('conv', [g.one('rescale', [images], { scale: 1 / 255 }), kernels], { stride: 1, padding: 'same' });
g.output('logits', g.one('maxPool', [g.one('relu', [changes])]));
const graph = g.finish();
console.log(printGraph(graph));

const SOBEL = [-1, -1, 0, -2, 1, -1, -2, 0, 0, 0, 2, 0, -1, 1, 0, 2, 1, 1];

// A bright square on a dark ground, and the same the other way round.
const rows = 2;
const pictures = Uint8Array.from({ length: rows * SIDE * SIDE }, (_, i) => {
  const [y, x] = [Math.floor(i / SIDE) % SIDE, i % SIDE];
  const inside = x > 3 && x < 11 && y > 3 && y < 11;
  return inside === i < SIDE * SIDE ? 220 : 30;
});

/** @type {Float32Array | undefined} */
let expected;
for (const name of /** @type {const} */ (['reference', 'wasm', 'webgpu'])) {
  try {
    const device = await openDevice(name);
    try {
      const executable = await device.compile({ predict: graph }, { capacity: rows, seed: 0n });
      await executable.write('sobel', SOBEL);
      const edges = await executable.predict({ rows, images: pictures });
      expected ??= edges;
      const difference = Math.max(...edges.map((value, i) => Math.abs(value - (expected?.[i] ?? Number.NaN))));
      console.log(`${name}: ${edges.length} numbers, largest difference from the reference ${difference.toExponential(1)}`);
    } finally {
      await device.close(); // and the executable with it
    }
  } catch (error) {
    if (!(error instanceof HybridError && error.code === 'E_ENVIRONMENT')) throw error;
    console.log(`${name}: not here (${error.message})`);
  }
}

for (let y = 0; y < SIDE / 2; y++) {
  const line = Array.from({ length: SIDE / 2 }, (_, x) => (expected?.[(y * (SIDE / 2) + x) * 2] ? '>' : '.'));
  console.log(line.join(''));
}
