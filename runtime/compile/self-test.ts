// Whether the numbers of a device can be trusted: a training step of a small network, compared with the reference loops in
// doubles. Drivers have bugs, and a run that silently learns nothing is the worst that they can do.

import type { BatchMetrics, Device, Precision, Update } from '../device.ts';
import { elementCount, type Graph } from '../ir/graph.ts';
import type { ReferenceTensor } from '../ir/op.ts';
import { type Environment, interpret, zeros } from '../ops/interpret.ts';
import { compileGraph, trainingGraph } from './compile.ts';
import { smallNetwork } from './small-network.ts';

const ROWS = 3;
const CHANNELS = 16;
const CLASSES = 10;
const HYPER = { learningRate: 1e-3, weightDecay: 1e-4, bnMomentum: 0.9 };
/** Of the largest element of a tensor, by tier. Measured: below 1e-4 in f32, 1.5e-2 in f16; a wrong kernel is off by 1. */
const TOLERANCES: Record<Precision, number> = { f32: 2e-3, f16: 5e-2, f16x3: 2e-3 };

/** What the self-test of a device found. */
export interface SelfTestResult {
  readonly passed: boolean;
  /** The largest difference, relative to the largest element of its tensor, and where it is. */
  readonly error: number;
  readonly tensor: string;
  readonly ms: number;
}

/** What was found, in words. */
export const formatSelfTest = ({ error, tensor }: Pick<SelfTestResult, 'error' | 'tensor'>): string =>
  `at most ${error.toExponential(1)} off the reference, in ${tensor}`;

/**
 * Runs one training step of a small network on the device and compares loss, gradients and state with the reference loops; below a
 * second on a CPU.
 */
export async function selfTest(device: Pick<Device, 'compile' | 'precision'>): Promise<SelfTestResult> {
  const begin = performance.now();
  const train = trainingGraph(smallNetwork(CHANNELS));
  const noise = (i: number) => (Math.imul(i + 1, 0x9e3779b1) >>> 8) / 2 ** 24;
  const images = Uint8Array.from({ length: ROWS * 16 * 16 * 3 }, (_, i) => 256 * noise(i));
  const labels = Int32Array.from({ length: ROWS }, (_, i) => (7 * i) % CLASSES);

  const expected = reference(train, images, labels, noise);
  const executable = await device.compile({ train, evaluate: train, predict: train }, { capacity: ROWS, seed: 1n, programs: ['train'] });
  try {
    for (const { name, kind } of executable.state)
      if (kind === 'parameter' || kind === 'statistic') await executable.write(name, expected.initial.get(name) as Float64Array);
    const step = () => Promise.all([executable.gradient({ rows: ROWS, images, labels }), executable.update(HYPER)]);
    let [{ loss, correct }, update]: [BatchMetrics, Update] = await step();
    while (update.overflow !== undefined) [{ loss, correct }, update] = await step(); // a scale that is halved each time, and comes to an end
    let worst = { error: 0, tensor: '' };
    const compare = (tensor: string, actual: ArrayLike<number>, values: ArrayLike<number>): void => {
      let largest = 0;
      let difference = 0;
      for (let i = 0; i < values.length; i++) {
        largest = Math.max(largest, Math.abs(values[i]));
        const distance = Math.abs(actual[i] - values[i]);
        difference = Number.isNaN(distance) ? Number.POSITIVE_INFINITY : Math.max(difference, distance);
      }
      const error = difference === 0 ? 0 : difference / largest;
      if (error >= worst.error) worst = { error, tensor };
    };
    compare('loss', [loss], expected.values.get('loss') ?? []);
    compare('correct', [correct], expected.values.get('correct') ?? []);
    for (const name of expected.compared) compare(name, await executable.read(name), expected.values.get(name) ?? []);
    return { passed: update.applied && worst.error <= TOLERANCES[device.precision ?? 'f32'], ...worst, ms: performance.now() - begin };
  } finally {
    await executable.close();
  }
}

/** Initial state, and what loops in doubles make of it: outputs, gradients and state by name. */
function reference(train: Graph, images: Uint8Array, labels: Int32Array, noise: (i: number) => number) {
  const graph = compileGraph(train, { withoutRules: ['all'] });
  const environment: Environment = new Map();
  const initial = new Map<string, ArrayLike<number>>();
  for (const { id, name, role, state, spec } of graph.values) {
    if (role === 'temporary') continue;
    const tensor = zeros(spec, ROWS);
    environment.set(id, tensor);
    if (name === 'images') tensor.data.set(images);
    if (name === 'labels') tensor.data.set(labels);
    if (state !== 'parameter' && state !== 'statistic') continue;
    for (let i = 0; i < tensor.data.length; i++)
      tensor.data[i] = Math.fround(0.6 * (noise(31 * id + i) - 0.5) + (state === 'statistic' ? 1 : 0));
    initial.set(name, tensor.data.slice());
  }
  interpret(graph, environment, { rows: ROWS, epoch: 0, seed: 1n, ...HYPER }, ['forward', 'backward', 'update']);
  const data = (id: number) => (environment.get(id) as ReferenceTensor).data;
  const values = new Map<string, ArrayLike<number>>();
  const compared: string[] = [];
  for (const [name, id] of Object.entries(graph.outputs)) values.set(name, data(id));
  for (const { parameter, gradient } of graph.gradients) {
    const name = `gradients/${graph.values[parameter].name}`;
    // A bias in front of a batch normalisation has a gradient of zero, of which only rounding is left.
    let largest = 0;
    for (const value of data(gradient)) largest = Math.max(largest, Math.abs(value));
    if (largest < 1e-6 * elementCount(graph.values[gradient].spec)) continue;
    values.set(name, data(gradient));
    compared.push(name);
  }
  for (const { id, name, role } of graph.values) {
    if (role !== 'state') continue;
    values.set(name, data(id));
    // Adam moves a weight by the rate whatever the size of its gradient: moments and weights follow from what was compared.
    if (graph.values[id].state === 'statistic' || graph.values[id].state === 'counter') compared.push(name);
  }
  return { initial, values, compared };
}
