// The formats of image files: how each is told by its first bytes, what its files are called, and who decodes it. A name is only a hint; what
// reaches a decoder is told by the contents.

/** Who decodes a format, or why nothing here does. */
export type ImageDecoder = 'sharp' | 'bmp' | { readonly refused: string };

/** A format of image files. */
export interface ImageFormat {
  readonly name: string;
  /** Endings of names, in lower case. */
  readonly endings: readonly string[];
  readonly decoder: ImageDecoder;
  /** Whether a file begins as this format does. */
  readonly matches: (start: Uint8Array) => boolean;
}

/** How many bytes `formatOf` looks at. */
export const FORMAT_BYTES = 32;

const at = (start: Uint8Array, offset: number, text: string): boolean => {
  for (let i = 0; i < text.length; i++) if (start[offset + i] !== text.charCodeAt(i)) return false;
  return true;
};
/** ISO media files name their kind after the word ftyp: the major brand, then those it is compatible with. */
const brand = (start: Uint8Array, ...brands: readonly string[]): boolean =>
  at(start, 4, 'ftyp') && brands.some((name) => at(start, 8, name));

const HEIC_REMEDY = 'convert it to JPEG: `magick photo.heic photo.jpg`, or the phone\u2019s setting \u201cMost Compatible\u201d';

export const IMAGE_FORMATS: readonly ImageFormat[] = [
  { name: 'PNG', endings: ['.png'], decoder: 'sharp', matches: (start) => at(start, 0, '\x89PNG\r\n\x1a\n') },
  { name: 'JPEG', endings: ['.jpg', '.jpeg', '.jpe', '.jfif'], decoder: 'sharp', matches: (start) => at(start, 0, '\xff\xd8\xff') },
  { name: 'WebP', endings: ['.webp'], decoder: 'sharp', matches: (start) => at(start, 0, 'RIFF') && at(start, 8, 'WEBP') },
  { name: 'GIF', endings: ['.gif'], decoder: 'sharp', matches: (start) => at(start, 0, 'GIF87a') || at(start, 0, 'GIF89a') },
  {
    name: 'TIFF',
    endings: ['.tif', '.tiff'],
    decoder: 'sharp',
    matches: (start) => at(start, 0, 'II*\0') || at(start, 0, 'MM\0*'),
  },
  { name: 'AVIF', endings: ['.avif'], decoder: 'sharp', matches: (start) => brand(start, 'avif', 'avis') },
  // The size of the header that follows tells a picture from a text that begins with BM.
  {
    name: 'BMP',
    endings: ['.bmp', '.dib'],
    decoder: 'bmp',
    matches: (start) => at(start, 0, 'BM') && start[15] === 0 && start[16] === 0 && start[17] === 0,
  },
  {
    name: 'HEIC',
    endings: ['.heic', '.heif', '.hif'],
    decoder: { refused: HEIC_REMEDY },
    matches: (start) => brand(start, 'heic', 'heix', 'hevc', 'hevx', 'heim', 'heis', 'mif1', 'msf1'),
  },
  {
    name: 'SVG',
    endings: ['.svg'],
    decoder: { refused: 'draw it as a PNG of the size you want' },
    matches: (start) => at(start, 0, '<svg'),
  },
  {
    name: 'JPEG XL',
    endings: ['.jxl'],
    decoder: { refused: 'convert it to PNG or JPEG' },
    matches: (start) => at(start, 0, '\xff\x0a') || at(start, 4, 'JXL '),
  },
  {
    name: 'JPEG 2000',
    endings: ['.jp2', '.j2k'],
    decoder: { refused: 'convert it to PNG or JPEG' },
    matches: (start) => at(start, 4, 'jP  '),
  },
];

/** Endings of the names of image files, in lower case: to tell them from other files. The format is told by the contents. */
export const IMAGE_ENDINGS: readonly string[] = IMAGE_FORMATS.filter(({ name }) => name !== 'SVG').flatMap(({ endings }) => endings);

/** Whether a file is called like an image. */
export const isImageName = (name: string): boolean => {
  const lower = name.toLowerCase();
  return IMAGE_ENDINGS.some((ending) => lower.endsWith(ending));
};

/** The format of a file by its first bytes; undefined for none of them. */
export const formatOf = (start: Uint8Array): ImageFormat | undefined => IMAGE_FORMATS.find(({ matches }) => matches(start));

/** Names of the formats that are decoded, for messages: `PNG, JPEG, … or BMP`. */
export const READ_FORMATS: string = IMAGE_FORMATS.filter(({ decoder }) => typeof decoder === 'string')
  .map(({ name }) => name)
  .join(', ')
  .replace(/, (\w+)$/, ' or $1');
