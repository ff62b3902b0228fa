// How a picture is decoded, and limits on what is decoded at all: the same for sharp (image-file.ts) and for a page's browser (picture.browser.ts).

import { HybridError } from '../../runtime/base/errors.ts';
import { type OptionNames, refuseUnknownOptions } from '../../runtime/base/kinds.ts';
import { grouped } from '../../runtime/base/units.ts';
import type { Interpolation } from '../../runtime/data/preprocessing.ts';

/** What an image is decoded to, and limits on what is decoded at all. */
export interface DecodeOptions {
  /** [height, width, channels] of the result; channels is 3 (RGB) or 1 (grey). */
  readonly shape: readonly [number, number, number];
  /** Images of more pixels than this are refused before they are decoded; 2²⁶ (67 million) by default. */
  readonly maxPixels?: number;
  /** Larger files are refused; 2²⁸ bytes (256 MiB) by default, and more where more pixels are allowed: four for each. */
  readonly maxBytes?: number;
  /** What messages call an image that is given as bytes; `the image` by default. */
  readonly name?: string;
  /** Share of what covers the shape that is kept, its middle; 1 by default. */
  readonly crop?: number;
  /** How pixels are weighed where the image is made smaller; `lanczos` by default. A browser tells `nearest` from all others only. */
  readonly interpolation?: Interpolation;
}

export const DECODE_OPTIONS: OptionNames<DecodeOptions> = {
  ...{ shape: true, maxPixels: true, maxBytes: true },
  ...{ name: true, crop: true, interpolation: true },
};

const MAX_PIXELS = 2 ** 26;
const MAX_BYTES = 2 ** 28;

/** Throws E_USAGE for options that do not exist, and a shape that is none. */
export function checkDecodeOptions<T extends Pick<DecodeOptions, 'shape'>>(options: T, names: OptionNames<T>, call: string): void {
  refuseUnknownOptions(options, names, call);
  const { shape } = Object(options) as Partial<T>;
  const isShape = Array.isArray(shape) && shape.length === 3 && shape.every((n) => Number.isSafeInteger(n) && n > 0);
  if (isShape && [1, 3].includes(shape[2])) return;
  throw new HybridError(
    'E_USAGE',
    `${call} was given the shape ${JSON.stringify(shape) ?? 'undefined'}`,
    'Give height, width and channels of the pixels, of which there are 1 or 3: `shape: [64, 64, 3]`.',
    { field: 'shape' },
  );
}

/** The limit on the bytes of one image. */
export const maxBytesOf = ({ maxPixels = 0 }: Pick<DecodeOptions, 'maxPixels'>): number => Math.max(MAX_BYTES, 4 * maxPixels);

/** The limits of a call. */
export const limitsOf = ({ maxPixels = MAX_PIXELS, ...rest }: DecodeOptions) => ({
  maxPixels,
  maxBytes: rest.maxBytes ?? maxBytesOf({ maxPixels }),
});

/** The error for an image that cannot be used. */
export const imageError = (name: string, what: string, cause?: unknown): HybridError =>
  new HybridError('E_DATA', `${name} ${what}`, 'Replace or remove the file.', { cause });

/** Asked before there is room for them. Throws E_DATA beyond the limit. */
export function checkBytes(name: string, size: number, maxBytes: number): void {
  if (size > maxBytes) throw imageError(name, `has ${grouped(size)} bytes, more than the ${grouped(maxBytes)} allowed`);
}

/** Asked before they are decoded, where that can be known. Throws E_DATA beyond the limit. */
export function checkPixels(name: string, { width, height }: { readonly width: number; readonly height: number }, maxPixels: number): void {
  if (width * height <= maxPixels) return;
  throw new HybridError(
    'E_DATA',
    `${name} has ${width} × ${height} pixels, more than the ${grouped(maxPixels)} allowed`,
    'Make it smaller, or raise the limit with `maxPixels`.',
  );
}
