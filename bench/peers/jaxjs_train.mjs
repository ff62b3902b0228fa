// Times forward and backward passes of a ConvMixer in jax-js on its WASM or its WebGPU backend; one JSON line. Without an optimizer,
// of which the package has none: the comparison is in its favour.
//
//   npm install @jax-js/jax@0.1.25
//   node --input-type=module - --batch 4 --steps 1 < jaxjs_train.mjs      (in the folder where that was done)
//   node --import …/dawn.mjs --input-type=module - --device webgpu --dim 64 --depth 4 --batch 16 < jaxjs_train.mjs

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { defaultDevice, init, jit, lax, nn, numpy as np, random, tree, valueAndGrad } from '@jax-js/jax';

const names = ['arch', 'device', 'batch', 'steps', 'dim', 'depth'];
const { values } = parseArgs({ options: Object.fromEntries(names.map((name) => [name, { type: 'string' }])) });
const { device = 'wasm' } = values;
const [batch, steps, dim, depth] = [values.batch ?? 4, values.steps ?? 1, values.dim ?? 256, values.depth ?? 8].map(Number);
const classes = 10;

await init('wasm', ...(device === 'webgpu' ? [device] : []));
defaultDevice(device);

let draws = 0;
const normal = (shape, scale) => random.normal(random.key(draws++), shape).mul(scale);
const block = () => ({ depthwise: normal([dim, 1, 5, 5], 0.2), pointwise: normal([dim, dim, 1, 1], 0.06) });
const parameters = {
  patches: normal([dim, 3, 2, 2], 0.3),
  blocks: Array.from({ length: depth }, block),
  head: normal([dim, classes], 0.06),
};

// Arrays are consumed by what uses them; `.ref` keeps one for another use.
function normalized(x) {
  const centred = x.sub(np.mean(x.ref, [0, 2, 3], { keepdims: true }));
  const variance = np.mean(np.square(centred.ref), [0, 2, 3], { keepdims: true });
  return centred.div(np.sqrt(variance.add(1e-3)));
}
const activated = (x) => normalized(nn.gelu(x, { approximate: false }));

function loss({ patches, blocks, head }, images, labels) {
  let x = activated(lax.convGeneralDilated(images, patches, [2, 2], 'VALID'));
  for (const { depthwise, pointwise } of blocks) {
    const mixed = activated(lax.convGeneralDilated(x.ref, depthwise, [1, 1], 'SAME', { featureGroupCount: dim }));
    x = activated(lax.convGeneralDilated(x.add(mixed), pointwise, [1, 1], 'SAME'));
  }
  const logits = np.matmul(np.mean(x, [2, 3]), head);
  return nn
    .logSoftmax(logits)
    .mul(labels)
    .sum()
    .mul(-1 / batch);
}

const step = jit(valueAndGrad(loss));
const images = normal([batch, 3, 32, 32], 1);
const labels = nn.oneHot(
  np.array(
    Array.from({ length: batch }, (_, i) => i % classes),
    { dtype: np.int32 },
  ),
  classes,
);
const times = [];
for (let i = 0; i <= steps; i++) {
  const begin = performance.now();
  const [value, gradients] = step(tree.ref(parameters), images.ref, labels.ref);
  await value.jsAsync();
  for (const leaf of tree.leaves(gradients)) await leaf.data();
  times.push(performance.now() - begin);
}
const timed = times.slice(1).sort((a, b) => a - b); // the first compiles
const version = JSON.parse(readFileSync('node_modules/@jax-js/jax/package.json', 'utf8')).version;
console.log(
  JSON.stringify({
    peer: `jax-js ${version}, ${device === 'wasm' ? 'WASM' : 'WebGPU'}, without optimizer`,
    batch,
    stepMs: timed[timed.length >> 1],
  }),
);
process.exit(0); // its workers would keep the process
