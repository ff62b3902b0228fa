// What a layer computes for some images: its feature maps.

import { HybridError } from '../base/errors.ts';
import type { Device } from '../device.ts';
import type { Layer } from '../layers/index.ts';
import { buildForward } from '../model/build-graph.ts';
import type { Model } from '../model/model.ts';
import { writeWeights } from './evaluate.ts';

export interface ActivationsOptions {
  readonly device: Device;
  readonly model: Model;
  /** Parameters and moving statistics by name. */
  readonly weights: ReadonlyMap<string, Float32Array>;
  readonly layer: Layer;
  /** Images × height × width × channels, NHWC. */
  readonly images: Uint8Array;
  readonly signal?: AbortSignal;
}

/** The layer's output in inference mode: images × its output shape. Throws E_USAGE for the input layer, which computes nothing. */
export async function activations({ device, model, weights, layer, images, signal }: ActivationsOptions): Promise<Float32Array> {
  if (layer.index === 0) throw new HybridError('E_USAGE', 'the input layer computes nothing', 'Name a later layer.');
  const rows = images.length / model.input.reduce((product, n) => product * n, 1);
  const graphs = { predict: buildForward(model, 'inference', { loss: false, until: layer.index }) };
  const executable = await device.compile(graphs, { capacity: rows, seed: 0n, programs: ['predict'] });
  try {
    await writeWeights(executable, model, weights);
    return await executable.predict({ rows, images }, { signal });
  } finally {
    await executable.close();
  }
}
