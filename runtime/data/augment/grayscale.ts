// Some images without their colours. Kernel: asm/data/grayscale.ts.

import { defineAugmentation, percent } from './augmentation.ts';
import { grey } from './colour.ts';

const PURPOSE = 11;

/** Images that do not have three channels stay as they are. Words of the Philox block at counter (sample, epoch, purpose 11, 0): the image becomes grey if w0 / 2³² is below the share. */
export const grayscale = defineAugmentation<{ readonly grayscale?: number }>({
  kernel: 'grayscale',
  names: { grayscale: { value: 0.2, help: '0.2 of the images converted to grey', options: (grayscale) => ({ grayscale }) } },
  purpose: PURPOSE,
  inPlace: true,
  active: ({ grayscale = 0 }) => grayscale > 0,
  caption: ({ grayscale = 0 }) => `${percent(grayscale)} of them grey`,
  problem: ({ grayscale = 0 }) =>
    grayscale >= 0 && grayscale <= 1 ? undefined : `a share of grey images of ${grayscale}; it must be from 0 to 1`,
  words: ['share'],
  args: ({ grayscale = 0 }) => ({ share: grayscale }),
  reference(image, draw, { grayscale = 0 }, { shape: [, , channels] }) {
    const out = image.slice();
    if (channels !== 3 || !(draw(PURPOSE, 0)[0] / 2 ** 32 < grayscale)) return out;
    for (let i = 0; i < out.length; i += 3) out.fill(grey(image[i], image[i + 1], image[i + 2]), i, i + 3);
    return out;
  },
});
