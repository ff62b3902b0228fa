// What a training step should take on GPUs that have not run it: for each kernel the longer of its arithmetic and its memory traffic, at what such a
// GPU is known to sustain, plus the gap to the next one. An estimate: nothing is measured.
//
//   node bench/gpu-estimates.mjs [--arch convmixer-256-8] [--batch 128]
//
// A table to stdout, in milliseconds. Needs a build (npm run build).

import { parseArgs } from 'node:util';
import { compileAll, layOut } from '../dist/gpu/host/program.js';
import { subgroupMatrices } from '../dist/gpu/kernels/matrices.js';
import { PROFILES } from '../dist/gpu/lowering/profile.js';
import { gpuOps } from '../dist/gpu/ops/index.js';
import { costOf } from '../dist/runtime/ir/define-op.js';
import { buildModel } from '../dist/runtime/model/architectures.js';
import { trainingGraphs } from '../dist/runtime/train/graphs.js';

const { values } = parseArgs({
  options: { arch: { type: 'string', default: 'convmixer-256-8' }, batch: { type: 'string', default: '128' } },
});
const batch = Number(values.batch);

const OF_NVIDIA = { m: 16, n: 16, k: 16, subgroupSize: 32, pinned: false };
const OF_APPLE = { m: 8, n: 8, k: 8, subgroupSize: 32, pinned: false, component: 'f32' };

/**
 * Operations and bytes a second as they are sustained, not at the peak, and seconds between two dispatches. Arithmetic: what others measured of products in WGSL
 * with these tiles, as a share of the peak (46 % on an RTX 5080 with 8 × 4 a thread; on an M4 Max 39 %, by matrices of f32 59 %; llama.cpp's
 * 44.7 TFLOP/s by matrices of f16 on an RTX 4070; 25 % of the peak by matrices on an H200). Of Intel's nobody has: 35 % is assumed. Memory: 80 to 90 % of the data sheet.
 */
const GPUS = {
  H200: { flops: 0.46 * 67e12, matrixFlops: 250e12, unit: OF_NVIDIA, bytes: 4.2e12, gap: 2.5e-6, profile: PROFILES.most },
  'RTX 4070': { flops: 0.46 * 29.1e12, matrixFlops: 44.7e12, unit: OF_NVIDIA, bytes: 430e9, gap: 2.5e-6, profile: PROFILES.most },
  'Apple M3 (10 cores), without its matrices': {
    flops: 0.39 * 3.5e12,
    matrixFlops: 0,
    unit: null,
    bytes: 85e9,
    gap: 5e-6,
    profile: PROFILES.apple,
  },
  'Apple M3 (10 cores)': {
    flops: 0.39 * 3.5e12,
    matrixFlops: 0.59 * 3.5e12,
    unit: OF_APPLE,
    bytes: 85e9,
    gap: 5e-6,
    profile: PROFILES.apple,
  },
  'Arc A770': { flops: 0.35 * 19.7e12, matrixFlops: 0, unit: null, bytes: 450e9, gap: 5e-6, profile: PROFILES.intel },
  'Iris Xe (96 units)': { flops: 0.35 * 2e12, matrixFlops: 0, unit: null, bytes: 50e9, gap: 10e-6, profile: PROFILES.intel },
};

function milliseconds({ flops, matrixFlops, unit, bytes, gap, profile }, precision) {
  const graphs = compileAll(
    trainingGraphs(buildModel(values.arch, { input: [32, 32, 3], classes: 10 })),
    { capacity: batch, seed: 0n, programs: ['train'] },
    precision !== 'f32',
  );
  const { programs } = layOut(graphs, batch, {
    precision,
    limits: { workgroupStorage: 32_768, invocations: 256, storageBuffers: 16 },
    features: { f16: precision !== 'f32', subgroups: true, barriers: true, subgroupMatrix: unit && subgroupMatrices(unit), profile },
  });
  const nodes = new Map();
  for (const dispatch of programs.flatMap((program) => program.dispatches))
    nodes.set(dispatch.node, [...(nodes.get(dispatch.node) ?? []), dispatch]);
  let seconds = 0;
  for (const [node, dispatches] of nodes) {
    const work = costOf(gpuOps[node.op], node, (id) => graphs.train.values[id].spec, batch).flops;
    const byMatrices = dispatches.some(({ kernel }) => /, (f16|f32 matrices)$/.test(kernel));
    const moved = dispatches.reduce((sum, { regions }) => sum + regions.reduce((own, region) => own + region.bytes, 0), 0);
    seconds += Math.max(work / (byMatrices ? matrixFlops : flops), moved / bytes) + gap * dispatches.length;
  }
  return 1000 * seconds;
}

const round = (ms) => Number(ms.toPrecision(2));
console.log(`${values.arch}, batch ${batch}, milliseconds a step, estimated\n\n| GPU | f32 | f16 |\n| --- | --- | --- |`);
for (const [name, gpu] of Object.entries(GPUS))
  console.log(`| ${name} | ${round(milliseconds(gpu, 'f32'))} | ${round(milliseconds(gpu, 'f16'))} |`);
