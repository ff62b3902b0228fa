// Random erasing (Zhong et al., 2017) with one colour. Kernel: asm/data/erase.ts.

import { PURPOSE } from '../../base/philox.ts';
import { below, defineAugmentation, percent } from './augmentation.ts';

/** One rectangle of some images is painted over. */
export interface EraseOptions {
  /** Share of the images, 0 to 1. */
  readonly probability: number;
  /** Least and largest share of the image's area, 0 to 1. */
  readonly area: readonly [number, number];
  /** Largest ratio of the longer side to the shorter, from 1. */
  readonly ratio: number;
  /** Black (the default) or the mean colour of the dataset. */
  readonly fill?: 'zero' | 'mean';
}

/** Random erasing. */
export interface ErasingOptions {
  /** Random erasing; off by default. */
  readonly erase?: EraseOptions;
}

const share = (x: number): boolean => x >= 0 && x <= 1;

/**
 * Words of the Philox block at counter (sample, epoch, purpose 4, 0): erase if w0 / 2³² is below the probability; the area is
 * least + (largest − least) · w1 / 2³² of the image's; the ratio of the longer side to the shorter is 1 + (ratio − 1) · w2 / 2³²;
 * the rectangle stands if the top bit of w3 is set and lies if not. Sides are rounded to whole pixels and cut to those of the
 * image. Block 1: the top is ⌊w0 · (height − high + 1) / 2³²⌋, the left edge the same from w1. Only + − × ÷ and square roots are
 * used: the same on every engine.
 */
export const erase = defineAugmentation<ErasingOptions>({
  kernel: 'erase',
  names: {
    erase: {
      value: 0.25,
      help: 'a rectangle painted over in 0.25 of the images',
      options: (probability) => ({ erase: { probability, area: [0.02, 0.33], ratio: 3.3, fill: 'mean' } }),
    },
    cutout: {
      value: 0.5,
      help: 'a square of 0.5 of the side painted over in every image',
      options: (side) => ({ erase: { probability: 1, area: [side * side, side * side], ratio: 1, fill: 'mean' } }),
    },
  },
  purpose: PURPOSE.erase,
  inPlace: true,
  active: ({ erase }) => erase !== undefined && erase.probability > 0,
  caption: ({ erase }) => `a rectangle of ${percent(erase?.probability ?? 0)} of the images painted over`,
  problem({ erase }) {
    if (!erase) return undefined;
    const { probability, area, ratio } = erase;
    if (!share(probability)) return `a probability of erasing of ${probability}; it must be from 0 to 1`;
    if (!(share(area[0]) && share(area[1]) && area[0] <= area[1]))
      return `an erased area from ${area[0]} to ${area[1]}; it must be from 0 to 1`;
    if (!(ratio >= 1 && ratio <= 1000)) return `a ratio of erased sides of ${ratio}; it must be from 1 to 1000`;
    return undefined;
  },
  words: ['probability', 'least', 'largest', 'ratio', 'colour[]'],
  args({ erase }, { mean }) {
    const { probability, area, ratio, fill } = erase as NonNullable<typeof erase>;
    return { probability, least: area[0], largest: area[1], ratio, colour: mean.map((value) => (fill === 'mean' ? value : 0)) };
  },
  reference(image, draw, { erase }, { shape: [height, width, channels], mean }) {
    const { probability, area, ratio, fill } = erase as NonNullable<typeof erase>;
    const out = image.slice();
    const words = draw(PURPOSE.erase, 0);
    if (!(words[0] / 2 ** 32 < probability)) return out;
    const pixels = (area[0] + ((area[1] - area[0]) * words[1]) / 2 ** 32) * (height * width);
    const aspect = 1 + ((ratio - 1) * words[2]) / 2 ** 32;
    const sides = [Math.floor(Math.sqrt(pixels * aspect) + 0.5), Math.floor(Math.sqrt(pixels / aspect) + 0.5)];
    if (words[3] >>> 31 === 0) sides.reverse();
    const high = Math.max(1, Math.min(height, sides[0]));
    const wide = Math.max(1, Math.min(width, sides[1]));
    const place = draw(PURPOSE.erase, 1);
    const top = below(place[0], height - high + 1);
    const left = below(place[1], width - wide + 1);
    for (let y = top; y < top + high; y++) {
      for (let x = left; x < left + wide; x++) {
        for (let c = 0; c < channels; c++) out[(y * width + x) * channels + c] = fill === 'mean' ? mean[c] : 0;
      }
    }
    return out;
  },
});
