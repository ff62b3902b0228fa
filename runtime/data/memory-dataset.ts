// A dataset that is held in memory: all images in one byte array.

import { invariant } from '../base/errors.ts';
import type { Dataset, SharedImages } from './dataset.ts';

export interface MemoryDatasetOptions {
  readonly name: string;
  /** [height, width, channels] */
  readonly shape: readonly [number, number, number];
  readonly classes: readonly string[];
  /** One a sample. */
  readonly labels: Uint8Array | Int32Array;
  /** Samples × height × width × channels, NHWC. Kept, not copied. Workers read it if it lies on a SharedArrayBuffer. */
  readonly images: Uint8Array;
}

export function memoryDataset({ name, shape, classes, labels, images }: MemoryDatasetOptions): Dataset {
  const stride = shape[0] * shape[1] * shape[2];
  const size = labels.length;
  invariant(images.length === size * stride, `${name}: ${images.length} image bytes for ${size} labels of ${stride} bytes each`);
  return {
    name,
    size,
    shape,
    classes,
    labels,
    read(indices, out) {
      for (let i = 0; i < indices.length; i++) {
        const from = indices[i] * stride;
        out.set(images.subarray(from, from + stride), i * stride);
      }
    },
    ...(isShared(images) && { images: { kind: 'shared', bytes: images, offset: 0, stride, layout: 'interleaved' } satisfies SharedImages }),
  };
}

const isShared = (bytes: Uint8Array): bytes is Uint8Array<SharedArrayBuffer> => bytes.buffer instanceof SharedArrayBuffer;
