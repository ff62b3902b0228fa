// Networks that PyTorch and TensorFlow wrote as ONNX files become models here with the logits that ONNX Runtime gives. Small fixtures
// (test/golden/make_onnx.py) without Python; with PyTorch, torchvision and timm their own networks.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readWeights } from '../../app/saved-weights.ts';
import type { ToldOptions } from '../../app/weights-in-file.ts';
import { openWasmDevice } from '../../asm/host/device.ts';
import type { Device } from '../../runtime/device.ts';
import { exportModel } from '../../runtime/interop/export.ts';
import type { TrainedModel } from '../../runtime/interop/trained-model.ts';
import { logitsOf } from '../support/logits.ts';
import { pythonWith, runPython } from '../support/python.ts';

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

interface Peer {
  readonly file: string;
  readonly size: number;
  readonly logits: number[];
}

const python = pythonWith(
  'the networks of torchvision and timm as ONNX files',
  'torch',
  'torchvision',
  'timm',
  'onnx',
  'onnxruntime',
  'numpy',
);
/** Each with the side of its images. */
const NETWORKS = [
  ...[
    'tv:resnet18@64',
    'tv:mobilenet_v2@64',
    'tv:mobilenet_v3_small@64',
    'tv:efficientnet_b0@64',
    'tv:densenet121@64',
    'tv:squeezenet1_1@64',
  ],
  ...[
    'tv:shufflenet_v2_x1_0@64',
    'tv:googlenet@64',
    'tv:convnext_tiny@64',
    'timm:resnet18@64',
    'timm:regnety_002@64',
    'timm:tf_efficientnet_lite0@64',
  ],
];
const folder = mkdtempSync(join(tmpdir(), 'hybrid-onnx-import-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.skipIf(!python)('torchvision and timm', { timeout: 900_000 }, () => {
  it('give networks whose logits are those of ONNX Runtime, here and as files that are written again', async () => {
    const peers = Object.values((await runPython(python as string, 'onnx_import_peer.py', folder, ...NETWORKS)) as Record<string, Peer>);
    expect(peers).toHaveLength(NETWORKS.length);
    for (const { file, logits } of peers) {
      const { trained } = await readWeights(join(folder, file));
      if (!trained) throw new Error('it is not known');
      const images = new Uint8Array(readFileSync(join(folder, file.replace('.onnx', '.images'))));
      const difference = relative(await logitsOf(device, trained, images), logits);
      process.stderr.write(`${file}: logits differ by ${difference.toExponential(1)} of the largest\n`);
      expect(difference, file).toBeLessThan(1e-4);
      writeFileSync(join(folder, file.replace('.onnx', '.back.onnx')), await exportModel(trained, 'onnx', { version: '0' }));
    }
    const back = (await runPython(
      python as string,
      'onnx_import_peer.py',
      folder,
      'run',
      ...peers.map(({ file, size }) => `${file}@${size}`),
    )) as Record<string, number[]>;
    for (const { file, logits } of peers) expect(relative(back[file], logits), `${file}, written again`).toBeLessThan(1e-4);
  });
});
