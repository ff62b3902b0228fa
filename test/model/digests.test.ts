// What may not change by a rearrangement of the code: the digests of the architectures, by which checkpoints know their model, and the
// numbers that a short training of each comes to.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import type { Device } from '../../runtime/device.ts';
import { graphDigest } from '../../runtime/ir/serialize.ts';
import { ARCHITECTURES, buildModel } from '../../runtime/model/architectures.ts';
import { initialize } from '../../runtime/model/init.ts';
import { trainingGraphs } from '../../runtime/train/graphs.ts';
import { expectClose } from '../support/close.ts';
import { randomBatch, smallModels } from '../support/models.ts';
import { uniform } from '../support/tensors.ts';

const DIGESTS: Readonly<Record<string, string>> = {
  'convmixer-256-8': '91deb8d7cac30802b52ae7269f93d8b04034f4e3f427e89467b219f632d79216',
  'conv-pooling': 'b4aaccbeac35cac03d4f21e245137b22a6716ab20ba57a87077324e137cf2633',
  'convmixer-2stage-flatten': 'd7b31c1688b0682bb7d6652850a4c7c4d94a6caa31a810b1cc323477bb968c2e',
  'convmixer-2stage': 'ae370a546e7219e183d265c65f6e5d515ba063db0178f0a0401f5dcd7449281a',
  'convmixer-256-8-block-residual': '24a85e8c69bb8cc862599d9fdfdf7c65d93f5075429918e475a334a7a52dfe38',
  convmixer: '91deb8d7cac30802b52ae7269f93d8b04034f4e3f427e89467b219f632d79216',
};

it.each(ARCHITECTURES)('the digest of %s is that of the checkpoints there are', (arch) => {
  const model = buildModel(arch, { input: [32, 32, 3], classes: 10 });
  expect(graphDigest(trainingGraphs(model).predict)).toBe(DIGESTS[arch]);
});

const SEED = 7n;
const ROWS = 6;
const STEPS = 3;
/** What engines with and without fused multiply-add, and other orders of sums, may differ by after STEPS steps. */
const NEAR = { relative: 1e-3 };

/**
 * The losses of the steps, and for each kind of state the sum of all its elements times random numbers in [0.5, 1.5): one wrong element shows,
 * the order of sums does not.
 */
const TRAINED: Readonly<Record<string, { readonly losses: readonly number[]; readonly state: Readonly<Record<string, number>> }>> = {
  'convmixer-256-8': {
    losses: [1.610727, 1.792426, 1.555214],
    state: {
      parameter: 422.2668,
      statistic: 119.6677,
      'slot:moment1': 44.31922,
      'slot:moment2': 0.3034248,
    },
  },
  'conv-pooling': {
    losses: [1.594336, 1.788513, 1.393986],
    state: {
      parameter: 193.4334,
      statistic: 8.062993,
      'slot:moment1': 12.62937,
      'slot:moment2': 0.04422443,
    },
  },
  'convmixer-2stage-flatten': {
    losses: [1.445944, 2.444384, 2.637298],
    state: {
      parameter: 827.1867,
      statistic: 183.2627,
      'slot:moment1': 294.5779,
      'slot:moment2': 5.563318,
    },
  },
  'convmixer-2stage': {
    losses: [1.453011, 1.897075, 1.526107],
    state: {
      parameter: 705.671,
      statistic: 183.2387,
      'slot:moment1': 67.3815,
      'slot:moment2': 0.3689779,
    },
  },
  'convmixer-256-8-block-residual': {
    losses: [1.550212, 1.719287, 1.897677],
    state: {
      parameter: 422.2259,
      statistic: 129.0175,
      'slot:moment1': 26.46774,
      'slot:moment2': 0.08131213,
    },
  },
  convmixer: {
    losses: [1.384256, 1.487087, 1.914586],
    state: {
      parameter: 109.2541,
      statistic: 27.89391,
      'slot:moment1': 9.04972,
      'slot:moment2': 0.05459005,
    },
  },
};

describe('a short training on wasm comes to the numbers it always came to', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openWasmDevice({ threads: 2 });
  });
  afterAll(() => device.close());

  it.each(smallModels().map((model) => [model.arch, model] as const))('%s', async (arch, model) => {
    const graphs = trainingGraphs(model);
    await using executable = await device.compile(graphs, { capacity: ROWS, seed: SEED });
    for (const [name, data] of initialize(model, SEED)) await executable.write(name, data);
    const losses: number[] = [];
    for (let step = 1; step <= STEPS; step++) {
      losses.push((await executable.gradient(randomBatch(model, ROWS, step))).loss);
      await executable.update({ learningRate: 1e-3, weightDecay: 1e-2, bnMomentum: 0.9 });
    }
    const state: Record<string, number> = {};
    const weight = uniform(3, 0.5, 1.5);
    for (const { name, kind } of executable.state) {
      const data = await executable.read(name);
      state[kind] = data.reduce((sum, value, i) => sum + weight(i) * Math.abs(value), state[kind] ?? 0);
    }
    const expected = TRAINED[arch];
    expectClose(losses, expected.losses, NEAR, 'losses');
    for (const [kind, sum] of Object.entries(expected.state)) expectClose([state[kind]], [sum], NEAR, kind);
  });
});
