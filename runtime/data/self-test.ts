// Whether the data kernels of this thread do what they are for: an image through all of them, against the plain loops.

import { invariant } from '../base/errors.ts';
import type { AugmentOptions } from './augment/augmentations.ts';
import { augmentReference } from './augment/augmentations.ts';
import { ImageKernels, type KernelModule, kernelCalls } from './kernels.ts';

const SHAPE = [5, 18, 3] as const;
const MEAN = [1, 2, 3];
const AUGMENT: AugmentOptions = {
  crop: 2,
  flip: true,
  padding: 'mean',
  erase: { probability: 1, area: [0.1, 0.3], ratio: 2 },
};
const SAMPLES = Int32Array.of(0, 1, 2, 3);

/** Throws E_INTERNAL where they do not. Takes a few milliseconds. */
export function selfTest(module: KernelModule): void {
  const set = { shape: SHAPE, mean: MEAN };
  const kernels = new ImageKernels(module, { shape: SHAPE, seed: 7n, calls: kernelCalls('interleaved', AUGMENT, set) });
  const size = SHAPE[0] * SHAPE[1] * SHAPE[2];
  const images = Uint8Array.from({ length: SAMPLES.length * size }, (_, i) => Math.imul(i + 1, 0x9e3779b1) >>> 24);
  kernels.input.set(images);
  const out = kernels.run(SAMPLES, 1);
  for (const sample of SAMPLES) {
    const at = sample * size;
    const expected = augmentReference(images.subarray(at, at + size), AUGMENT, set, { seed: 7n, epoch: 1, sample });
    invariant(
      expected.every((byte, i) => byte === out[at + i]),
      'the data kernels give wrong bytes on this engine',
    );
  }
}
