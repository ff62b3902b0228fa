// The bytes of an image file as the pixels that a model takes, by the browser: what it can show it can decode, and nothing that it decodes
// reaches the page but pixels. It scales in a way of its own, so that these are not quite sharp's, unless a picture has the size that is asked for.

import { checkBytes, checkDecodeOptions, checkPixels, DECODE_OPTIONS, type DecodeOptions, imageError, limitsOf } from './decode-limits.ts';
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

/**
 * Decodes an image to height · width · channels bytes, row by row. It is turned upright, scaled until it covers the shape (or, with `crop`, more
 * than that) and cut to its middle; transparent pixels are laid on white. Throws E_DATA for what the browser cannot decode, or is above a limit.
 */
export async function decodePicture(image: Uint8Array | Blob, options: DecodeOptions): Promise<Uint8Array> {
  checkDecodeOptions(options, DECODE_OPTIONS, 'decodePicture');
  const { shape, name = 'the image', crop = 1, interpolation } = options;
  const { maxPixels, maxBytes } = limitsOf(options);
  const blob = image instanceof Blob ? image : new Blob([image as Uint8Array<ArrayBuffer>]);
  checkBytes(name, blob.size, maxBytes);
  const whole = await createImageBitmap(blob).catch((error: Error) => {
    throw imageError(name, `cannot be decoded: ${error.message}`, error);
  });
  try {
    const { width: seen, height: tall } = whole;
    checkPixels(name, whole, maxPixels);
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
