// What a trained model computes.

import type { Device } from '../../runtime/device.ts';
import type { TrainedModel } from '../../runtime/interop/trained-model.ts';
import { writeWeights } from '../../runtime/train/evaluate.ts';
import { inferenceGraphs } from '../../runtime/train/graphs.ts';

/** The logits of images as bytes, one after the other. */
export async function logitsOf(device: Device, { model, weights }: TrainedModel, images: Uint8Array): Promise<Float32Array> {
  const rows = images.length / model.input.reduce((product, n) => product * n, 1);
  const executable = await device.compile(inferenceGraphs(model), { capacity: rows, seed: 0n, programs: ['predict'] });
  try {
    await writeWeights(executable, model, weights);
    return Float32Array.from(await executable.predict({ rows, images }));
  } finally {
    await executable.close();
  }
}
