// Whether the numbers of a device can be trusted: a training step of small networks, compared with the reference loops in
// doubles. Drivers have bugs, and a run that silently learns nothing is the worst that they can do.
//
// On a GPU the networks have the kernels of training: products by matrix units, where the tier has them, and tiles as large as those of
// the architectures. In the tiers with f16 a number beyond its range has to become infinite: loss scaling learns of an overflow by nothing else.

import type { BatchMetrics, Device, Precision, Update } from '../device.ts';
import { elementCount, type Graph } from '../ir/graph.ts';
import type { ReferenceTensor } from '../ir/op.ts';
import { type Environment, interpret, zeros } from '../ops/interpret.ts';
import { compileGraph, trainingGraph } from './compile.ts';
import { smallNetwork, WIDE_BETA, WIDE_CHANNELS, wideProduct } from './small-network.ts';

const ROWS = 3;
/** Of the CPU's kernels; and of a GPU's, whose matrix units are used from here on (gpu/lowering/conv.ts). */
const CHANNELS = 16;
const GPU_CHANNELS = 64;
const CLASSES = 10;
/** More than f16 can tell. */
const BEYOND_F16 = 1e5;
const HYPER = { learningRate: 1e-3, weightDecay: 1e-4, bnMomentum: 0.9 };
/** Of the largest element of a tensor, by tier. Measured: below 1e-4 in f32, 2e-2 in f16; a wrong kernel is off by 1. */
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
 * Runs one training step of small networks on the device and compares loss, gradients and state with the reference loops; below a
 * second on a CPU.
 */
export async function selfTest(device: Pick<Device, 'compile' | 'precision'>): Promise<SelfTestResult> {
  const begin = performance.now();
  const networks = device.precision === undefined ? [smallNetwork(CHANNELS)] : [smallNetwork(GPU_CHANNELS), wideProduct()];
  const tolerance = TOLERANCES[device.precision ?? 'f32'];
  let worst: Pick<SelfTestResult, 'passed' | 'error' | 'tensor'> = { passed: true, error: 0, tensor: '' };
  for (const network of networks) {
    const { applied, ...found } = await compareStep(device, network);
    const passed = applied && found.error <= tolerance;
    // What does not pass is what is told, whatever else is further off.
    if (worst.passed ? !passed || found.error >= worst.error : !passed && found.error > worst.error) worst = { passed, ...found };
  }
  if (worst.passed && device.precision !== undefined && device.precision !== 'f32' && !(await overflows(device)))
    worst = { passed: false, error: Number.POSITIVE_INFINITY, tensor: 'an activation beyond f16, which should be infinite' };
  return { ...worst, ms: performance.now() - begin };
}

const noise = (i: number): number => (Math.imul(i + 1, 0x9e3779b1) >>> 8) / 2 ** 24;

/** The network's training graph on the device, its weights those that the reference has, and a step of it. */
async function open(device: Pick<Device, 'compile'>, network: Graph) {
  const train = trainingGraph(network);
  const images = Uint8Array.from({ length: ROWS * 16 * 16 * 3 }, (_, i) => 256 * noise(i));
  const labels = Int32Array.from({ length: ROWS }, (_, i) => (7 * i) % CLASSES);
  const expected = reference(train, images, labels);
  const executable = await device.compile({ train, evaluate: train, predict: train }, { capacity: ROWS, seed: 1n, programs: ['train'] });
  try {
    for (const { name, kind } of executable.state)
      if (kind === 'parameter' || kind === 'statistic') await executable.write(name, expected.initial.get(name) as Float64Array);
  } catch (error) {
    await executable.close();
    throw error;
  }
  const step = (): Promise<[BatchMetrics, Update]> =>
    Promise.all([executable.gradient({ rows: ROWS, images, labels }), executable.update(HYPER)]);
  return { executable, expected, step };
}

/** How far a step is off the reference, and whether the device took its update. */
async function compareStep(device: Pick<Device, 'compile'>, network: Graph) {
  const { executable, expected, step } = await open(device, network);
  try {
    let [{ loss, correct }, update] = await step();
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
    return { applied: update.applied, ...worst };
  } finally {
    await executable.close();
  }
}

/** Whether an activation beyond f16 is infinite on the device, so that its step is refused: a GPU that stores the largest number in its place would clip in silence. */
async function overflows(device: Pick<Device, 'compile'>): Promise<boolean> {
  const { executable, step } = await open(device, wideProduct());
  try {
    await executable.write(
      WIDE_BETA,
      Float64Array.from({ length: WIDE_CHANNELS }, () => BEYOND_F16),
    );
    const [, { applied }] = await step();
    return !applied;
  } finally {
    await executable.close();
  }
}

/** Initial state, and what loops in doubles make of it: outputs, gradients and state by name. */
function reference(train: Graph, images: Uint8Array, labels: Int32Array) {
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
    // Of more channels the smaller, so that activations stay where GELU bends: where it does not, gradients before a normalisation cancel.
    const channels = spec.shape.length === 4 && spec.shape[3] > 1 ? spec.shape[2] : CHANNELS;
    const range = 0.6 * Math.min(1, Math.sqrt(CHANNELS / channels));
    for (let i = 0; i < tensor.data.length; i++)
      tensor.data[i] = Math.fround(range * (noise(31 * id + i) - 0.5) + (state === 'statistic' ? 1 : 0));
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
