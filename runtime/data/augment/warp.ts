// Geometric changes between pixels: larger before it is cut, turned, zoomed. Kernel: asm/data/warp.ts.

import { PURPOSE } from '../../base/philox.ts';
import { below, defineAugmentation, type ImageShape, percent } from './augmentation.ts';

/** Resizing, rotation and zoom. */
export interface WarpOptions {
  /** Pixels by which images are made larger before a window of their own size is cut from them; 0 by default. */
  readonly grow?: number;
  /** Largest rotation to either side, as a share of a turn up to 0.5; 0 by default. */
  readonly rotate?: number;
  /** Largest zoom, in and out, as a share of the size; 0 by default. */
  readonly zoom?: number;
}

/** A map from the result to the image, around their middles: place = m·(x, y) + t, in pixels. */
export interface Affine {
  readonly m00: number;
  readonly m01: number;
  readonly m10: number;
  readonly m11: number;
  readonly tx: number;
  readonly ty: number;
}

/** A random word as a number from −1 to below 1. */
export const both = (word: number): number => (2 * word) / 2 ** 32 - 1;

/** By its series, so that it is the same on every engine; good to ten digits within half a turn. */
export function sine(x: number): number {
  let term = x;
  let sum = x;
  for (let k = 1; k <= 12; k++) {
    term = (-term * x * x) / (2 * k * (2 * k + 1));
    sum += term;
  }
  return sum;
}

export function cosine(x: number): number {
  let term = 1;
  let sum = 1;
  for (let k = 1; k <= 12; k++) {
    term = (-term * x * x) / ((2 * k - 1) * (2 * k));
    sum += term;
  }
  return sum;
}

const fixed = (value: number): number => Math.floor(value * 65_536 + 0.5);

/** Index of the pixel that is seen at `i` when the image is continued by its mirror image, its edge repeated. */
function mirrored(i: number, size: number): number {
  const r = ((i % (2 * size)) + 2 * size) % (2 * size);
  return r < size ? r : 2 * size - 1 - r;
}

/**
 * The image through the map, each pixel blended of the four around its place. Places are whole numbers of 2⁻¹⁶ of a pixel and weights of 2⁻⁸:
 * no rounding depends on the engine.
 */
export function resample(image: Uint8Array, [height, width, channels]: ImageShape, affine: Affine): Uint8Array {
  const out = new Uint8Array(image.length);
  const [m00, m01, m10, m11] = [fixed(affine.m00), fixed(affine.m01), fixed(affine.m10), fixed(affine.m11)];
  const [tx, ty] = [fixed(affine.tx), fixed(affine.ty)];
  const pixel = (y: number, x: number, c: number): number => image[(mirrored(y, height) * width + mirrored(x, width)) * channels + c];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const across = 2 * x + 1 - width;
      const down = 2 * y + 1 - height;
      const px = ((m00 * across + m01 * down) >> 1) + tx + (width - 1) * 32_768;
      const py = ((m10 * across + m11 * down) >> 1) + ty + (height - 1) * 32_768;
      const [left, top] = [px >> 16, py >> 16];
      const [fx, fy] = [(px >> 8) & 255, (py >> 8) & 255];
      for (let c = 0; c < channels; c++, at++) {
        const upper = pixel(top, left, c) * (256 - fx) + pixel(top, left + 1, c) * fx;
        const lower = pixel(top + 1, left, c) * (256 - fx) + pixel(top + 1, left + 1, c) * fx;
        out[at] = (upper * (256 - fy) + lower * fy + 32_768) >> 16;
      }
    }
  }
  return out;
}

/** Longest side for which places fit into 32 bits. */
export const MOST_PIXELS = 4096;

/**
 * Words of the Philox block at counter (sample, epoch, purpose 6, 0): the angle is rotate · 2π · (2·w0/2³² − 1), the zoom zoom · (2·w1/2³² − 1)
 * (above 0 the image becomes smaller), and of the larger image the window begins at ⌊w2 · (grow + 1) / 2³²⌋, ⌊w3 · (grow + 1) / 2³²⌋.
 * Keras' layers RandomRotation and RandomZoom draw from the same ranges and fill in the same way, but blend anew in each layer.
 */
export const warp = defineAugmentation<WarpOptions>({
  kernel: 'warp',
  names: {
    resize: { value: 2, help: 'enlarged by 2 pixels, then cropped to the original size', options: (grow) => ({ grow }) },
    rotate: { value: 0.06, help: 'by up to 0.06 of a turn', options: (rotate) => ({ rotate }) },
    zoom: { value: 0.06, help: 'in and out by up to 0.06', options: (zoom) => ({ zoom }) },
  },
  purpose: PURPOSE.warp,
  inPlace: false,
  active: ({ grow = 0, rotate = 0, zoom = 0 }) => grow > 0 || rotate > 0 || zoom > 0,
  caption: ({ grow = 0, rotate = 0, zoom = 0 }) =>
    [
      ...(grow > 0 ? [`cut from images ${grow} pixels larger`] : []),
      ...(rotate > 0 ? [`rotated by up to ${Number((360 * rotate).toFixed(1))}°`] : []),
      ...(zoom > 0 ? [`zoomed by up to ${percent(zoom)}`] : []),
    ].join(', '),
  problem({ grow = 0, rotate = 0, zoom = 0 }, [height, width]) {
    if (!(Number.isInteger(grow) && grow >= 0 && grow <= Math.min(height, width)))
      return `images that are ${grow} pixels larger; it must be a whole number from 0 to ${Math.min(height, width)}`;
    if (!(rotate >= 0 && rotate <= 0.5)) return `a rotation by ${rotate} of a turn; it must be from 0 to 0.5`;
    if (!(zoom >= 0 && zoom < 1)) return `a zoom by ${zoom}; it must be from 0 to below 1`;
    if (grow + rotate + zoom > 0 && Math.max(height, width) > MOST_PIXELS) return `resampling of images beyond ${MOST_PIXELS} pixels`;
    return undefined;
  },
  words: ['grow', 'rotate', 'zoom'],
  args: ({ grow = 0, rotate = 0, zoom = 0 }) => ({ grow, rotate, zoom }),
  reference(image, draw, { grow = 0, rotate = 0, zoom = 0 }, { shape }) {
    const words = draw(PURPOSE.warp, 0);
    const [height, width] = shape;
    const angle = rotate * 6.283185307179586 * both(words[0]);
    const scale = 1 + zoom * both(words[1]);
    const sx = width / (width + grow);
    const sy = height / (height + grow);
    const cos = cosine(angle) * scale;
    const sin = sine(angle) * scale;
    return resample(image, shape, {
      m00: sx * cos,
      m01: -sx * sin,
      m10: sy * sin,
      m11: sy * cos,
      tx: sx * (below(words[2], grow + 1) - grow / 2),
      ty: sy * (below(words[3], grow + 1) - grow / 2),
    });
  },
});
