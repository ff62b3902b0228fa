// Real images: a small ConvMixer learns the sample of CIFAR-10 that lies beside the repository, and learns nothing that
// generalises where the labels are shuffled. Keras reaches 46 to 50 % under the same conditions.

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readCifar } from '../app/sources/cifar.ts';
import { openWasmDevice } from '../asm/host/device.ts';
import { nodeFiles } from '../runtime/base/files.ts';
import type { Dataset } from '../runtime/data/dataset.ts';
import { epochOrder } from '../runtime/data/sampler.ts';
import { split } from '../runtime/data/split.ts';
import { buildModel } from '../runtime/model/architectures.ts';
import { train } from '../runtime/train/run.ts';

const sample = fileURLToPath(new URL('../../shared/data/cifar10-sample', import.meta.url));
const present = existsSync(sample);
if (!present) process.stderr.write('SKIPPED: the tests on real images, because there is no ../shared/data/cifar10-sample\n');

/** The same images with labels in another order: what is left to learn is how often each class occurs. */
function withShuffledLabels(dataset: Dataset): Dataset {
  const order = epochOrder(dataset.size, { seed: 99n, epoch: 1, shuffle: true });
  const labels = Uint8Array.from(order, (i) => dataset.labels[i]);
  return { ...dataset, labels, read: (indices, out) => dataset.read(indices, out) };
}

async function validationAccuracy(prepare: (dataset: Dataset) => Dataset): Promise<number> {
  const source = await readCifar(nodeFiles, sample);
  const parts = split(prepare(source.train), { valFraction: 0.1 });
  const device = await openWasmDevice({ v8Flags: true });
  try {
    const run = train({
      device,
      model: buildModel('convmixer', { input: [32, 32, 3], classes: 10, dim: 64, depth: 4 }),
      ...parts,
      test: null,
      epochs: 6,
      batch: 128,
      learningRate: 2e-3,
      weightDecay: 1e-4,
      schedule: { name: 'constant' },
      earlyStopping: null,
      plateau: null,
      augment: { crop: 0, flip: true },
      shuffle: true,
      seed: 1n,
      bnMomentum: 0.9,
      recalibrateBn: 0,
    });
    let accuracy = 0;
    for await (const event of run) if (event.type === 'epoch') accuracy = event.validation?.accuracy ?? 0;
    return accuracy;
  } finally {
    await device.close();
  }
}

/** Half a minute each where nothing else runs; a busy machine may take many times as long. */
const PATIENCE_MS = 900_000;

describe.skipIf(!present)('real images', { timeout: PATIENCE_MS }, () => {
  it('are learned: at least 40 % after six epochs', async () => {
    expect(await validationAccuracy((dataset) => dataset)).toBeGreaterThanOrEqual(0.4);
  });

  it('are not learned with shuffled labels: less than 15 %', async () => {
    expect(await validationAccuracy(withShuffledLabels)).toBeLessThan(0.15);
  });
});
