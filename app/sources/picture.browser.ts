// The bytes of an image file as the pixels that a model takes, by the browser: what it can show it can decode, and nothing that it decodes
// reaches the page but pixels. It scales in a way of its own, so that these are not quite sharp's, unless a picture has the size that is asked for.

import { HybridError } from '../../runtime/base/errors.ts';
import { type OptionNames, refuseUnknownOptions } from '../../runtime/base/kinds.ts';
import type { Interpolation } from '../../runtime/data/preprocessing.ts';
import { luminance } from './luminance.ts';

/** What is used of browsers. */
interface Bitmap {
  readonly width: number;
  readonly height: number;
  close(): void;
}
interface BitmapOptions {
  readonly resizeWidth: number;
  readonly resizeHeight: number;
  readonly resizeQuality: 'pixelated' | 'low' | 'high';
}
declare function createImageBitmap(image: Blob): Promise<Bitmap>;
declare function createImageBitmap(
  image: Bitmap,
  x: number,
  y: number,
  width: number,
  height: number,
  options: BitmapOptions,
): Promise<Bitmap>;
declare const OffscreenCanvas: new (
  width: number,
  height: number,
) => {
  getContext(
    kind: '2d',
    options: object,
  ): {
    fillStyle: string;
    fillRect(x: number, y: number, width: number, height: number): void;
    drawImage(image: Bitmap, x: number, y: number): void;
    getImageData(x: number, y: number, width: number, height: number): { readonly data: Uint8ClampedArray };
  };
};

/** As those of `decodeImage`. */
export interface PictureOptions {
  /** [height, width, channels] of the result; channels is 3 (RGB) or 1 (grey). */
  readonly shape: readonly [number, number, number];
  readonly maxPixels?: number;
  readonly maxBytes?: number;
  readonly name?: string;
  readonly crop?: number;
  /** Of a page it is told apart only whether pixels are to be mixed at all. */
  readonly interpolation?: Interpolation;
}

const MAX_PIXELS = 2 ** 26;
const MAX_BYTES = 2 ** 28;
const OPTIONS: OptionNames<PictureOptions> = { shape: true, maxPixels: true, maxBytes: true, name: true, crop: true, interpolation: true };

/**
 * Decodes an image to height · width · channels bytes, row by row. It is turned upright, scaled until it covers the shape (or, with `crop`, more
 * than that) and cut to its middle; transparent pixels are laid on white. Throws E_DATA for what the browser cannot decode, or is above a limit.
 */
export async function decodePicture(image: Uint8Array | Blob, options: PictureOptions): Promise<Uint8Array> {
  refuseUnknownOptions(options, OPTIONS, 'decodePicture');
  const { shape, maxPixels = MAX_PIXELS, maxBytes = MAX_BYTES, name = 'the image', crop = 1, interpolation } = options;
  const fail = (what: string, cause?: unknown): never => {
    throw new HybridError('E_DATA', `${name} ${what}`, 'Replace or remove the file.', { cause });
  };
  const blob = image instanceof Blob ? image : new Blob([image as Uint8Array<ArrayBuffer>]);
  if (blob.size > maxBytes)
    fail(`has ${blob.size.toLocaleString('en-US')} bytes, more than the ${maxBytes.toLocaleString('en-US')} allowed`);
  const whole = await createImageBitmap(blob).catch((error: Error) => fail(`cannot be decoded: ${error.message}`, error));
  try {
    const { width: seen, height: tall } = whole;
    if (seen * tall > maxPixels) fail(`has ${seen} × ${tall} pixels, more than the ${maxPixels.toLocaleString('en-US')} allowed`);
    const [height, width] = shape;
    const scale = Math.max(width / seen, height / tall) / crop;
    const part = { width: Math.min(seen, Math.round(width / scale)), height: Math.min(tall, Math.round(height / scale)) };
    const left = Math.floor((seen - part.width) / 2);
    const top = Math.floor((tall - part.height) / 2);
    const scaled = await createImageBitmap(whole, left, top, part.width, part.height, {
      resizeWidth: width,
      resizeHeight: height,
      resizeQuality: interpolation === 'nearest' ? 'pixelated' : 'high',
    });
    const pixels = pixelsOf(scaled);
    return shape[2] === 1 ? luminance(pixels) : pixels;
  } finally {
    whole.close();
  }
}

/** Red, green and blue, on white. */
function pixelsOf(bitmap: Bitmap): Uint8Array {
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  context.fillStyle = '#ffffff';
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  const pixels = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; to < pixels.length; from += 4, to += 3) {
    pixels[to] = data[from];
    pixels[to + 1] = data[from + 1];
    pixels[to + 2] = data[from + 2];
  }
  return pixels;
}
