// A dataset whose images stay on the disk, for sets larger than the memory budget. Labels are held: they are small.

import { invariant } from '../../runtime/base/errors.ts';
import type { Dataset, ImageReader } from '../../runtime/data/dataset.ts';
import { openReader, type Records } from './record-reader.ts';

export interface RecordDatasetOptions extends Records {
  readonly name: string;
  readonly classes: readonly string[];
  /** One an image. */
  readonly labels: Uint8Array | Int32Array;
}

// Workers load built files also where this one is run from its source, as the tests do.
const READER = new URL(import.meta.url.endsWith('.ts') ? '../../dist/app/sources/record-reader.js' : 'record-reader.js', import.meta.url)
  .href;

export function recordDataset({ name, classes, labels, ...records }: RecordDatasetOptions): Dataset {
  const count = records.files.reduce((sum, file) => sum + file.count, 0);
  invariant(labels.length === count, `${name}: ${labels.length} labels for ${count} images`);
  let reader: ImageReader | undefined;
  return {
    name,
    size: count,
    shape: records.shape,
    classes,
    labels,
    read: (indices, out) => (reader ??= openReader(records)).read(Int32Array.from(indices), out),
    images: { kind: 'module', module: READER, data: records, first: 0 },
  };
}
