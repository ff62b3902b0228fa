// Networks of keras.applications, as Keras builds and saves them, with weights and moving statistics that nothing is special about: logits and the
// losses of three steps here and there, the file written here in Keras, ONNX of it in ONNX Runtime. With HYBRID_INTEROP_FULL=1 all that
// test/golden/keras_networks.py names, one after the other; without, the one that has most kinds of layers for its size.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import type { Device } from '../../runtime/device.ts';
import { exportModel } from '../../runtime/interop/export.ts';
import { logitsOf, openKerasNetwork, relative, runNetwork } from '../support/keras-network.ts';
import { pythonWith, runPython } from '../support/python.ts';

const SCRIPT = '../golden/keras_networks.py';
/** HYBRID_APPLICATIONS=NASNetMobile,VGG16 names others. */
const { HYBRID_APPLICATIONS: named, HYBRID_INTEROP_FULL: full } = process.env;
/** As the script names them, with the sizes of their images. */
const ALL = [...readFileSync(new URL(SCRIPT, import.meta.url), 'utf8').matchAll(/^ {4}"(\w+)": \d+,$/gm)].map(([, name]) => name);
const NAMES = named?.split(',') ?? (full === '1' ? ALL : ['MobileNetV3Small']);
if (NAMES.length < ALL.length)
  process.stderr.write(`SKIPPED: ${ALL.length - NAMES.length} networks of keras.applications, which HYBRID_INTEROP_FULL=1 tries as well\n`);
/** Of the losses of three steps; where Keras in floats and in doubles differ by more, that is the bound: Adam makes steps of ±rate of gradients near zero. */
const LOSSES = 1e-3;
/** Whether figures are printed. */
const SHOW = full === '1' || named !== undefined;

const python = pythonWith('networks of keras.applications', 'keras', 'numpy', 'h5py', 'onnx', 'onnxruntime');

/** How far each number is from its like, relative to that. */
const apart = (found: ArrayLike<number>, wanted: readonly number[]): number[] => wanted.map((value, i) => Math.abs(found[i] / value - 1));
const largest = (numbers: readonly number[]): number => numbers.reduce((most, one) => Math.max(most, one), 0);
const told = (losses: readonly number[]): string => losses.map((loss) => loss.toPrecision(7)).join(' ');

type Checked = Readonly<Record<string, Readonly<Record<'logits' | 'losses' | 'onnx', readonly number[]>>>>;

describe.skipIf(!python)('keras.applications', { timeout: 3_600_000 }, () => {
  let device: Device;
  test('there are twelve networks to be tried', () => expect(ALL).toHaveLength(12));

  beforeAll(async () => {
    device = await openWasmDevice({ v8Flags: true });
    return () => device.close();
  });

  test.each(NAMES)('%s: logits and losses here, there with the file from here, and in ONNX Runtime', async (name) => {
    const folder = mkdtempSync(join(tmpdir(), 'hybrid-applications-'));
    try {
      await runPython(python as string, SCRIPT, 'make', folder, name);
      const network = await openKerasNetwork(folder, name);
      writeFileSync(join(folder, `${name}.back.keras`), await exportModel(network.trained, 'keras'));
      writeFileSync(join(folder, `${name}.onnx`), await exportModel(network.trained, 'onnx', { foldBatchNorm: name.length % 2 === 0 }));
      const { [name]: back } = (await runPython(python as string, SCRIPT, 'check', folder)) as Checked;
      const { logits, losses } = await runNetwork(device, network);
      const found = {
        logits: relative(logits, network.logits),
        'logits of the file from here': relative(back.logits, network.logits),
        'logits of ONNX': relative(logitsOf(network, back.onnx), network.logits),
      };
      for (const [what, error] of Object.entries(found)) expect(error, what).toBeLessThanOrEqual(1e-4);
      const off = [apart(losses, network.losses), apart(back.losses, network.losses)];
      if (SHOW)
        console.info(
          `${name}: ${JSON.stringify(found)}; losses off by ${off.map((one) => largest(one).toExponential(1)).join(' and there by ')}`,
        );
      if (largest(off.flat()) <= LOSSES) return;
      const { [name]: wide } = (await runPython(python as string, SCRIPT, 'wide', folder, name)) as Checked;
      const { [name]: orders } = (await runPython(python as string, SCRIPT, 'orders', folder, name)) as Record<string, readonly number[][]>;
      // Keras' own losses differ by rounding with the order of the rows: the largest of those distances, step by step.
      const distances = [network.losses, ...orders].map((one) => apart(one, wide.losses));
      const rounding = network.losses.map((_, k) => largest(distances.map((one) => one[k])));
      const text = `losses here ${told(losses)}; Keras ${told(network.losses)}; its like from here ${told(back.losses)}; in doubles ${told(wide.losses)}; with rows in other orders off by up to ${told(rounding)}`;
      console.info(`${name}: ${text}`);
      // Keras in floats is as far from the truth as rounding makes it, and this device no farther.
      for (const [k, bound] of rounding.entries()) {
        for (const one of [losses, back.losses])
          expect(apart(one, wide.losses)[k], `loss ${k + 1} and that in doubles: ${text}`).toBeLessThanOrEqual(Math.max(LOSSES, bound));
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
