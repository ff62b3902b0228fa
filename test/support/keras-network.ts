// A network of test/golden/keras_networks.py: its .keras file, and what Keras computes with it, beside what is computed here.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readWeights } from '../../app/saved-weights.ts';
import type { Device } from '../../runtime/device.ts';
import { readNpz } from '../../runtime/formats/npz.ts';
import type { TrainedModel } from '../../runtime/interop/trained-model.ts';
import { initialize } from '../../runtime/model/init.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';

export interface KerasNetwork {
  readonly trained: TrainedModel;
  readonly images: Uint8Array;
  readonly labels: Int32Array;
  readonly rows: number;
  /** Of Keras: logits, or log-probabilities. */
  readonly logits: Float64Array;
  readonly softmax: boolean;
  readonly losses: readonly number[];
  /** Logits after three steps; files of before 0.3 have none. */
  readonly after?: Float64Array;
  /** Of the three steps. */
  readonly learningRate: number;
}

export async function openKerasNetwork(folder: string, name: string, ending = '.keras'): Promise<KerasNetwork> {
  const { trained } = await readWeights(join(folder, `${name}${ending}`));
  if (!trained) throw new Error(`${name}${ending} is no model`);
  const arrays = readNpz(readFileSync(join(folder, `${name}.npz`)), { source: `${name}.npz`, code: 'E_DATA' });
  const of = (key: string): number[] => Array.from(arrays.get(key)?.data as ArrayLike<number>, Number);
  const labels = Int32Array.from(of('labels'));
  return {
    trained,
    images: Uint8Array.from(of('images')),
    labels,
    rows: labels.length,
    logits: Float64Array.from(of('logits')),
    softmax: of('softmax')[0] === 1,
    losses: of('losses'),
    ...(arrays.has('after') && { after: Float64Array.from(of('after')) }),
    learningRate: arrays.has('rate') ? of('rate')[0] : 1e-3,
  };
}

/** Logits, losses of three steps, and logits after them, on a device; rates as in keras_networks.py. */
export async function runNetwork(device: Device, network: KerasNetwork) {
  const { trained, images, labels, rows, learningRate } = network;
  const { model, weights } = trained;
  const executable = await device.compile(trainingGraphs(model), { capacity: rows, seed: 1n });
  try {
    for (const [name, data] of [...initialize(model, 5n), ...weights]) await executable.write(name, data);
    const samples = Int32Array.from({ length: rows }, (_, i) => i);
    const batch = { rows, images, labels, samples, epoch: 1 };
    const logits = Float64Array.from(await executable.predict(batch));
    const losses: number[] = [];
    for (let step = 0; step < 3; step++) {
      losses.push((await executable.gradient(batch)).loss);
      await executable.update({ learningRate, weightDecay: 1e-4, bnMomentum: trained.bnMomentum ?? 0.99 });
    }
    const after = Float64Array.from(await executable.predict(batch));
    return { logits: logitsOf(network, logits), losses, after: logitsOf(network, after) };
  } finally {
    await executable.close();
  }
}

/** As the network's file has them: log-probabilities where it ends in a softmax. */
export const logitsOf = ({ softmax, trained }: KerasNetwork, logits: ArrayLike<number>): Float64Array =>
  softmax ? logProbabilities(Float64Array.from(logits), trained.model.classes) : Float64Array.from(logits);

function logProbabilities(logits: Float64Array, classes: number): Float64Array {
  return logits.map((logit, i) => {
    const row = logits.subarray(i - (i % classes), i - (i % classes) + classes);
    const largest = Math.max(...row);
    return logit - largest - Math.log(row.reduce((sum, other) => sum + Math.exp(other - largest), 0));
  });
}

/** The largest difference, relative to the largest value. */
export function relative(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const largest = Array.from(b).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0) / largest;
}
