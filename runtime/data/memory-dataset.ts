// A dataset that is held in memory: all images as one byte array.

import { invariant } from '../base/errors.ts';
import type { Dataset } from './dataset.ts';

export interface MemoryDatasetOptions {
  readonly name: string;
  /** [height, width, channels] */
  readonly shape: readonly [number, number, number];
  readonly classes: readonly string[];
  /** One a sample. */
  readonly labels: Uint8Array | Int32Array;
  /** Samples × height × width × channels, NHWC. Kept, not copied. */
  readonly images: Uint8Array;
}

export function memoryDataset({ name, shape, classes, labels, images }: MemoryDatasetOptions): Dataset {
  const imageBytes = shape[0] * shape[1] * shape[2];
  const size = labels.length;
  invariant(images.length === size * imageBytes, `${name}: ${images.length} image bytes for ${size} labels of ${imageBytes} bytes each`);
  return {
    name,
    size,
    shape,
    classes,
    labels,
    read(indices, out) {
      for (let i = 0; i < indices.length; i++) {
        const from = indices[i] * imageBytes;
        out.set(images.subarray(from, from + imageBytes), i * imageBytes);
      }
    },
  };
}
