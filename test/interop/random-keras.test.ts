// Random functional models of Keras: logits, the loss of a step and every gradient here and there. Ten of them in every run, with
// HYBRID_INTEROP_FULL=1 a hundred.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import type { Device } from '../../runtime/device.ts';
import { readNpz } from '../../runtime/formats/npz.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { type KerasNetwork, logitsOf, openKerasNetwork, relative } from '../support/keras-network.ts';
import { pythonWith, runPython } from '../support/python.ts';

const FIRST = Number(process.env.HYBRID_RANDOM_FIRST ?? 0);
const COUNT = process.env.HYBRID_INTEROP_FULL === '1' ? 100 : 10;
/** Of the largest number of its kind in the model. */
const LOGITS = 1e-4;
const GRADIENTS = 1e-3;

const python = pythonWith('random models of Keras', 'keras', 'tensorflow', 'numpy', 'h5py');
const folder = mkdtempSync(join(tmpdir(), 'hybrid-random-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Made {
  readonly seed: number;
  readonly layers: readonly string[];
  /** Layer and number of the variable. */
  readonly weights: readonly (readonly [string, number])[];
}

/** Logits in inference, loss and gradients of a step. */
async function compute(device: Device, { trained: { model, weights }, images, labels, rows }: KerasNetwork, names: readonly string[]) {
  const executable = await device.compile(trainingGraphs(model), { capacity: rows, seed: 1n });
  try {
    for (const [name, data] of weights) await executable.write(name, data);
    const batch = { rows, images, labels, samples: Int32Array.from({ length: rows }, (_, i) => i), epoch: 1 };
    const logits = Float64Array.from(await executable.predict(batch));
    const { loss } = await executable.gradient(batch);
    const gradients: number[] = [];
    for (const name of names) for (const value of await executable.read(`gradients/${name}`)) gradients.push(value);
    return { logits, loss, gradients };
  } finally {
    await executable.close();
  }
}

describe.skipIf(!python)('Keras', { timeout: 3_600_000 }, () => {
  test('random models: logits, loss and gradients', async () => {
    const made = (await runPython(python as string, 'random_keras.py', folder, `${FIRST}`, `${COUNT}`)) as readonly Made[];
    const device = await openWasmDevice({ v8Flags: true });
    const failures: string[] = [];
    for (const { seed, layers, weights } of made) {
      const network = await openKerasNetwork(folder, `random-${seed}`);
      const { model } = network.trained;
      const names = weights.map(([layer, k]) => model.layers.find(({ name }) => name === layer)?.variables[k].name ?? layer);
      const { logits, loss, gradients } = await compute(device, network, names);
      const file = readNpz(readFileSync(join(folder, `random-${seed}.npz`)), { source: `random-${seed}.npz`, code: 'E_DATA' });
      const theirs = Array.from(file.get('gradients')?.data as ArrayLike<number>, Number);
      const near = (what: string, found: number, limit: number) => {
        if (!(found <= limit)) failures.push(`seed ${seed}: ${what} ${found.toExponential(1)}: ${layers.join(' ')}`);
      };
      near('logits', relative(logitsOf(network, logits), network.logits), LOGITS);
      near('loss', Math.abs(loss / network.losses[0] - 1), LOGITS);
      expect(gradients.length).toBe(theirs.length);
      near('gradients', relative(gradients, theirs), GRADIENTS);
    }
    await device.close();
    expect(failures).toEqual([]);
    expect(made).toHaveLength(COUNT);
  });
});
