// Random crops and flips of images. Kernel: asm/data/crop.ts.

import { PURPOSE } from '../../base/philox.ts';
import { below, type Draw, defineAugmentation, type ImageShape } from './augmentation.ts';

/** Crops and flips. */
export interface CropOptions {
  /** Pixels of padding on each side, from which an image of the original size is cut; 0: off. */
  readonly crop: number;
  /** Whether half of the images are mirrored left to right: anew in each epoch, or (`alternate`) each image in every other epoch. */
  readonly flip: boolean | 'alternate';
  /** What the padding is: black (the default), the image's mirror image (its edge not repeated), or the mean colour of the dataset. */
  readonly padding?: 'zero' | 'reflect' | 'mean';
}

/** Pixel (y, x) of the result is pixel (y + dy, x + dx) of the image, padding outside; mirrored after that. */
export interface Crop {
  readonly dx: number;
  readonly dy: number;
  readonly flip: boolean;
}

/**
 * Words of the Philox block at counter (sample, epoch, purpose 2, 0): dx = ⌊w0 · (2·crop + 1) / 2³²⌋ − crop, dy the same from w1,
 * flip is the top bit of w2. A word keeps its meaning when the other option is off: turning flips on does not move the crops.
 * The alternating flip is the top bit of w2 of epoch 0 in even epochs, and its opposite in odd ones.
 */
export function cropOf(draw: Draw, epoch: number, { crop, flip }: CropOptions): Crop {
  const [w0, w1, w2] = draw(PURPOSE.augment, 0);
  const alternate = flip === 'alternate';
  const bit = (alternate ? draw(PURPOSE.augment, 0, 0)[2] : w2) >>> 31;
  const mirrored = alternate ? (bit ^ (epoch & 1)) === 1 : flip && bit === 1;
  return { dx: below(w0, 2 * crop + 1) - crop, dy: below(w1, 2 * crop + 1) - crop, flip: mirrored };
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

export const crop = defineAugmentation<CropOptions>({
  kernel: 'crop',
  names: {
    crop: { value: 4, help: 'shifts by up to 4 pixels, black outside', options: (crop) => ({ crop }) },
    'crop-reflect': { value: 4, help: 'the same, mirrored outside', options: (crop) => ({ crop, padding: 'reflect' }) },
    flip: { value: 0.5, help: 'half of the images mirrored left to right', options: () => ({ flip: true }) },
    'alternating-flip': { value: 0.5, help: 'each image mirrored in every other epoch', options: () => ({ flip: 'alternate' }) },
  },
  purpose: PURPOSE.augment,
  inPlace: false,
  active: (options) => options.crop > 0 || options.flip !== false,
  caption: ({ crop, flip, padding }) =>
    [
      ...(crop > 0 ? [`shifted by up to ${crop} pixels${padding && padding !== 'zero' ? ` (padding: ${padding})` : ''}`] : []),
      ...(flip === 'alternate' ? ['mirrored in every other epoch'] : flip ? ['mirrored or not'] : []),
    ].join(', '),
  problem({ crop, padding }, [height, width]) {
    if (!(Number.isInteger(crop) && crop >= 0)) return `a crop of ${crop} pixels; it must be a whole number from 0 on`;
    if (padding === 'reflect' && crop >= Math.min(height, width))
      return `reflecting padding of ${crop} pixels; images of ${height} × ${width} allow at most ${Math.min(height, width) - 1}`;
    return undefined;
  },
  words: ['padding', 'flips', 'reflects', 'colour[]'],
  args: ({ crop, flip, padding = 'zero' }, { mean }) => ({
    padding: crop,
    flips: flip === 'alternate' ? 2 : Number(flip),
    reflects: Number(padding === 'reflect'),
    colour: mean.map((value) => (padding === 'mean' ? value : 0)),
  }),
  reference(image, draw, options, { shape, mean }, epoch) {
    const drawn = cropOf(draw, epoch, options);
    const colour = options.padding === 'mean' ? mean : mean.map(() => 0);
    return cropImage(image, shape, drawn, options.padding === 'reflect' ? null : colour);
  },
});
