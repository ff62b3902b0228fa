// Networks of keras.applications, as Keras builds and saves them, with weights and moving statistics that nothing is special about: logits and the
// losses of three steps here and there, the file written here in Keras, ONNX of it in ONNX Runtime. With HYBRID_INTEROP_FULL=1 all that
// test/golden/keras_networks.py names, one after the other; without, the one that has most kinds of layers for its size.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import type { Device } from '../../runtime/device.ts';
import { exportModel } from '../../runtime/interop/export.ts';
import { logitsOf, openKerasNetwork, relative, runNetwork } from '../support/keras-network.ts';
import { pythonWith, runPython } from '../support/python.ts';

const SCRIPT = '../golden/keras_networks.py';
/** HYBRID_APPLICATIONS=NASNetMobile,VGG16 names others. */
const { HYBRID_APPLICATIONS: named, HYBRID_INTEROP_FULL: full } = process.env;
const NAMES = named?.split(',') ?? (full === '1' ? ['applications'] : ['MobileNetV3Small']);
/** Of the loss of the first step: those after it also have what Adam makes of gradients near zero, steps of ±rate. */
const FIRST_LOSS = 1e-3;

const python = pythonWith('networks of keras.applications', 'keras', 'numpy', 'h5py', 'onnx', 'onnxruntime');
const folder = mkdtempSync(join(tmpdir(), 'hybrid-applications-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Checked = Readonly<Record<string, Readonly<Record<'logits' | 'losses' | 'onnx', readonly number[]>>>>;

describe.skipIf(!python)('keras.applications', { timeout: 3_600_000 }, () => {
  let device: Device;
  beforeAll(async () => {
    device = await openWasmDevice({ v8Flags: true });
    return () => device.close();
  });

  test('logits and losses here, there with the file from here, and in ONNX Runtime', async () => {
    const failures: string[] = [];
    const { names } = (await runPython(python as string, SCRIPT, 'make', folder, ...NAMES)) as { readonly names: readonly string[] };
    const networks = new Map<string, Awaited<ReturnType<typeof openKerasNetwork>>>();
    for (const name of names) {
      const network = await openKerasNetwork(folder, name);
      networks.set(name, network);
      writeFileSync(join(folder, `${name}.back.keras`), await exportModel(network.trained, 'keras'));
      writeFileSync(join(folder, `${name}.onnx`), await exportModel(network.trained, 'onnx', { foldBatchNorm: name.length % 2 === 0 }));
    }
    const checked = (await runPython(python as string, SCRIPT, 'check', folder)) as Checked;
    for (const [name, network] of networks) {
      const near = (what: string, found: number, limit: number) => {
        if (!(found <= limit)) failures.push(`${name}: ${what}: ${found.toExponential(1)}`);
      };
      const { logits, losses } = await runNetwork(device, network);
      near('logits', relative(logits, network.logits), 1e-4);
      near('first loss', Math.abs(losses[0] / network.losses[0] - 1), FIRST_LOSS);
      near('logits of the file from here', relative(checked[name].logits, network.logits), 1e-4);
      near('first loss of the file from here', Math.abs(checked[name].losses[0] / network.losses[0] - 1), FIRST_LOSS);
      near('logits of ONNX', relative(logitsOf(network, checked[name].onnx), network.logits), 1e-4);
      near('loss after two steps', losses[2] / losses[0], 1);
    }
    expect(failures).toEqual([]);
    expect(networks.size).toBe(names.length);
  });
});
