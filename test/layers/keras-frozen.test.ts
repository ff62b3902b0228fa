// Networks of Keras' of which some layers are frozen (`trainable = False`): gradients, losses of three steps and what the steps change are those of
// Keras. Its numbers are in test/golden/keras/freeze.json (make_freeze.py); `test/interop/freeze.test.ts` asks Keras anew, of other models.

import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import type { Device } from '../../runtime/device.ts';
import { pathOf, stagesOf } from '../../runtime/train/freeze.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { openKerasNetwork } from '../support/keras-network.ts';

interface Case {
  readonly network: string;
  readonly freeze: string;
  /** Names of the layers. */
  readonly frozen: readonly string[];
  readonly losses: readonly number[];
  /** Before the first step, of what is trained, in order. */
  readonly gradients: readonly (readonly number[])[];
  /** Largest change of each weight in three steps. */
  readonly moved: readonly number[];
  /** Moving means and variances after them. */
  readonly statistics: readonly (readonly number[])[];
}

const FOLDER = new URL('../golden/keras', import.meta.url).pathname;
const CASES: readonly Case[] = JSON.parse(readFileSync(`${FOLDER}/freeze.json`, 'utf8'));

let device: Device;
beforeAll(async () => {
  device = await openWasmDevice({ threads: 1 });
});
afterAll(() => device.close());

const largest = (values: ArrayLike<number>) => Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
const apart = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  expect(a.length).toBe(b.length);
  return largest(Array.from(a, (value, i) => value - b[i]));
};

test.each(CASES.map((one) => [`${one.network} without ${one.freeze}`, one] as const))('%s', async (_, expected) => {
  const { trained, images, labels, rows } = await openKerasNetwork(FOLDER, expected.network);
  const { model, weights } = trained;
  const graphs = trainingGraphs(model, { groups: stagesOf(model, expected.freeze)[0].groups });
  const { gradients, values } = graphs.train;
  const trainedNames = new Set(gradients.map(({ parameter }) => values[parameter].name));
  const trainedPaths = new Set([...trainedNames].map(pathOf));
  const withWeights = model.layers.filter(({ variables }) => variables.length > 0);
  expect(withWeights.filter(({ path }) => !trainedPaths.has(path)).map(({ name }) => name)).toEqual(expected.frozen);

  const executable = await device.compile(graphs, { capacity: rows, seed: 1n });
  try {
    for (const [name, data] of weights) await executable.write(name, data);
    const batch = { rows, images, labels, samples: Int32Array.from({ length: rows }, (_, i) => i), epoch: 1 };
    const losses: number[] = [];
    for (let step = 0; step < 3; step++) {
      losses.push((await executable.gradient(batch)).loss);
      if (step === 0)
        for (const [i, { name }] of model.variables.filter(({ name }) => trainedNames.has(name)).entries()) {
          const theirs = expected.gradients[i];
          expect(apart(await executable.read(`gradients/${name}`), theirs), name).toBeLessThan(1e-4 * (largest(theirs) + 1e-3));
        }
      await executable.update({ learningRate: 1e-3, weightDecay: 1e-4, bnMomentum: trained.bnMomentum ?? 0.99 });
    }
    expect(expected.gradients).toHaveLength(trainedNames.size);
    expect(apart(losses, expected.losses)).toBeLessThan(1e-4);
    const statistics: ArrayLike<number>[] = [];
    for (const [i, { name, kind }] of model.variables.entries()) {
      const now = await executable.read(name);
      const moved = apart(now, weights.get(name) as Float32Array);
      // What is frozen stays to the bit on both sides.
      expect(moved === 0, name).toBe(expected.moved[i] === 0);
      expect(Math.abs(moved - expected.moved[i]), name).toBeLessThan(1e-5 + 1e-3 * expected.moved[i]);
      if (kind === 'statistic') statistics.push(now);
    }
    expect(statistics).toHaveLength(expected.statistics.length);
    for (const [i, now] of statistics.entries())
      expect(apart(now, expected.statistics[i])).toBeLessThan(1e-4 * (1 + largest(expected.statistics[i])));
  } finally {
    await executable.close();
  }
});
