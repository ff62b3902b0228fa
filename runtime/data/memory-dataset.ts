// A dataset that is held in memory: all images in one byte array.

import { HybridError } from '../base/errors.ts';
import type { Dataset, Shared, SharedImages } from './dataset.ts';
import { interleave } from './planar.ts';

/** Images in one array, and what they are. */
export interface MemoryDatasetOptions {
  readonly name: string;
  /** [height, width, channels] */
  readonly shape: readonly [number, number, number];
  readonly classes: readonly string[];
  /** One a sample. */
  readonly labels: Uint8Array | Int32Array;
  /** Samples × height × width × channels, NHWC. Kept, not copied. Workers read it if it lies on a SharedArrayBuffer. */
  readonly images: Uint8Array;
  /** Where and how an image lies in `images`, where it is otherwise. */
  readonly records?: Pick<SharedImages, 'offset' | 'stride' | 'layout'>;
}

/** A dataset of images in memory. Throws E_DATA where the lengths of `images` and `labels` do not belong together. */
export function memoryDataset({ name, shape, classes, labels, images, records }: MemoryDatasetOptions): Dataset {
  const imageBytes = shape[0] * shape[1] * shape[2];
  const { offset, stride, layout } = records ?? { offset: 0, stride: imageBytes, layout: 'interleaved' };
  const size = labels.length;
  if (images.length !== size * stride) {
    const what = `${name} has ${images.length} bytes of images for ${size} labels, and an image has ${stride}`;
    throw new HybridError('E_DATA', what, 'Give labels × height × width × channels bytes.');
  }
  return {
    name,
    size,
    shape,
    classes,
    labels,
    read(indices, out) {
      for (let i = 0; i < indices.length; i++) {
        const from = offset + indices[i] * stride;
        const image = images.subarray(from, from + imageBytes);
        if (layout === 'planar') interleave(image, shape, out, i * imageBytes);
        else out.set(image, i * imageBytes);
      }
    },
    ...(isShared(images) && { images: { kind: 'shared', bytes: images, offset, stride, layout } satisfies SharedImages }),
  };
}

const isShared = (bytes: Uint8Array): bytes is Uint8Array & Shared => bytes.buffer instanceof SharedArrayBuffer;
