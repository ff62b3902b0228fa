// A picture of what training sees: images side by side, or each image as it is stored and then as its augmentation makes it epoch
// by epoch, by the very kernels that training uses.

import { HybridError } from '../../runtime/base/errors.ts';
import { type OptionNames, refuseUnknownOptions } from '../../runtime/base/kinds.ts';
import type { AugmentOptions } from '../../runtime/data/augment/augmentations.ts';
import type { Dataset } from '../../runtime/data/dataset.ts';
import { DataPipeline } from '../../runtime/data/pipeline.ts';
import { firstSamples } from '../../runtime/data/split.ts';

/** Pixels, a byte a channel. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  /** Grey or RGB. */
  readonly channels: 1 | 3;
  /** Row by row. */
  readonly data: Uint8Array;
}

/** What a preview shows. */
export interface PreviewOptions {
  readonly rows: number;
  readonly columns: number;
  /** Absent: rows × columns images as they are stored. Otherwise a row is an image: as it is stored, then in epochs 1, 2 … */
  readonly augment?: AugmentOptions;
  readonly seed: bigint;
  readonly signal?: AbortSignal;
}

/** Pixels between images, and the least side of one. */
const GAP = 4;
const LEAST_SIDE = 96;
const MOST_PIXELS = 2 ** 26;

const OPTIONS: OptionNames<PreviewOptions> = { rows: true, columns: true, augment: true, seed: true, signal: true };

/** Images from the first on. Throws what reading throws, E_USAGE for a picture that is too large or options that are not possible. */
export async function previewPicture(dataset: Dataset, options: PreviewOptions): Promise<Picture> {
  refuseUnknownOptions(options, OPTIONS, 'previewPicture');
  const { rows, columns, augment, seed, signal } = options;
  const [height, width, channels] = dataset.shape;
  const scale = Math.max(1, Math.ceil(LEAST_SIDE / Math.max(height, width)));
  const [cellHeight, cellWidth] = [height * scale + GAP, width * scale + GAP];
  const [pictureHeight, pictureWidth] = [rows * cellHeight + GAP, columns * cellWidth + GAP];
  if (pictureHeight * pictureWidth > MOST_PIXELS) {
    throw new HybridError('E_USAGE', `the picture would have ${pictureWidth} × ${pictureHeight} pixels`, 'Ask for fewer rows and columns.');
  }
  const colours = channels === 3 ? 3 : 1;
  const data = new Uint8Array(pictureHeight * pictureWidth * colours).fill(255);
  const place = (image: Uint8Array, row: number, column: number): void => {
    for (let y = 0; y < height * scale; y++) {
      let to = ((GAP + row * cellHeight + y) * pictureWidth + GAP + column * cellWidth) * colours;
      for (let x = 0; x < width * scale; x++) {
        const from = (Math.floor(y / scale) * width + Math.floor(x / scale)) * channels;
        for (let c = 0; c < colours; c++) data[to++] = image[from + c];
      }
    }
  };

  const images = firstSamples(dataset, augment ? rows : rows * columns);
  const imageBytes = height * width * channels;
  const stored = new Uint8Array(images.size * imageBytes);
  await images.read(
    Array.from({ length: images.size }, (_, i) => i),
    stored,
  );
  const imageAt = (bytes: Uint8Array, i: number): Uint8Array => bytes.subarray(i * imageBytes, (i + 1) * imageBytes);
  for (let i = 0; i < images.size; i++) place(imageAt(stored, i), augment ? i : Math.floor(i / columns), augment ? 0 : i % columns);
  if (augment && columns > 1) {
    const pipeline = await DataPipeline.open(
      { preview: { dataset: images, batch: images.size, seed, shuffle: false, augment } },
      { workers: 0 },
    );
    try {
      for (let epoch = 1; epoch < columns; epoch++) {
        for await (const batch of pipeline.loader('preview').epoch(epoch, { signal })) {
          for (let i = 0; i < batch.rows; i++) place(imageAt(batch.images, i), i, epoch);
        }
      }
    } finally {
      await pipeline.close();
    }
  }
  return { width: pictureWidth, height: pictureHeight, channels: colours, data };
}
