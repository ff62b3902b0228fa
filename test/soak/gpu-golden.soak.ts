// The five models at full width, three training steps with the kernels that GPUs take (workgroup memory, barriers), against the digests of
// every tensor in test/golden; in f32, and in f16 where the adapter of this machine has it. Made for Mesa's lavapipe, which took five minutes at
// first and one when its cache was warm; other software adapters compile barriers in large shaders more slowly.

import { afterAll, beforeAll, describe, it } from 'vitest';
import { describeGpu } from '../../gpu/host/auto.ts';
import { acquireInstance } from '../../gpu/host/binding.ts';
import { openWebGpuDevice, type WebGpuDevice } from '../../gpu/host/device.ts';
import type { Precision } from '../../runtime/device.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { GoldenComparison, readGolden } from '../support/golden.ts';
import { GOLDEN_RUNS, goldenBatch, goldenWeights } from '../support/golden-run.ts';
import { type GoldenTolerances, goldenSteps } from '../support/golden-steps.ts';
import { asHardware } from '../support/hardware.ts';

const adapter = await describeGpu();
const tiers = adapter?.precisions ?? [];

/**
 * Of the digests, in units of the largest element. What follows the first step is wide where that step decides between ties: which of four
 * values is the largest (conv-pooling), or on which side of a ReLU a value of 1e-5 is (flatten; weights that differ by 3e-7 decide that on
 * the wasm device too). With f16, Adam makes steps of full length of gradients that are nothing but rounding: of weights and moments
 * it is only said there that nothing is lost.
 */
const F32: GoldenTolerances = {
  ...{ forward: 3e-5, gradients: 2e-4, losses: [1e-5, 1e-4, 5e-4] },
  ...{ weights: 7e-3, moments: 7e-3, statistics: 3e-3, after: 2e-3 },
};
const F16: GoldenTolerances = {
  ...{ forward: 3e-3, gradients: 6e-2, losses: [2e-3, 1e-2, 5e-2] },
  ...{ weights: 1, moments: 2, statistics: 1, after: 1e-1 },
};
const TOLERANCES: Record<Precision, Partial<Record<string, GoldenTolerances>> & { readonly otherwise: GoldenTolerances }> = {
  f32: {
    otherwise: F32,
    'conv-pooling': { ...F32, weights: 3e-2, moments: 5e-2 },
    'convmixer-2stage-flatten': { ...F32, losses: [1e-5, 1e-4, 1e-2], weights: 5e-1, moments: 5e-1, statistics: 3e-1, after: 5e-2 },
  },
  f16x3: { otherwise: F32 },
  f16: { otherwise: F16, 'conv-pooling': { ...F16, gradients: 1.5e-1 } },
};

describe.each(tiers)('%s', (precision) => {
  let device: WebGpuDevice;
  let release = (): void => {};
  beforeAll(async () => {
    const instance = await acquireInstance({ precision });
    release = () => instance.release();
    device = await openWebGpuDevice({ gpu: asHardware(instance.gpu), precision, timeLimitMs: 3_600_000 });
  });
  afterAll(async () => {
    await device?.close();
    release();
  });

  it.each(Object.keys(GOLDEN_RUNS) as (keyof typeof GOLDEN_RUNS)[])('three steps of %s', async (arch) => {
    const model = buildModel(arch, { input: [32, 32, 3], classes: 10, dropout: 0 });
    const file = readGolden(arch);
    const compared = [...file.tensors].flatMap(([name, { data }]) =>
      name.startsWith('full/') && data instanceof Float64Array && !/step\/(outputs|logits)/.test(name) ? [name] : [],
    );
    const golden = new GoldenComparison(file, compared);
    const { images, labels } = goldenBatch();
    await goldenSteps(device, golden, {
      ...{ model, labels, state: [...goldenWeights(model)], withoutRules: [], section: 'full' },
      images: (file.tensors.get('full/images')?.data as Uint8Array | undefined) ?? images,
      tolerances: TOLERANCES[precision][arch] ?? TOLERANCES[precision].otherwise,
    });
    golden.finish();
  });
});
