// Times whole training steps of a ConvMixer in TensorFlow.js on its plain JavaScript or its WebGPU backend; one JSON line. Its WASM
// backend lacks the gradients of convolutions (tensorflow/tfjs#8474), and tfjs-node does not install on current versions of Node.
//
//   npm install @tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-webgpu@4.22.0
//   node --input-type=module - --batch 1 --steps 1 < tfjs_train.mjs       (in the folder where that was done)
//   node --import …/dawn.mjs --input-type=module - --device webgpu --dim 64 --depth 4 --batch 16 < tfjs_train.mjs

import { parseArgs } from 'node:util';
import * as tf from '@tensorflow/tfjs';

const names = ['arch', 'device', 'batch', 'steps', 'dim', 'depth'];
const { values } = parseArgs({ options: Object.fromEntries(names.map((name) => [name, { type: 'string' }])) });
const { device = 'wasm' } = values;
const [batch, steps, dim, depth] = [values.batch ?? 1, values.steps ?? 1, values.dim ?? 256, values.depth ?? 8].map(Number);
const classes = 10;

if (device === 'webgpu') await useWebGpu();
else await tf.setBackend('cpu');

/** As the backend registers itself in a browser. */
async function useWebGpu() {
  const { WebGPUBackend } = await import('@tensorflow/tfjs-backend-webgpu');
  const adapter = await navigator.gpu.requestAdapter();
  const wanted = [
    'maxComputeWorkgroupStorageSize',
    'maxComputeWorkgroupsPerDimension',
    'maxStorageBufferBindingSize',
    'maxBufferSize',
    'maxComputeWorkgroupSizeX',
    'maxComputeInvocationsPerWorkgroup',
  ];
  const requiredLimits = Object.fromEntries(wanted.map((name) => [name, adapter.limits[name]]));
  const gpu = await adapter.requestDevice({ requiredLimits });
  tf.registerBackend('webgpu', () => new WebGPUBackend(gpu, adapter.info), 10);
  if (!(await tf.setBackend('webgpu'))) throw new Error('TensorFlow.js does not take its WebGPU backend');
}

/** The exact GELU, which the package does not have. */
class Gelu extends tf.layers.Layer {
  static className = 'Gelu';

  call(inputs) {
    return tf.tidy(() => {
      const x = Array.isArray(inputs) ? inputs[0] : inputs;
      return x.mul(tf.erf(x.div(Math.SQRT2)).add(1).div(2));
    });
  }
}

const activated = (x) => tf.layers.batchNormalization().apply(new Gelu().apply(x));
const input = tf.input({ shape: [32, 32, 3] });
let x = activated(tf.layers.conv2d({ filters: dim, kernelSize: 2, strides: 2 }).apply(input));
for (let i = 0; i < depth; i++) {
  const mixed = activated(tf.layers.depthwiseConv2d({ kernelSize: 5, padding: 'same' }).apply(x));
  x = activated(tf.layers.conv2d({ filters: dim, kernelSize: 1 }).apply(tf.layers.add().apply([mixed, x])));
}
const logits = tf.layers.dense({ units: classes, activation: 'softmax' }).apply(tf.layers.globalAveragePooling2d({}).apply(x));
const model = tf.model({ inputs: input, outputs: logits });
model.compile({ optimizer: tf.train.adam(1e-3), loss: 'sparseCategoricalCrossentropy' });

const images = tf.randomUniform([batch, 32, 32, 3]);
const labels = tf.tensor1d(Array.from({ length: batch }, (_, i) => i % classes));
const times = [];
for (let i = 0; i <= steps; i++) {
  const begin = performance.now();
  await model.trainOnBatch(images, labels);
  times.push(performance.now() - begin);
}
const timed = times.slice(1).sort((a, b) => a - b);
console.log(
  JSON.stringify({
    peer: `TensorFlow.js ${tf.version.tfjs}, ${device === 'wasm' ? 'JavaScript' : 'WebGPU'}`,
    batch,
    stepMs: timed[timed.length >> 1],
  }),
);
process.exit(0); // a GPU would keep the process
