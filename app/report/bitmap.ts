// Small pictures as RGB bytes: images of datasets, feature maps, weights. Enlarged here, by whole factors and without smoothing, so
// that every viewer shows the pixels as they are.

import type { Dataset } from '../../runtime/data/dataset.ts';
import { diverging, type Rgb, sequential } from './colors.ts';

export interface Bitmap {
  readonly width: number;
  readonly height: number;
  /** height × width × 3. */
  readonly rgb: Uint8Array;
}

/** A picture from a function of its pixels. */
export function bitmap(height: number, width: number, pixel: (y: number, x: number) => Rgb): Bitmap {
  const rgb = new Uint8Array(height * width * 3);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) rgb.set(pixel(y, x), (y * width + x) * 3);
  return { width, height, rgb };
}

/** The bytes of one image of a dataset. */
export async function imageOf(dataset: Dataset, index: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(dataset.shape.reduce((product, n) => product * n, 1));
  await dataset.read([index], bytes);
  return bytes;
}

/** An NHWC image of bytes: grey with one or two channels, else its first three as red, green and blue. */
export function imageBitmap(bytes: Uint8Array, [height, width, channels]: readonly [number, number, number]): Bitmap {
  return bitmap(height, width, (y, x) => {
    const at = (y * width + x) * channels;
    return channels < 3 ? [bytes[at], bytes[at], bytes[at]] : [bytes[at], bytes[at + 1], bytes[at + 2]];
  });
}

/** A map of numbers, dark (`low`) to bright (`high`). Constant maps are dark all over. */
export function heatMap(height: number, width: number, value: (y: number, x: number) => number, low: number, high: number): Bitmap {
  const range = high - low || 1;
  return bitmap(height, width, (y, x) => sequential((value(y, x) - low) / range));
}

/** A map of numbers around zero: blue below, red above, full colour at ±`limit`. */
export function signedMap(height: number, width: number, value: (y: number, x: number) => number, limit: number): Bitmap {
  return bitmap(height, width, (y, x) => diverging(0.5 + value(y, x) / (2 * limit || 1)));
}

/** Brought to about `size` pixels in its longer direction: enlarged by a whole factor, or reduced by leaving pixels out. */
export function resized(source: Bitmap, size: number): Bitmap {
  const longer = Math.max(source.width, source.height);
  const factor = longer <= size ? Math.floor(size / longer) : size / longer;
  const width = Math.max(1, Math.round(source.width * factor));
  const height = Math.max(1, Math.round(source.height * factor));
  return bitmap(height, width, (y, x) => {
    const fromY = Math.floor(((y + 0.5) * source.height) / height);
    const fromX = Math.floor(((x + 0.5) * source.width) / width);
    const at = (fromY * source.width + fromX) * 3;
    return [source.rgb[at], source.rgb[at + 1], source.rgb[at + 2]];
  });
}

/** As the address of an image that needs no file. */
export async function dataUri({ width, height, rgb }: Bitmap): Promise<string> {
  const { encode } = await import('fast-png');
  return `data:image/png;base64,${Buffer.from(encode({ width, height, data: rgb, channels: 3, depth: 8 })).toString('base64')}`;
}
