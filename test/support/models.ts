// Small variants of every architecture, and a batch for them.

import { philox4x32 } from '../../runtime/base/philox.ts';
import type { Batch } from '../../runtime/device.ts';
import { ARCHITECTURES, buildModel } from '../../runtime/model/architectures.ts';
import type { Model } from '../../runtime/model/model.ts';

/** Every architecture at odd, narrow widths: each test that loops over them covers every op. */
export const smallModels = (): Model[] =>
  ARCHITECTURES.map((arch) =>
    arch === 'convmixer'
      ? buildModel(arch, { input: [9, 9, 3], classes: 4, dim: 6, depth: 2, kernel: 3, patch: 3 })
      : buildModel(arch, { input: [16, 16, 3], classes: 5, width: 7 / 256 }),
  );

/** A batch of random images, a function of the seed. */
export function randomBatch(model: Model, rows: number, seed = 1): Required<Omit<Batch, 'picks' | 'features'>> {
  const words = new Uint32Array(4);
  const next = (i: number): number => {
    philox4x32([seed, 0], [i, 0, 0, 0], words);
    return words[0];
  };
  const [h, w, c] = model.input;
  return {
    rows,
    images: Uint8Array.from({ length: rows * h * w * c }, (_, i) => next(i) & 255),
    labels: Int32Array.from({ length: rows }, (_, i) => next(1e6 + i) % model.classes),
    samples: Int32Array.from({ length: rows }, (_, i) => 10 + i),
    epoch: 1,
  };
}
