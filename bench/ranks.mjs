// Times training steps of one rank alone, of all ranks apart and of all together, in turn, for the cost model of docs/scaling.md: what a
// rank loses to the others' use of memory and caches, to waiting for the slowest, and to the exchange. Prints a JSON line from rank 0.
//
//   mpiexec -n 2 node bench/ranks.mjs [--arch convmixer-2stage] [--rows 128] [--seconds 100] [--threads 1]
//
// `strong`: so many rows for all together; `weak`: for each rank. Speed-ups are medians over the rounds, in each of which every case has one
// step; `in one piece` sends the gradients after the backward pass instead of beside it. `cpu` is the time of all threads of a
// rank. Build first (npm run build). Made-up images, no data pipeline.

import { parseArgs } from 'node:util';
import { distribute, openMpi } from '../dist/runtime/entries/distributed.js';
import { trainingGraphs } from '../dist/runtime/entries/graph.js';
import { initialize } from '../dist/runtime/entries/layers.js';
import { buildModel, openDevice } from '../dist/runtime/index.js';

const { values } = parseArgs({
  options: {
    arch: { type: 'string', default: 'convmixer-2stage' },
    rows: { type: 'string', default: '128' },
    seconds: { type: 'string', default: '100' },
    threads: { type: 'string', default: '1' },
  },
});
const [rows, seconds, threads] = ['rows', 'seconds', 'threads'].map((name) => Number(values[name]));
const HYPER = { learningRate: 1e-3, weightDecay: 1e-4, bnMomentum: 0.99 };

const group = await openMpi({ timeoutSeconds: 120 });
const { rank, size } = group;
const all = size * rows;
const model = buildModel(values.arch, { input: [32, 32, 3], classes: 10 });
const [h, w, c] = model.input;
const images = Uint8Array.from({ length: all * h * w * c }, (_, i) => (Math.imul(i + 1, 0x9e3779b1) >>> 24) & 0xff);
const labels = Int32Array.from({ length: all }, (_, i) => i % 10);
const samples = Int32Array.from(labels.keys());
const device = await openDevice('wasm', { threads, v8Flags: true });

/** Milliseconds of every `gradient` and `update` on this rank's own device. */
let own = [];
async function compiled(on, capacity) {
  const executable = await on.compile(trainingGraphs(model), { capacity, seed: 0n, programs: ['train'] });
  for (const [name, data] of initialize(model, 0n)) await executable.write(name, data);
  return executable;
}
const compile = device.compile.bind(device);
let inParts = true;
device.compile = async (graphs, options) => {
  const executable = await compile(graphs, inParts ? options : { ...options, onGradients: undefined });
  for (const name of ['gradient', 'update']) {
    const call = executable[name].bind(executable);
    executable[name] = async (...args) => {
      const begin = performance.now();
      const result = await call(...args);
      own.push(performance.now() - begin);
      return result;
    };
  }
  return executable;
};
const { device: distributed } = distribute({ device, communicator: group });
const alone = await compiled(device, rows);
const together = await compiled(distributed, all);
inParts = false;
const inOnePiece = await compiled(distributed, all);

/** A step between two meetings: what it took, and what this rank's own device did of it. */
async function step(executable, rows) {
  await group.sum(Float64Array.of(0));
  own = [];
  const begin = performance.now();
  const used = process.cpuUsage();
  await executable?.gradient({ rows, images, labels, samples, epoch: 1 });
  await executable?.update(HYPER);
  const whole = performance.now() - begin;
  const { user, system } = process.cpuUsage(used);
  await group.sum(Float64Array.of(0));
  return { whole, computed: own[0] + own[1], cpu: (user + system) / 1000 };
}

const cases = {
  one: () => step(rank === 0 ? alone : null, rows),
  'strong, apart': () => step(alone, Math.floor(rows / size)),
  'strong, together': () => step(together, rows),
  'strong, in one piece': () => step(inOnePiece, rows),
  'weak, apart': () => step(alone, rows),
  'weak, together': () => step(together, all),
  'weak, in one piece': () => step(inOnePiece, all),
};
/** By case, of every round: mean and slowest of the ranks' compute times, the slowest of the whole and the mean CPU time, in ms. */
const taken = Object.fromEntries(Object.keys(cases).map((name) => [name, []]));
const start = performance.now();
for (let round = 0; ; round++) {
  for (const [name, run] of Object.entries(cases)) {
    const told = await group.gather(new TextEncoder().encode(JSON.stringify(await run())));
    const ranks = told.map((bytes) => JSON.parse(new TextDecoder().decode(bytes))).slice(0, name === 'one' ? 1 : size);
    const mean = (key) => ranks.reduce((sum, times) => sum + times[key], 0) / ranks.length;
    const slowest = (key) => Math.max(...ranks.map((times) => times[key]));
    // The first round warms up.
    if (round > 0)
      taken[name].push({ computed: mean('computed'), slowest: slowest('computed'), whole: slowest('whole'), cpu: mean('cpu') });
  }
  const over = Float64Array.of(rank === 0 && performance.now() - start > seconds * 1000 ? 1 : 0);
  await group.sum(over);
  if (over[0] > 0 && round > 0) break;
}

if (rank === 0) {
  const median = (numbers) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1];
  const medians = (rounds) =>
    Object.fromEntries(
      ['computed', 'slowest', 'whole', 'cpu'].map((key) => [key, Math.round(10 * median(rounds.map((times) => times[key]))) / 10]),
    );
  const speedup = (name, factor) => median(taken.one.map(({ whole }, round) => (factor * whole) / taken[name][round].whole)).toFixed(3);
  const speedups = Object.fromEntries(Object.keys(cases).map((name) => [name, speedup(name, name.startsWith('weak') ? size : 1)]));
  const milliseconds = Object.fromEntries(Object.entries(taken).map(([name, rounds]) => [name, medians(rounds)]));
  const best = Object.fromEntries(
    Object.entries(taken).map(([name, rounds]) => [name, Math.round(Math.min(...rounds.map(({ whole }) => whole)))]),
  );
  const { description: library } = group;
  const of = {
    library,
    ranks: size,
    arch: model.arch,
    rows,
    threads,
    rounds: taken.one.length,
    device: device.description,
  };
  console.log(JSON.stringify({ ...of, speedups, milliseconds, best }));
}
await group.close();
process.exit(0);
