// Files of Keras 2 (tf-keras), and of the older form that Keras 2 and 3 write with the ending .h5: logits, losses of three steps and what they lead
// to, as Keras computes them. test/golden/keras2_networks.py writes the files.

import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { readWeights } from '../../app/saved-weights.ts';
import { openWasmDevice } from '../../asm/host/device.ts';
import type { Device } from '../../runtime/device.ts';
import { exportModel } from '../../runtime/interop/export.ts';
import { readKeras } from '../../runtime/interop/keras.ts';
import { openKerasNetwork, relative, runNetwork } from '../support/keras-network.ts';

const FOLDER = new URL('../golden/keras2', import.meta.url).pathname;
let device: Device;
beforeAll(async () => {
  device = await openWasmDevice({ threads: 2 });
  return () => device.close();
});

describe.each([
  ['sequential', '.keras'],
  ['sequential', '.h5'],
  ['operations', '.keras'],
  ['operations', '.h5'],
  ['attention', '.keras'],
  ['attention', '.h5'],
  ['older', '.h5'],
])('%s%s', (name, ending) => {
  test('computes what Keras computes, and is the same model again from the file written here', async () => {
    const network = await openKerasNetwork(FOLDER, name, ending);
    const { logits, losses, after } = await runNetwork(device, network);
    expect(relative(logits, network.logits)).toBeLessThan(1e-5);
    expect(relative(losses, network.losses)).toBeLessThan(1e-4);
    // Adam takes a whole step of the gradient of a bias in front of batch normalisation, which is 0 but for rounding.
    expect(relative(after, network.after as Float64Array)).toBeLessThan(name === 'sequential' ? 1e-4 : 2e-2);
    const again = await readKeras(await exportModel(network.trained, 'keras'), 'again');
    expect(again.model.layers).toEqual(network.trained.model.layers);
    expect(again.weights).toEqual(network.trained.weights);
  });
});

test.each(['sequential', 'operations'])('weights alone of %s are under names that the model of its .keras knows', async (name) => {
  const { trained } = await openKerasNetwork(FOLDER, name);
  const { weights } = await readWeights(join(FOLDER, `${name}.weights.h5`));
  for (const { name: variable } of trained.model.variables)
    expect(weights.get(trained.kerasNames?.get(variable) ?? variable), variable).toEqual(trained.weights.get(variable));
  expect(trained.kerasNames?.size ?? 0).toBe(name === 'sequential' ? 0 : 8);
});
