// Inference of convmixer-256-8 in hybrid and in ONNX Runtime on the CPU: the same weights, the same images, in turn in one process.
//
//   ONNXRUNTIME_NODE_INSTALL=skip npm install --prefix FOLDER onnxruntime-node@1.30.0
//   node bench/peers/onnx.mjs --onnxruntime FOLDER [--batch 128] [--runs 7] [--threads N] [--norm affine|batchnorm]
//
// The ONNX model (opset 17) is written here by hand, as protocol buffers are simple enough. GELU is spelled with Erf, in the
// pattern that ONNX Runtime fuses; batch normalisation is folded into y = x·scale + shift, or left as a node (--norm).

import { createRequire } from 'node:module';
import { availableParallelism, cpus } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { trainingGraphs } from '../../dist/runtime/entries/graph.js';
import { initialize } from '../../dist/runtime/entries/layers.js';
import { buildModel, openDevice } from '../../dist/runtime/index.js';

const { values } = parseArgs({
  options: {
    onnxruntime: { type: 'string' },
    batch: { type: 'string', default: '128' },
    runs: { type: 'string', default: '7' },
    threads: { type: 'string', default: `${availableParallelism()}` },
    norm: { type: 'string', default: 'affine' },
  },
});
if (values.onnxruntime === undefined || !['affine', 'batchnorm'].includes(values.norm)) {
  console.error('usage: onnx.mjs --onnxruntime FOLDER [--batch 128] [--runs 7] [--threads N] [--norm affine|batchnorm]');
  process.exit(2);
}
const [batch, runs, threads] = [values.batch, values.runs, values.threads].map(Number);
const require = createRequire(resolve(values.onnxruntime, 'package.json'));
const ort = require('onnxruntime-node');

const DIM = 256;
const DEPTH = 8;
const KERNEL = 5;
const EPSILON = 1e-3;

// Protocol buffers: a field is its number and wire type, then its value. Only what ONNX needs here.

function varint(n) {
  const bytes = [];
  for (let rest = BigInt(n); ; ) {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest > 0n ? low | 0x80 : low);
    if (rest === 0n) return Buffer.from(bytes);
  }
}
const int = (field, n) => Buffer.concat([varint(field << 3), varint(n)]);
const bytes = (field, data) => Buffer.concat([varint((field << 3) | 2), varint(data.length), data]);
const text = (field, string) => bytes(field, Buffer.from(string));
const message = (field, ...parts) => bytes(field, Buffer.concat(parts));

const FLOAT = 1;
const UINT8 = 2;
const nodes = [];
const initializers = [];
const valueInfo = (field, name, type, shape) =>
  message(field, text(1, name), message(2, message(1, int(1, type), message(2, ...shape.map((n) => message(1, int(1, n)))))));

/** A constant; returns its name. */
function constant(shape, data) {
  const name = `constant${initializers.length}`;
  const raw = Buffer.from(Float32Array.from(data).buffer);
  initializers.push(message(5, ...shape.map((n) => int(1, n)), int(2, FLOAT), text(8, name), bytes(9, raw)));
  return name;
}

/** A node with one output; returns its name. Attributes are whole numbers or lists of them. */
function node(op, inputs, attributes = {}, output = `value${nodes.length}`) {
  const attribute = ([name, value]) => {
    if (typeof value === 'number')
      return message(5, text(1, name), Number.isInteger(value) ? int(3, value) : float(2, value), int(20, Number.isInteger(value) ? 2 : 1));
    return message(5, text(1, name), ...value.map((n) => int(8, n)), int(20, 7));
  };
  nodes.push(
    message(1, ...inputs.map((input) => text(1, input)), text(2, output), text(4, op), ...Object.entries(attributes).map(attribute)),
  );
  return output;
}
function float(field, value) {
  const data = Buffer.alloc(4);
  data.writeFloatLE(value);
  return Buffer.concat([varint((field << 3) | 5), data]);
}

// Weights: those that hybrid starts with, but noise where it starts with zeros and ones, so that nothing cancels by chance.

const model = buildModel('convmixer-256-8', { input: [32, 32, 3], classes: 10 });
const noise = (i) => (Math.imul(i + 1, 0x9e3779b1) >>> 8) / 2 ** 24;
let seen = 0;
const weights = new Map(
  [...initialize(model, 0n)].map(([name, data]) => {
    const flat = data.every((value) => value === data[0]);
    return [
      name,
      flat ? Float32Array.from(data, (value) => value + 0.4 * noise(seen++) - (value === 0 ? 0.2 : 0)) : Float32Array.from(data),
    ];
  }),
);
const layer = (name, k, i) => weights.get(`layers/${name}${k === 0 ? '' : `_${k}`}/vars/${i}`);

// The network. Keras keeps kernels as [height, width, in, out], ONNX as [out, in, height, width].

const reordered = (data, size, ci, co) =>
  Float32Array.from({ length: co * ci * size * size }, (_, i) => {
    const at = i % (size * size);
    const input = Math.floor(i / (size * size)) % ci;
    const output = Math.floor(i / (size * size * ci));
    return data[(at * ci + input) * co + output];
  });
const half = constant([], [0.5]);
const one = constant([], [1]);
const root2 = constant([], [Math.SQRT2]);
const gelu = (x) => node('Mul', [node('Mul', [x, node('Add', [node('Erf', [node('Div', [x, root2])]), one])]), half]);
function normalize(x, k) {
  const [gamma, beta, mean, variance] = [0, 1, 2, 3].map((i) => layer('batch_normalization', k, i));
  if (values.norm === 'batchnorm') {
    const operands = [gamma, beta, mean, variance].map((data) => constant([DIM], data));
    return node('BatchNormalization', [x, ...operands], { epsilon: EPSILON });
  }
  const scale = gamma.map((g, c) => g / Math.sqrt(variance[c] + EPSILON));
  const shift = beta.map((b, c) => b - mean[c] * scale[c]);
  return node('Add', [node('Mul', [x, constant([1, DIM, 1, 1], scale)]), constant([1, DIM, 1, 1], shift)]);
}
function convolve(x, k, size, ci) {
  const [w, b] = [layer('conv2d', k, 0), layer('conv2d', k, 1)];
  const operands = [constant([DIM, ci, size, size], reordered(w, size, ci, DIM)), constant([DIM], b)];
  return node('Conv', [x, ...operands], { kernel_shape: [size, size], strides: [size, size] });
}
function depthwise(x, k) {
  // [height, width, channels, 1] is a dense kernel with the channels as outputs of one input.
  const w = constant([DIM, 1, KERNEL, KERNEL], reordered(layer('depthwise_conv2d', k, 0), KERNEL, 1, DIM));
  const pad = (KERNEL - 1) / 2;
  return node('Conv', [x, w, constant([DIM], layer('depthwise_conv2d', k, 1))], {
    kernel_shape: [KERNEL, KERNEL],
    pads: [pad, pad, pad, pad],
    group: DIM,
  });
}
const pixels = node('Mul', [node('Cast', ['images'], { to: FLOAT }), constant([], [1 / 255])]);
let x = normalize(gelu(convolve(node('Transpose', [pixels], { perm: [0, 3, 1, 2] }), 0, 2, 3)), 0);
for (let k = 0; k < DEPTH; k++) {
  x = node('Add', [normalize(gelu(depthwise(x, k)), 2 * k + 1), x]);
  x = normalize(gelu(convolve(x, k + 1, 1, DIM)), 2 * k + 2);
}
const pooled = node('Flatten', [node('GlobalAveragePool', [x])], { axis: 1 });
node('Gemm', [pooled, constant([DIM, 10], layer('dense', 0, 0)), constant([10], layer('dense', 0, 1))], {}, 'logits');

const input = valueInfo(11, 'images', UINT8, [batch, 32, 32, 3]);
const output = valueInfo(12, 'logits', FLOAT, [batch, 10]);
const graph = message(7, ...nodes, text(2, model.arch), ...initializers, input, output);
const onnx = Buffer.concat([int(1, 8), graph, message(8, text(1, ''), int(2, 17))]);

// Both, in turn.

const images = Uint8Array.from({ length: batch * 32 * 32 * 3 }, (_, i) => 256 * noise(i));
const device = await openDevice('wasm', { threads, v8Flags: true });
const executable = await device.compile(trainingGraphs(model), { capacity: batch, seed: 0n, programs: ['predict'] });
for (const { name } of executable.state) if (weights.has(name)) await executable.write(name, weights.get(name));
const session = await ort.InferenceSession.create(onnx, {
  intraOpNumThreads: threads,
  interOpNumThreads: 1,
  graphOptimizationLevel: 'all',
});
const feeds = { images: new ort.Tensor('uint8', images, [batch, 32, 32, 3]) };
const systems = {
  hybrid: () => executable.predict({ rows: batch, images }),
  onnxruntime: async () => (await session.run(feeds)).logits.data,
};

const own = await systems.hybrid();
const theirs = await systems.onnxruntime();
const largest = own.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
const apart = own.reduce((max, value, i) => Math.max(max, Math.abs(value - theirs[i])), 0);
if (!(largest > 0 && apart < 1e-4 * largest)) throw new Error(`logits of up to ${largest} are ${apart} apart`);

const times = { hybrid: [], onnxruntime: [] };
for (let run = 0; run < runs; run++) {
  for (const [name, predict] of Object.entries(systems)) {
    await new Promise((done) => setTimeout(done, 100)); // the other's threads go to sleep
    const begin = performance.now();
    await predict();
    times[name].push(performance.now() - begin);
  }
}
await executable.close();
await device.close();
await session.release();

const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
console.log(
  `${cpus()[0].model}, ${threads} threads, Node ${process.version}, ${model.arch} at batch ${batch}, median of ${runs}; ` +
    `logits up to ${largest.toFixed(3)}, apart by ${apart.toExponential(1)} at most\n`,
);
console.log('| system | ms | images/s |\n| --- | --- | --- |');
for (const [name, list] of [
  [`hybrid: ${device.description}`, times.hybrid],
  [`onnxruntime-node ${require('onnxruntime-node/package.json').version}, ${values.norm}`, times.onnxruntime],
]) {
  console.log(`| ${name} | ${median(list).toFixed(0)} | ${((1000 * batch) / median(list)).toFixed(1)} |`);
}
console.log(`\nhybrid is ${(median(times.onnxruntime) / median(times.hybrid)).toFixed(2)} times as fast`);
