// Networks that Keras builds and saves now: computed and trained here as there; then the file written here, loaded and trained by Keras; then
// ONNX of them in ONNX Runtime. `test/layers/keras-networks.test.ts` does the first for files that are kept.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import type { Device } from '../../runtime/device.ts';
import { exportModel } from '../../runtime/interop/export.ts';
import { readKeras } from '../../runtime/interop/keras.ts';
import { type KerasNetwork, logitsOf, openKerasNetwork, relative, runNetwork } from '../support/keras-network.ts';
import { pythonWith, runPython } from '../support/python.ts';

const python = pythonWith('networks that Keras builds', 'keras', 'numpy', 'h5py', 'onnx', 'onnxruntime');
/** Adam takes whole steps where a gradient is 0 but for rounding, as that of a bias in front of batch normalisation. */
const AFTER = 2e-2;
const folder = mkdtempSync(join(tmpdir(), 'hybrid-networks-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const networks = new Map<string, KerasNetwork>();
let checked: Readonly<
  Record<
    string,
    {
      readonly logits: readonly number[];
      readonly losses: readonly number[];
      readonly after: readonly number[];
      readonly onnx: readonly number[];
    }
  >
>;
let device: Device;

describe.skipIf(!python)('Keras', { timeout: 900_000 }, () => {
  beforeAll(async () => {
    device = await openWasmDevice({ v8Flags: true });
    const script = '../golden/keras_networks.py';
    const { names } = (await runPython(python as string, script, 'make', folder)) as { readonly names: readonly string[] };
    for (const name of names) {
      const network = await openKerasNetwork(folder, name);
      networks.set(name, network);
      writeFileSync(join(folder, `${name}.back.keras`), await exportModel(network.trained, 'keras'));
      writeFileSync(join(folder, `${name}.onnx`), await exportModel(network.trained, 'onnx', { foldBatchNorm: name.length % 2 === 0 }));
    }
    checked = (await runPython(python as string, script, 'check', folder)) as typeof checked;
    return () => device.close();
  }, 900_000);

  test('every network: logits and losses here, there with the file from here, and in ONNX Runtime', async () => {
    const failures: string[] = [];
    const expectNear = (what: string, found: number, limit: number) => {
      if (!(found <= limit)) failures.push(`${what}: ${found.toExponential(1)}`);
    };
    for (const [name, network] of networks) {
      const { logits, losses, after } = await runNetwork(device, network);
      const there = checked[name];
      expectNear(`${name}: logits`, relative(logits, network.logits), 1e-4);
      expectNear(`${name}: losses`, relative(losses, network.losses), 1e-3);
      expectNear(`${name}: logits after three steps`, relative(after, network.after as Float64Array), AFTER);
      expectNear(`${name}: logits after three steps of the file from here`, relative(there.after, network.after as Float64Array), AFTER);
      expectNear(`${name}: logits of the file from here`, relative(there.logits, network.logits), 1e-4);
      expectNear(`${name}: losses of the file from here`, relative(there.losses, network.losses), 1e-3);
      expectNear(`${name}: logits of ONNX`, relative(logitsOf(network, there.onnx), network.logits), 1e-4);
      expect((await readKeras(await exportModel(network.trained, 'keras'))).model.layers).toEqual(network.trained.model.layers);
    }
    expect(failures).toEqual([]);
    expect(networks.size).toBeGreaterThanOrEqual(3);
  });
});
