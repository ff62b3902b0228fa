// Keras' layers that change pictures at random in training alone: what `--augment` has for them. The model goes without them: it computes the same.

import type { Config } from '../layers/define-layer.ts';

/** What such a layer becomes: names of augmentations, and what is left out, in words. */
export interface TakenOver {
  readonly names: readonly string[];
  readonly lost?: string;
  /** Where the model does not go without it: the layer that computes the same where nothing is random. */
  readonly layer?: { readonly type: string; readonly config: Config };
}

/** A number that stands for [-f, f], or such a pair; undefined for any other. */
function factorOf(given: unknown): number | undefined {
  const [low, high] = Array.isArray(given) ? given : [-Number(given), Number(given)];
  return typeof high === 'number' && high >= 0 && low === -high ? high : undefined;
}

const NONE = (lost: string): TakenOver => ({ names: [], lost });

/** By class: what its settings come to for images of so many pixels. */
const RULES: Readonly<Record<string, (config: Config, size: readonly number[]) => TakenOver>> = {
  RandomFlip({ mode = 'horizontal_and_vertical' }) {
    if (mode === 'horizontal') return { names: ['flip'] };
    return mode === 'vertical' ? NONE('mirroring top to bottom') : { names: ['flip'], lost: 'mirroring top to bottom' };
  },
  RandomRotation({ factor }) {
    const turn = factorOf(factor);
    return turn !== undefined && turn <= 0.5 ? { names: [`rotate=${turn}`] } : NONE('a rotation that is not as far to both sides');
  },
  RandomZoom({ height_factor, width_factor = null }) {
    const zoom = factorOf(height_factor);
    const isBoth = width_factor === null || factorOf(width_factor) === zoom;
    return zoom !== undefined && zoom < 1 && isBoth ? { names: [`zoom=${zoom}`] } : NONE('a zoom that differs by direction');
  },
  RandomTranslation({ height_factor, width_factor, fill_mode = 'reflect' }, [height, width]) {
    const [rows, columns] = [factorOf(height_factor), factorOf(width_factor)];
    const pixels = Math.round((rows ?? 0) * height);
    if (rows === undefined || columns === undefined || pixels !== Math.round(columns * width) || pixels === 0)
      return NONE('a shift that differs by direction');
    if (fill_mode === 'reflect') return { names: [`crop-reflect=${pixels}`] };
    return fill_mode === 'constant' ? { names: [`crop=${pixels}`] } : NONE('a shift that repeats the edge');
  },
  RandomCrop({ height, width }, [rows, columns]) {
    const [above, beside] = [(rows - Number(height)) / 2, (columns - Number(width)) / 2];
    if (above === 0 && beside === 0) return { names: [] };
    // Shifted by no more than what is cut off, the middle shows nothing that was not there.
    const shift = above === beside && Number.isInteger(above) ? [`crop=${above}`] : [];
    const middle = `predictions read the middle ${height}×${width} pixels, where Keras' read all ${rows}×${columns}`;
    return {
      names: shift,
      lost: shift.length > 0 ? middle : `a crop that differs by direction; ${middle}`,
      layer: { type: 'CenterCrop', config: { height, width } },
    };
  },
  RandomContrast: () => NONE('a change of contrast alone (--augment colour changes brightness and saturation too)'),
  RandomBrightness: () => NONE('a change of brightness alone (--augment colour changes contrast and saturation too)'),
  RandomSaturation: () => NONE('a change of saturation alone (--augment colour changes brightness and contrast too)'),
  RandomHue: () => NONE('a change of hue'),
  RandomColorJitter: () => NONE('its changes of colour (--augment colour has such)'),
  RandomShear: () => NONE('shearing'),
  RandomGrayscale: () => NONE('grey images (--augment grayscale makes such)'),
  RandomErasing: () => NONE('erasing (--augment erase does such)'),
  RandomPosterization: () => NONE('fewer tones'),
  RandomSharpness: () => NONE('a change of sharpness'),
  RandomInvert: () => NONE('inverted colours'),
  RandomGaussianBlur: () => NONE('blurring'),
  RandomPerspective: () => NONE('a change of perspective'),
  RandomElasticTransform: () => NONE('elastic distortion'),
  RandomColorDegeneration: () => NONE('colours that fade'),
  Solarization: () => NONE('its inversion of bright pixels'),
  Equalization: () => NONE('its equalisation of tones'),
  MixUp: () => NONE('mixed images (--augment mixup makes such)'),
  CutMix: () => NONE('images with parts of others (--augment cutmix makes such)'),
  RandAugment: () => NONE('its changes of images (--augment randaugment has such)'),
  AugMix: () => NONE('its mixed changes of images'),
  GaussianNoise: () => NONE('noise'),
  GaussianDropout: () => NONE('its noise'),
  AlphaDropout: () => NONE('its dropout'),
  ActivityRegularization: () => NONE('what it adds to the loss; see weight decay'),
  Identity: () => ({ names: [] }),
};

/** What becomes of a layer; undefined: it is none that only training has. */
export const augmentationOf = (type: string, config: Config, size: readonly number[]): TakenOver | undefined =>
  Object.hasOwn(RULES, type) ? RULES[type](config, size) : undefined;
