// A dataset that is held in memory: all images in one byte array.

import { arrayKind, isBytes } from '../base/array-kind.ts';
import { HybridError } from '../base/errors.ts';
import { type OptionNames, refuseUnknownOptions } from '../base/kinds.ts';
import { isShared } from '../base/shared.ts';
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

const OPTIONS: OptionNames<MemoryDatasetOptions> = { name: true, shape: true, classes: true, labels: true, images: true, records: true };

/**
 * A dataset of images in memory. Throws E_USAGE for an unknown option, E_DATA where `images` are no bytes, or their length and that of `labels` do not belong together.
 *
 * @category Data
 */
export function memoryDataset(options: MemoryDatasetOptions): Dataset {
  refuseUnknownOptions(options, OPTIONS, 'memoryDataset');
  const { name, shape, classes, labels, images, records } = options;
  const imageBytes = shape[0] * shape[1] * shape[2];
  if (!['Uint8Array', 'Int32Array'].includes(arrayKind(labels))) {
    const what = `the labels of ${name} are a ${arrayKind(labels)}`;
    throw new HybridError('E_DATA', what, 'Give a Uint8Array or Int32Array of classes, numbered from 0.');
  }
  const { offset, stride, layout } = records ?? { offset: 0, stride: imageBytes, layout: 'interleaved' };
  const size = labels.length;
  if (!isBytes(images)) {
    const what = `the images of ${name} are a ${arrayKind(images)}, and images are bytes`;
    throw new HybridError('E_DATA', what, 'Give a Uint8Array with values from 0 to 255; the model divides by 255 itself.');
  }
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
    ...(isSharedBytes(images) && { images: { kind: 'shared', bytes: images, offset, stride, layout } satisfies SharedImages }),
  };
}

const isSharedBytes = (bytes: Uint8Array): bytes is Uint8Array & Shared => isShared(bytes);
