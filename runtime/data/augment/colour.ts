// Brightness, contrast and saturation. Kernel: asm/data/colour.ts.

import { PURPOSE } from '../../base/philox.ts';
import { defineAugmentation, type ImageShape, percent } from './augmentation.ts';
import { both } from './warp.ts';

/** Changes of colour. */
export interface ColourOptions {
  /** Largest changes of brightness, contrast and saturation, 0 to 1; off by default. */
  readonly colour?: { readonly brightness: number; readonly contrast: number; readonly saturation: number };
}

/** Factors are whole numbers of 64ths, at most 2: then everything fits into 16 bits. */
const SAME = 64;

export const factorOf = (change: number): number => SAME + Math.floor(change * 64 + 0.5);

const clamp = (value: number): number => Math.max(0, Math.min(255, value));
/** A value as far from the centre as the factor says. */
const apart = (value: number, centre: number, factor: number): number => clamp(centre + (((value - centre) * factor + 32) >> 6));
export const grey = (r: number, g: number, b: number): number => (77 * r + 150 * g + 29 * b + 128) >> 8;

/**
 * The image with its brightness multiplied, then its contrast (the distance from its mean grey), then its saturation (the distance of each
 * pixel's channels from its grey). Where there are not three channels each is grey and saturation means nothing.
 */
export function jitter(
  image: Uint8Array,
  [height, width, channels]: ImageShape,
  { brightness = SAME, contrast = SAME, saturation = SAME }: { brightness?: number; contrast?: number; saturation?: number },
): Uint8Array {
  const out = image.map((value) => Math.min(255, (value * brightness + 32) >> 6));
  const rgb = channels === 3;
  const count = rgb ? height * width : out.length;
  const greyAt = (i: number): number => (rgb ? grey(out[3 * i], out[3 * i + 1], out[3 * i + 2]) : out[i]);
  let sum = 0;
  for (let i = 0; i < count; i++) sum += greyAt(i);
  const mean = Math.floor(sum / count);
  for (let i = 0; i < out.length; i++) out[i] = apart(out[i], mean, contrast);
  if (!rgb) return out;
  for (let i = 0; i < count; i++) {
    const own = greyAt(i);
    for (let c = 0; c < 3; c++) out[3 * i + c] = apart(out[3 * i + c], own, saturation);
  }
  return out;
}

/**
 * Words of the Philox block at counter (sample, epoch, purpose 7, 0): the factor of the brightness is 1 + strength · (2·w0/2³² − 1) rounded to
 * 64ths, that of the contrast the same from w1, of the saturation from w2. (torchvision's ColorJitter does them in random order.)
 */
export const colour = defineAugmentation<ColourOptions>({
  kernel: 'colour',
  names: {
    colour: {
      value: 0.4,
      help: 'brightness, contrast, saturation by up to 0.4',
      options: (strength) => ({ colour: { brightness: strength, contrast: strength, saturation: strength } }),
    },
  },
  purpose: PURPOSE.colour,
  inPlace: true,
  active: ({ colour: strengths }) =>
    strengths !== undefined && Math.max(strengths.brightness, strengths.contrast, strengths.saturation) > 0,
  caption({ colour: strengths }) {
    const changed = Object.entries(strengths ?? {}).filter(([, strength]) => strength > 0);
    return `${changed.map(([name, strength]) => `${name} changed by up to ${percent(strength)}`).join(', ')}`;
  },
  problem({ colour: strengths }) {
    for (const [name, strength] of Object.entries(strengths ?? {})) {
      if (!(strength >= 0 && strength <= 1)) return `a change of ${name} by up to ${strength}; it must be from 0 to 1`;
    }
    return undefined;
  },
  words: ['brightness', 'contrast', 'saturation'],
  args({ colour: strengths }) {
    const { brightness, contrast, saturation } = strengths as NonNullable<typeof strengths>;
    return { brightness, contrast, saturation };
  },
  reference(image, draw, { colour: strengths }, { shape }) {
    const { brightness, contrast, saturation } = strengths as NonNullable<typeof strengths>;
    const words = draw(PURPOSE.colour, 0);
    return jitter(image, shape, {
      brightness: factorOf(brightness * both(words[0])),
      contrast: factorOf(contrast * both(words[1])),
      saturation: factorOf(saturation * both(words[2])),
    });
  },
});
