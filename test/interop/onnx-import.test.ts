// Networks that PyTorch and TensorFlow wrote as ONNX files become models here with the logits that ONNX Runtime gives. Small fixtures
// (test/golden/make_onnx.py) without Python.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readWeights, type ToldOptions } from '../../app/saved-weights.ts';
import { openWasmDevice } from '../../asm/host/device.ts';
import type { Device } from '../../runtime/device.ts';
import type { TrainedModel } from '../../runtime/interop/trained-model.ts';
import { logitsOf } from '../support/logits.ts';

const fixture = (name: string) => fileURLToPath(new URL(`../golden/onnx/${name}`, import.meta.url));
const EXPECTED: { readonly images: number[]; readonly logits: Readonly<Record<string, number[][]>> } = JSON.parse(
  readFileSync(fixture('expected.json'), 'utf8'),
);
const IMAGES = Uint8Array.from(EXPECTED.images);

let device: Device;
beforeAll(async () => {
  device = await openWasmDevice({ v8Flags: true });
});
afterAll(() => device.close());

async function open(name: string, told: ToldOptions = {}): Promise<TrainedModel> {
  const { trained } = await readWeights(fixture(name), undefined, undefined, told);
  if (!trained) throw new Error('it is not known');
  return trained;
}

/** Largest difference, in parts of the largest number. */
function relative(got: ArrayLike<number>, expected: readonly number[]): number {
  expect(got.length).toBe(expected.length);
  const most = Math.max(...expected.map(Math.abs));
  return Math.max(...expected.map((value, i) => Math.abs(value - got[i]))) / most;
}

/** Logits up to what softmax does not see. */
const centered = (rows: ArrayLike<number>): number[] => {
  const numbers = Array.from(rows);
  return numbers.map((value, i) => {
    const row = numbers.slice(i - (i % 5), i - (i % 5) + 5);
    return value - row.reduce((sum, n) => sum + n, 0) / 5;
  });
};

describe('networks of other programs', () => {
  it.each(Object.keys(EXPECTED.logits))('%s gives the logits of ONNX Runtime', async (name) => {
    const trained = await open(`${name}.onnx`);
    expect(trained.model.input).toEqual([20, 24, 3]);
    const got = await logitsOf(device, trained, IMAGES);
    const expected = EXPECTED.logits[name].flat();
    // Where the file ends in a LogSoftmax, logits are what it reads.
    const difference = name.startsWith('shuffle') ? relative(centered(got), centered(expected)) : relative(got, expected);
    expect(difference).toBeLessThan(1e-5);
  });
});
