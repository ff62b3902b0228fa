// Recognises a dataset: a resumed run compares, so that it never goes on with other images under the same name.

import { createHash } from 'node:crypto';
import type { Dataset } from './dataset.ts';

/** Images that are looked at. Reading them all could take longer than the first steps. */
const IMAGES = 64;

/** One line: number of images, and a digest of shape, classes, all labels and evenly spaced images. Name and place do not count. */
export async function fingerprint(dataset: Dataset): Promise<string> {
  const { size, shape, classes, labels } = dataset;
  const count = Math.min(size, IMAGES);
  const indices = Int32Array.from({ length: count }, (_, i) => Math.floor((i * size) / count));
  const images = new Uint8Array(count * shape[0] * shape[1] * shape[2]);
  await dataset.read(indices, images);
  const digest = createHash('sha256')
    .update(JSON.stringify([size, shape, classes]))
    .update(new Uint8Array(Int32Array.from(labels).buffer))
    .update(images)
    .digest('hex');
  return `${size} images, sha256 ${digest.slice(0, 16)}`;
}
