// Random crops and flips of images, as bytes. What is drawn for an image depends on seed, sample and epoch only.

import { PURPOSE, philox4x32, philoxKey } from '../base/philox.ts';

export interface AugmentOptions {
  /** Pixels of zero padding on each side, from which an image of the original size is cut; 0: off. */
  readonly crop: number;
  /** Whether half of the images are mirrored left to right. */
  readonly flip: boolean;
}

/** Pixel (y, x) of the result is pixel (y + dy, x + dx) of the image, zero outside; mirrored after that. */
export interface Augmentation {
  dx: number;
  dy: number;
  flip: boolean;
}

/**
 * Returns the draws for one image. Words of the Philox block at counter (sample, epoch, purpose 2, 0):
 * dx = ⌊w0 · (2·crop + 1) / 2³²⌋ − crop, dy the same from w1, flip is the top bit of w2. A word keeps its meaning when
 * the other option is off: turning flips on does not move the crops.
 */
export function augmentationDraws(seed: bigint, epoch: number, { crop, flip }: AugmentOptions): (sample: number) => Readonly<Augmentation> {
  const key = philoxKey(seed);
  const counter = [0, epoch, PURPOSE.augment, 0];
  const words = new Uint32Array(4);
  // One object for all: the loader draws for every image of every epoch.
  const drawn: Augmentation = { dx: 0, dy: 0, flip: false };
  const offset = (word: number): number => Math.floor((word * (2 * crop + 1)) / 2 ** 32) - crop;
  return (sample) => {
    counter[0] = sample;
    philox4x32(key, counter, words);
    drawn.dx = offset(words[0]);
    drawn.dy = offset(words[1]);
    drawn.flip = flip && words[2] >>> 31 === 1;
    return drawn;
  };
}

/** Writes the augmented NHWC image of `source` to `target`, which must not overlap; offsets in bytes. */
export function augmentImage(
  source: Uint8Array,
  sourceOffset: number,
  target: Uint8Array,
  targetOffset: number,
  [height, width, channels]: readonly [number, number, number],
  { dx, dy, flip }: Readonly<Augmentation>,
): void {
  const rowBytes = width * channels;
  // Columns of the cropped, not yet mirrored image that lie inside the source. Empty when the shift exceeds the width.
  const first = Math.min(width, Math.max(0, -dx));
  const end = Math.max(first, Math.min(width, width - dx));
  target.fill(0, targetOffset, targetOffset + height * rowBytes);
  for (let y = Math.max(0, -dy); y < Math.min(height, height - dy); y++) {
    let from = sourceOffset + (y + dy) * rowBytes + (first + dx) * channels;
    const row = targetOffset + y * rowBytes;
    if (flip) {
      // Pixels are written from right to left, the channels of each in their order.
      for (let x = width - 1 - first; x > width - 1 - end; x--) {
        let to = row + x * channels;
        for (let c = 0; c < channels; c++) target[to++] = source[from++];
      }
    } else {
      let to = row + first * channels;
      for (const stop = row + end * channels; to < stop; ) target[to++] = source[from++];
    }
  }
}
