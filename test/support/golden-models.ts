// The models of the golden files at reduced width, and how near each device must come to what is there.

import type { Device } from '../../runtime/device.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import { GoldenComparison, readGolden } from './golden.ts';
import { type GoldenStepsOptions, type GoldenTolerances, goldenSteps } from './golden-steps.ts';

export const GOLDEN_MODELS = [
  'convmixer-256-8',
  'conv-pooling',
  'convmixer-2stage-flatten',
  'convmixer-2stage',
  'convmixer-256-8-block-residual',
];

// About three times what was measured.
export const GOLDEN_TOLERANCES: Record<string, GoldenTolerances & { readonly ops: number }> = {
  // Doubles on both sides: what is left is the order of sums.
  reference: {
    ...{ ops: 1e-12, forward: 1e-13, gradients: 1e-12, losses: [1e-13, 1e-13, 1e-13] },
    ...{ weights: 1e-11, moments: 1e-11, statistics: 1e-13, after: 1e-12 },
  },
  // float32. Weights and moments are wide, because Adam makes a step of ±rate of a gradient near zero: which way is a matter of
  // the last bits, and so of the arithmetic.
  'wasm, multiply, then add': {
    ...{ ops: 1e-6, forward: 3e-5, gradients: 1e-4, losses: [5e-6, 5e-6, 5e-6] },
    ...{ weights: 1e-4, moments: 3e-4, statistics: 1e-6, after: 5e-6 },
  },
  'wasm, fused multiply-add': {
    ...{ ops: 1e-6, forward: 3e-5, gradients: 1e-4, losses: [5e-6, 5e-6, 5e-6] },
    ...{ weights: 4e-4, moments: 3e-4, statistics: 1e-6, after: 5e-6 },
  },
  webgpu: {
    ...{ ops: 1e-6, forward: 3e-5, gradients: 1e-4, losses: [5e-6, 5e-6, 5e-6] },
    ...{ weights: 5e-4, moments: 3e-4, statistics: 1e-6, after: 5e-6 },
  },
};

/** Three steps of a model on a device, all that the file has of them. */
export async function reducedSteps(
  device: Device,
  arch: string,
  { withoutRules, tolerances, layersOn }: Pick<GoldenStepsOptions, 'withoutRules' | 'tolerances' | 'layersOn'>,
): Promise<void> {
  const file = readGolden(arch);
  const { image, width } = file.metadata.reduced;
  const model = buildModel(arch, { input: [image, image, 3], classes: 10, dropout: 0, width });
  const state = initialState(file, 'reduced');
  const images = file.tensors.get('reduced/images')?.data as Uint8Array;
  const labels = file.tensors.get('reduced/labels')?.data as Int32Array;
  const compared = results(file, 'reduced').filter((tensor) => layersOn || !/step\/(outputs|logits)/.test(tensor));
  const golden = new GoldenComparison(file, compared);
  await goldenSteps(device, golden, { model, state, images, labels, withoutRules, tolerances, layersOn, section: 'reduced' });
  golden.finish();
}

export const initialState = (file: ReturnType<typeof readGolden>, section: string) =>
  [...file.tensors]
    .filter(([name]) => name.startsWith(`${section}/initial/`))
    .map(([name, { data }]) => [name.slice(`${section}/initial/`.length), data] as const);

/** Names of all tensors of a section that Keras computed. */
export const results = (file: ReturnType<typeof readGolden>, section: string): string[] =>
  [...file.tensors].filter(([name, { data }]) => name.startsWith(`${section}/`) && data instanceof Float64Array).map(([name]) => name);
