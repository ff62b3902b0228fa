// timm's ConvMixers: files of its own class are read, and give its probabilities. Small fixtures (test/golden/make_timm.py) without PyTorch; with
// PyTorch and timm the three models as they are, with random weights.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { readWeights } from '../../app/saved-weights.ts';
import { openWasmDevice } from '../../asm/host/device.ts';
import type { Device } from '../../runtime/device.ts';
import { readTorch } from '../../runtime/formats/torch-file.ts';
import { readTimmConvmixer } from '../../runtime/interop/timm.ts';
import type { TrainedModel } from '../../runtime/interop/trained-model.ts';
import { predict } from '../../runtime/train/predict.ts';
import { hybridError } from '../support/expect-error.ts';
import { pythonWith, runPython } from '../support/python.ts';

const fixture = (name: string) => fileURLToPath(new URL(`../golden/timm/${name}`, import.meta.url));
const EXPECTED = JSON.parse(readFileSync(fixture('expected.json'), 'utf8'));
const IMAGE_SIZE: [number, number] = [EXPECTED.shape[1], EXPECTED.shape[2]];

let device: Device;
beforeAll(async () => {
  device = await openWasmDevice({ v8Flags: true });
});
afterAll(() => device.close());

async function probabilities(trained: TrainedModel, bytes: Uint8Array): Promise<Float64Array[]> {
  const [height, width, channels] = trained.model.input;
  const size = height * width * channels;
  const images = Array.from({ length: bytes.length / size }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
  const rows: Float64Array[] = [];
  for await (const row of predict({ device, trained, images, batch: images.length })) rows.push(row);
  return rows;
}

function largestDifference(got: readonly Float64Array[], expected: readonly number[][]): number {
  expect(got.map(({ length }) => length)).toEqual(expected.map(({ length }) => length));
  return Math.max(...got.flatMap((row, i) => Array.from(row, (value, k) => Math.abs(value - expected[i][k]))));
}

describe("files of timm's class", () => {
  it.each([
    ['relu.pth', 'relu'],
    ['relu-legacy.pth', 'relu'],
    ['gelu.pth', 'gelu'],
    ['gelu.safetensors', 'gelu'],
  ] as const)('%s gives its probabilities', async (name, activation) => {
    const { trained } = await readWeights(fixture(name), undefined, undefined, { activation, imageSize: IMAGE_SIZE });
    if (!trained) throw new Error('it is not known');
    expect(trained.model.config).toMatchObject({ arch: 'convmixer', epsilon: 1e-5, classes: 5 });
    expect(trained.preprocessing).toEqual({ crop: 0.96, interpolation: 'cubic' });
    const got = await probabilities(trained, Uint8Array.from(EXPECTED.images));
    expect(largestDifference(got, EXPECTED[activation])).toBeLessThan(1e-5);
  });

  it('say what was assumed of them', async () => {
    const { trained } = await readWeights(fixture('gelu.pth'));
    expect(trained?.model.input).toEqual([224, 224, 3]);
    expect(trained?.notices).toEqual([
      expect.stringMatching(
        /is read as a ConvMixer of timm; ImageNet's mean .* its activation is taken to be gelu: name it with `activation` otherwise\.$/,
      ),
    ]);
  });

  it.each([
    [
      'without a tensor',
      (t: Map<string, unknown>) => t.delete('blocks.1.3.running_var'),
      /lacks blocks\.1\.3\.running_var; convmixer needs shape \[6\]/,
    ],
    [
      'with one more',
      (t: Map<string, unknown>) => t.set('aux.weight', t.get('head.weight')),
      /has aux\.weight, which convmixer does not have/,
    ],
    [
      'with one of another shape',
      (t: Map<string, unknown>) => t.set('head.bias', { shape: [4], data: new Float32Array(4) }),
      /has head\.bias with shape \[4\]/,
    ],
    [
      'with an impossible kernel',
      (t: Map<string, unknown>) => t.set('stem.0.weight', { shape: [6, 3, 0, 0], data: new Float32Array() }),
      /claims a ConvMixer of|not a ConvMixer that can be built/,
    ],
  ])('%s are refused', async (_, change, message) => {
    const { tensors } = readTorch(new Uint8Array(readFileSync(fixture('relu.pth'))));
    const changed = new Map(tensors);
    change(changed as Map<string, unknown>);
    const read = async () => readTimmConvmixer(changed, 'x.pth');
    expect((await hybridError('E_CHECKPOINT', read())).message).toMatch(message);
  });

  it('of another network are told what they hold', async () => {
    const path = fileURLToPath(new URL('../golden/pickles/table.pth', import.meta.url));
    const { message } = await hybridError('E_CHECKPOINT', readWeights(path));
    expect(message).toMatch(/table\.pth holds \d+ tensors of a network that is not known here: /);
  });
});

interface Peer {
  readonly timm: string;
  readonly torch: string;
  readonly models: Readonly<
    Record<
      string,
      {
        readonly logits: number[][];
        readonly probabilities: number[][];
        readonly size: number[];
        readonly crop: number;
        readonly interpolation: string;
      }
    >
  >;
}

const python = pythonWith('the comparison with timm', 'torch', 'timm', 'numpy');
const NAMES = ['convmixer_768_32', 'convmixer_1024_20_ks9_p14', 'convmixer_1536_20'];
const folder = mkdtempSync(join(tmpdir(), 'hybrid-timm-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.skipIf(!python)('timm', { timeout: 900_000 }, () => {
  test("and this program agree on its models' probabilities", async () => {
    const peer = (await runPython(python as string, 'timm_peer.py', folder, ...NAMES)) as Peer;
    const images = new Uint8Array(readFileSync(join(folder, 'images.bin')));
    for (const name of NAMES) {
      const expected = peer.models[name];
      // Without being told anything: activation, sizes and preprocessing are those of the model.
      const { trained } = await readWeights(join(folder, `${name}.pth`));
      if (!trained) throw new Error('it is not known');
      expect([3, ...trained.model.input.slice(0, 2)]).toEqual(expected.size);
      expect([trained.preprocessing?.crop, trained.preprocessing?.interpolation]).toEqual([
        expected.crop,
        expected.interpolation.replace('bicubic', 'cubic'),
      ]);
      const difference = largestDifference(await probabilities(trained, images), expected.probabilities);
      process.stderr.write(`timm ${peer.timm}, PyTorch ${peer.torch}, ${name}: probabilities differ by ${difference.toExponential(1)}\n`);
      expect(difference, name).toBeLessThan(1e-4);
    }
  });
});
