// From an image file to the pixels of one model input. The decoding is done by sharp, an optional dependency that is loaded when the first image
// is decoded, and for BMP by a small library; what is done here is to let nothing hostile near them: only the formats of image-formats.ts, told
// by their first bytes and not by the name, only regular files, and no more pixels than a limit, which the header is asked for first.

import { open, stat } from 'node:fs/promises';
import type { Sharp } from 'sharp';
import { HybridError } from '../../runtime/base/errors.ts';
import { systemCode } from '../../runtime/base/files.ts';
import { remedyOfRestriction } from '../../runtime/base/restrictions.ts';
import { checkBytes, checkDecodeOptions, checkPixels, DECODE_OPTIONS, type DecodeOptions, imageError, limitsOf } from './decode-limits.ts';
import { enlarge, MARGIN } from './enlarge.ts';
import { FORMAT_BYTES, formatOf, READ_FORMATS } from './image-formats.ts';
import { luminance } from './luminance.ts';

const KERNELS = { lanczos: 'lanczos3', cubic: 'cubic', linear: 'linear', nearest: 'nearest' } as const;

/** Of decoding one image: an honest one at the limit of pixels takes a few. */
const MAX_SECONDS = 30;

/**
 * Decodes an image, given as the path of a file or as the bytes of one, to height · width · channels bytes, row by row (NHWC without
 * N). It is turned upright as its EXIF data say, scaled until it covers the shape (or, with `crop`, more than that) and cut to its middle. Transparent pixels are laid on
 * white; of an animation the first picture counts; colours are brought to sRGB. Grey is luma by ITU-R BT.601, as in Pillow's `convert("L")`.
 *
 * Throws E_DATA where it is no such image, damaged, cut short or above a limit; E_ENVIRONMENT where sharp is not installed.
 */
export async function decodeImage(source: string | Uint8Array, options: DecodeOptions): Promise<Uint8Array> {
  checkDecodeOptions(options, DECODE_OPTIONS, 'decodeImage');
  const { maxPixels, maxBytes } = limitsOf(options);
  const name = typeof source === 'string' ? source : (options.name ?? 'the image');
  if (typeof source !== 'string') checkBytes(name, source.length, maxBytes);
  const bytes = typeof source === 'string' ? await readLimited(source, maxBytes) : source;
  const format = formatOf(bytes.subarray(0, FORMAT_BYTES));
  if (!format) throw imageError(name, `is no ${READ_FORMATS} image`);
  if (typeof format.decoder === 'object') {
    const { refused } = format.decoder;
    throw new HybridError(
      'E_DATA',
      `${name} is a ${format.name} image, which is not read`,
      `${refused[0].toUpperCase()}${refused.slice(1)}.`,
    );
  }
  const checkSize = (size: Size): void => checkPixels(name, size, maxPixels);
  const sharp = await loadSharp();
  try {
    if (format.decoder === 'bmp') {
      const { width, height, data } = await decodeBmp(bytes, checkSize);
      return await pixels(sharp(data, { raw: { width, height, channels: 3 }, limitInputPixels: maxPixels }), { width, height }, options);
    }
    // Reads the header only. The limit is our own, so that the message has the numbers; the same limit below guards a second reading.
    const header = await sharp(bytes, { limitInputPixels: false }).metadata();
    checkSize(header);
    const upright = header.autoOrient;
    return await pixels(sharp(bytes, { limitInputPixels: maxPixels, failOn: 'error', sequentialRead: true }), upright, options);
  } catch (error) {
    if (error instanceof HybridError) throw error;
    throw imageError(name, `cannot be decoded: ${firstLine(error)}`, error);
  }
}

/** An image of bytes, row by row, one or three a pixel. */
export interface RawImage {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly channels: number;
}

/** Brings pixels to a shape of as many channels, as `decodeImage` does those of a file. Throws E_ENVIRONMENT where sharp is not installed. */
export async function resizePixels(
  { data, width, height, channels }: RawImage,
  options: Pick<DecodeOptions, 'shape' | 'crop' | 'interpolation'>,
): Promise<Uint8Array> {
  const sharp = await loadSharp();
  return pixels(sharp(data, { raw: { width, height, channels: channels as 1 | 3 } }), { width, height }, options);
}

interface Size {
  readonly width: number;
  readonly height: number;
}

async function pixels(image: Sharp, upright: Size, { shape, crop = 1, interpolation = 'lanczos' }: DecodeOptions): Promise<Uint8Array> {
  const [height, width, channels] = shape;
  const scale = Math.max(width / upright.width, height / upright.height) / crop;
  const seen = image.timeout({ seconds: MAX_SECONDS }).autoOrient().flatten({ background: '#ffffff' });
  let colours: Uint8Array;
  if (scale <= 1) {
    const covering = cover(upright, { width, height }, scale);
    colours = await raw(
      seen.resize({ ...covering, fit: 'fill', kernel: KERNELS[interpolation] }).extract(middle(covering, { width, height })),
      { width, height },
    );
  } else {
    // What is far from the result is not looked at: a strip may be long.
    const around = (of: number, length: number) => Math.min(of, evenAbove(of, length / scale + 2 * MARGIN + 2));
    const part = { width: around(upright.width, width), height: around(upright.height, height) };
    colours = enlarge({ data: await raw(seen.extract(middle(upright, part)), part), ...part }, { width, height, scale });
  }
  return channels === 1 ? luminance(colours) : colours;
}

/** The bytes, red, green and blue a pixel. */
async function raw(image: Sharp, { width, height }: Size): Promise<Uint8Array> {
  const { data, info } = await image.toColourspace('srgb').raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
  if (info.width !== width || info.height !== height || info.channels !== 3) {
    throw new Error(`it came out as ${info.height} × ${info.width} × ${info.channels}`);
  }
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** The part of `size` in the middle, where the two differ by even numbers. */
const middle = (whole: Size, { width, height }: Size) => ({
  left: (whole.width - width) / 2,
  top: (whole.height - height) / 2,
  width,
  height,
});

/**
 * The size to which an image is scaled down, before its middle is cut out. As much is cut off on either side, and so both measures exceed
 * the result by an even number: with an odd one the cut would be half a pixel off the middle.
 */
function cover(image: Size, wanted: Size, scale: number): Size {
  const even = (length: number, least: number) => {
    const nearest = least + 2 * Math.round((length * scale - least) / 2);
    return nearest > length ? nearest - 2 : nearest; // 41 of 41 pixels to 40, and not to 42
  };
  return { width: even(image.width, wanted.width), height: even(image.height, wanted.height) };
}

/** The least whole number from `least` on that `whole` exceeds by an even one. */
const evenAbove = (whole: number, least: number): number => Math.ceil(least) + ((whole - Math.ceil(least)) % 2 === 0 ? 0 : 1);

/** A BMP as red, green and blue a pixel. Its header is checked before the library makes room for the pixels. */
async function decodeBmp(bytes: Uint8Array, checkSize: (size: Size) => void): Promise<Size & { readonly data: Uint8Array }> {
  if (bytes.length < 26) throw new Error('it is cut short');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const old = view.getUint32(14, true) === 12; // OS/2's header has 16 bits for each
  const size = old
    ? { width: view.getUint16(18, true), height: view.getUint16(20, true) }
    : { width: view.getInt32(18, true), height: Math.abs(view.getInt32(22, true)) };
  if (size.width <= 0 || size.height === 0) throw new Error(`it claims ${size.width} × ${size.height} pixels`);
  checkSize(size);
  const { decode } = await import('bmp-ts');
  const { width, height, data } = decode(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), { toRGBA: true });
  if (width !== size.width || height !== size.height || data.length !== 4 * width * height) throw new Error('it is damaged');
  const colours = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++) colours.set(data.subarray(4 * i, 4 * i + 3), 3 * i);
  return { width, height, data: colours };
}

/** Whether a file begins as an image that is read, whatever it is called. False for what cannot be looked at. */
export async function isImageFile(path: string): Promise<boolean> {
  try {
    // Asked before it is opened: opening a pipe waits forever.
    if (!(await stat(path)).isFile()) return false;
    const file = await open(path);
    try {
      const { buffer, bytesRead } = await file.read(new Uint8Array(FORMAT_BYTES), 0, FORMAT_BYTES, 0);
      return typeof formatOf(buffer.subarray(0, bytesRead))?.decoder === 'string';
    } finally {
      await file.close();
    }
  } catch {
    return false;
  }
}

async function readLimited(path: string, maxBytes: number): Promise<Uint8Array> {
  try {
    // Asked before it is opened: opening a pipe waits forever.
    if (!(await stat(path)).isFile()) throw imageError(path, 'is not a file');
    const file = await open(path);
    try {
      const { size } = await file.stat();
      if (size === 0) throw imageError(path, 'is empty');
      checkBytes(path, size, maxBytes);
      return await file.readFile();
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof HybridError) throw error;
    throw imageError(path, `cannot be read: ${systemCode(error) || firstLine(error)}`, error);
  }
}

/**
 * The library, or an error that says how to get it. Cheap after the first call.
 *
 * @internal Not in the declarations: its type is that of an optional package, which projects may lack.
 */
export async function loadSharp(): Promise<typeof import('sharp')['default']> {
  try {
    return (await import('sharp')).default;
  } catch (error) {
    throw new HybridError(
      'E_ENVIRONMENT',
      `decoding image files needs the package sharp, which cannot be loaded here: ${firstLine(error)}`,
      remedyOfRestriction(error) ?? 'Install it with `npm install sharp`; data in binary form (CIFAR, .npz) does not need it.',
      { cause: error },
    );
  }
}

const firstLine = (error: unknown): string => (error instanceof Error ? error.message : String(error)).trim().split('\n')[0];
