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
import { type KerasNetwork, logitsOf, openKerasNetwork, relative, runNetwork } from '../support/keras-network.ts';
import { pythonWith, runPython } from '../support/python.ts';

const SCRIPT = '../golden/keras_networks.py';
/** HYBRID_APPLICATIONS=NASNetMobile,VGG16 names others. */
const { HYBRID_APPLICATIONS: named, HYBRID_INTEROP_FULL: full } = process.env;
const NAMES = named?.split(',') ?? (full === '1' ? ['applications'] : ['MobileNetV3Small']);
/** Of the losses of three steps; where Keras in floats and in doubles differ by more, that is the bound: Adam makes steps of ±rate of gradients near zero. */
const LOSSES = 1e-3;

const python = pythonWith('networks of keras.applications', 'keras', 'numpy', 'h5py', 'onnx', 'onnxruntime');
const folder = mkdtempSync(join(tmpdir(), 'hybrid-applications-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** How far each number is from its like, relative to that. */
const apart = (found: ArrayLike<number>, wanted: readonly number[]): number[] => wanted.map((value, i) => Math.abs(found[i] / value - 1));

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
    const networks = new Map<string, KerasNetwork>();
    const found = new Map<string, readonly number[]>();
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
      near('logits of the file from here', relative(checked[name].logits, network.logits), 1e-4);
      near('logits of ONNX', relative(logitsOf(network, checked[name].onnx), network.logits), 1e-4);
      near('first loss', apart(losses, network.losses)[0], LOSSES);
      found.set(name, losses);
    }
    const off = (name: string, others: ArrayLike<number>) => apart(others, (networks.get(name) as KerasNetwork).losses);
    const far = names.filter((name) =>
      [found.get(name), checked[name].losses].some((losses) => Math.max(...off(name, losses ?? [])) > LOSSES),
    );
    const wide = far.length > 0 ? ((await runPython(python as string, SCRIPT, 'wide', folder, ...far)) as Checked) : {};
    for (const name of far) {
      const bounds = off(name, wide[name].losses).map((one) => Math.max(LOSSES, one));
      // In doubles it is known who is near: from there, this device is no farther than Keras, or both are within the bound.
      const [here, back] = [found.get(name) as readonly number[], checked[name].losses];
      const told = [here, (networks.get(name) as KerasNetwork).losses, back, wide[name].losses].map((losses) =>
        losses.map((loss) => loss.toPrecision(6)).join(' '),
      );
      console.info(
        `${name}: losses here ${told[0]}; Keras ${told[1]}; Keras with the file from here ${told[2]}; Keras in doubles ${told[3]}`,
      );
      for (const [k, bound] of bounds.entries()) {
        const near = Math.min(off(name, here)[k], apart(here, wide[name].losses)[k]);
        if (!(near <= bound))
          failures.push(`${name}: loss ${k + 1}: ${near.toExponential(1)}, and Keras differs from itself by ${bound.toExponential(1)}`);
      }
    }
    expect(failures).toEqual([]);
    expect(networks.size).toBe(names.length);
  });
});
