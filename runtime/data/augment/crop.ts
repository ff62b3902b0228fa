// Random crops and flips of images. Kernel: asm/data/crop.ts.

import { PURPOSE, philox4x32, philoxKey } from '../../base/philox.ts';
import { type Augmentation, type AugmentOptions, below, type ImageShape } from './augmentation.ts';

/** Pixel (y, x) of the result is pixel (y + dy, x + dx) of the image, padding outside; mirrored after that. */
export interface Crop {
  dx: number;
  dy: number;
  flip: boolean;
}

/**
 * Words of the Philox block at counter (sample, epoch, purpose 2, 0): dx = ⌊w0 · (2·crop + 1) / 2³²⌋ − crop, dy the same from w1,
 * flip is the top bit of w2. A word keeps its meaning when the other option is off: turning flips on does not move the crops.
 */
function cropOf(words: Uint32Array, { crop, flip }: AugmentOptions, into: Crop): Crop {
  into.dx = below(words[0], 2 * crop + 1) - crop;
  into.dy = below(words[1], 2 * crop + 1) - crop;
  into.flip = flip && words[2] >>> 31 === 1;
  return into;
}

/** Returns the draws for one image. What is drawn depends on seed, sample and epoch only. */
export function cropDraws(seed: bigint, epoch: number, options: AugmentOptions): (sample: number) => Readonly<Crop> {
  const key = philoxKey(seed);
  const counter = [0, epoch, PURPOSE.augment, 0];
  const words = new Uint32Array(4);
  const drawn: Crop = { dx: 0, dy: 0, flip: false };
  return (sample) => {
    counter[0] = sample;
    philox4x32(key, counter, words);
    return cropOf(words, options, drawn);
  };
}

/** The cropped NHWC image; `padding` is a colour, or null for reflection. */
export function cropImage(
  image: Uint8Array,
  [height, width, channels]: ImageShape,
  { dx, dy, flip }: Readonly<Crop>,
  padding: readonly number[] | null,
): Uint8Array {
  const out = new Uint8Array(height * width * channels);
  const mirrored = (i: number, size: number) => (i < 0 ? -i : i >= size ? 2 * (size - 1) - i : i);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let row = y + dy;
      let column = (flip ? width - 1 - x : x) + dx;
      if (padding === null) [row, column] = [mirrored(row, height), mirrored(column, width)];
      const inside = row >= 0 && row < height && column >= 0 && column < width;
      for (let c = 0; c < channels; c++, at++)
        out[at] = inside ? image[(row * width + column) * channels + c] : ((padding as readonly number[])[c] ?? 0);
    }
  }
  return out;
}

export const crop: Augmentation = {
  kernel: 'crop',
  inPlace: false,
  active: (options) => options.crop > 0 || options.flip,
  problem({ crop, padding }, [height, width]) {
    if (!(Number.isInteger(crop) && crop >= 0)) return `a crop of ${crop} pixels; it must be a whole number from 0 on`;
    if (padding === 'reflect' && crop >= Math.min(height, width))
      return `reflecting padding of ${crop} pixels; images of ${height} × ${width} allow at most ${Math.min(height, width) - 1}`;
    return undefined;
  },
  args: ({ crop, flip, padding = 'zero' }, { mean }) => [
    crop,
    Number(flip),
    Number(padding === 'reflect'),
    ...mean.map((value) => (padding === 'mean' ? value : 0)),
  ],
  reference(image, draw, options, { shape, mean }) {
    const drawn = cropOf(draw(PURPOSE.augment, 0), options, { dx: 0, dy: 0, flip: false });
    const colour = options.padding === 'mean' ? mean : mean.map(() => 0);
    return cropImage(image, shape, drawn, options.padding === 'reflect' ? null : colour);
  },
};
