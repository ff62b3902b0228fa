// Recognises a dataset: a resumed run compares, so that it never goes on with other images under the same name.

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
  const head = new TextEncoder().encode(JSON.stringify([size, shape, classes]));
  const bytes = new Uint8Array(head.length + 4 * labels.length + images.length);
  bytes.set(head);
  bytes.set(new Uint8Array(Int32Array.from(labels).buffer), head.length);
  bytes.set(images, head.length + 4 * labels.length);
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  const text = Array.from(digest.subarray(0, 8), (byte) => byte.toString(16).padStart(2, '0')).join('');
  return `${size} images, sha256 ${text}`;
}
