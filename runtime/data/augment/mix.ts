// Mixup (Zhang et al., 2017) and CutMix (Yun et al., 2019): an image is blended with another one of the set, or a rectangle of it is replaced.
//
// The loss of a mixed image is that of both labels, each with the share of its image. Here one of the two labels is drawn, with its share as
// its probability: the gradient is the same in expectation, and labels stay whole numbers for every device. (Training accuracy counts the drawn label.)

import { PURPOSE } from '../../base/philox.ts';
import { below, type Draw, type ImageShape, type PairAugmentation, percent } from './augmentation.ts';

/** Images that are mixed with another one of the set; their labels become those of the larger share. */
export interface MixOptions {
  readonly kind: 'mixup' | 'cutmix';
  /** Share of the images, 0 to 1. */
  readonly probability: number;
}

/** Mixing. */
export interface MixingOptions {
  /** Mixing with another image of the set, after all else; off by default. */
  readonly mix?: MixOptions;
}

/** What is drawn for one image. */
export interface Mix {
  /** Position of the other image in the dataset. */
  readonly partner: number;
  /** Share of the image itself, 0 to 1. */
  readonly share: number;
  /** Whether the label is that of the other image. */
  readonly swapped: boolean;
  /** Of CutMix: what the other image replaces. */
  readonly rectangle: { readonly top: number; readonly left: number; readonly height: number; readonly width: number } | null;
}

export const mix: PairAugmentation<MixingOptions> = {
  pairs: true,
  names: {
    mixup: { value: 1, help: 'every image blended with another one', options: (probability) => ({ mix: { kind: 'mixup', probability } }) },
    cutmix: {
      value: 1,
      help: 'a rectangle of every image from another one',
      options: (probability) => ({ mix: { kind: 'cutmix', probability } }),
    },
  },
  purpose: PURPOSE.mix,
  active: ({ mix }) => mix !== undefined && mix.probability > 0,
  caption({ mix }) {
    const { kind, probability } = mix as MixOptions;
    return `${probability < 1 ? `${percent(probability)} of them ` : ''}${kind === 'mixup' ? 'blended with another image' : 'with a rectangle of another image'}`;
  },
  problem: ({ mix }) =>
    !mix || (mix.probability >= 0 && mix.probability <= 1)
      ? undefined
      : `a probability of mixing of ${mix.probability}; it must be from 0 to 1`,
};

/**
 * Words of the Philox block at counter (sample, epoch, purpose 9, 0): mix if w0 / 2³² is below the probability; the other image is at
 * ⌊w2 · size / 2³²⌋. Mixup: the share is ⌊w1 · 257 / 2³²⌋ / 256, uniform as in the paper. CutMix: the rectangle has √(w1 / 2³²) of both sides, rounded to whole
 * pixels, and the share is what it leaves; block 1 places it: ⌊w0 · (height − high + 1) / 2³²⌋, the same from w1 to the left. The label is the other one's
 * unless w3 / 2³² is below the share. Null: the image stays as it is.
 */
export function mixOf(draw: Draw, { kind, probability }: MixOptions, size: number, [height, width]: ImageShape): Mix | null {
  const [w0, w1, w2, w3] = draw(PURPOSE.mix, 0);
  if (!(w0 / 2 ** 32 < probability)) return null;
  const partner = Math.min(size - 1, below(w2, size));
  if (kind === 'mixup') {
    const share = below(w1, 257) / 256;
    return { partner, share, swapped: !(w3 / 2 ** 32 < share), rectangle: null };
  }
  const side = Math.sqrt(w1 / 2 ** 32);
  const high = Math.floor(side * height + 0.5);
  const wide = Math.floor(side * width + 0.5);
  const share = 1 - (high * wide) / (height * width);
  const [v0, v1] = draw(PURPOSE.mix, 1);
  const rectangle = { top: below(v0, height - high + 1), left: below(v1, width - wide + 1), height: high, width: wide };
  return { partner, share, swapped: !(w3 / 2 ** 32 < share), rectangle };
}

/** Changes `image` to what it is together with `other`. Plain loops: with one multiplication a byte the copies around it take longer. */
export function mixImage(image: Uint8Array, other: Uint8Array, [, width, channels]: ImageShape, { share, rectangle }: Mix): void {
  if (!rectangle) {
    const own = share * 256;
    for (let i = 0; i < image.length; i++) image[i] = (image[i] * own + other[i] * (256 - own) + 128) >> 8;
    return;
  }
  for (let y = rectangle.top; y < rectangle.top + rectangle.height; y++) {
    const from = (y * width + rectangle.left) * channels;
    image.set(other.subarray(from, from + rectangle.width * channels), from);
  }
}
