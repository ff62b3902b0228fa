// What `openData` can be told of a set, beside its name or path.

import { choice, form, from0, integer, type Kind, number, optional, text, toggle } from '../../runtime/base/kinds.ts';
import { type SettingTable, setting } from '../../runtime/base/setting.ts';
import { INTERPOLATIONS, LEAST_CROP } from '../../runtime/data/preprocessing.ts';

/** [height, width] in pixels. */
type ImageSize = readonly [number, number];

const side = integer(1, 4096);
const share = number('a share from 0.1 to 1', (x) => x >= LEAST_CROP && x <= 1);
const imageSize: Kind<ImageSize> = {
  expected: 'a list of height and width from 1 to 4096',
  check(value, name) {
    for (const [i, what] of ['height', 'width'].entries()) side.check(Object(value)[i], `the ${what} of ${name}`);
  },
};

/** Settings of the source of images, by their names in code. */
export const DATA_SETTINGS = {
  /** Another place of the official archive: size and hash stay the same. */
  url: setting({
    kind: optional(text('URL', 'a URL')),
    usual: undefined,
    keeps: 'nothing',
    flag: {
      name: 'data-url',
      group: 'Data',
      kind: text('URL', 'a URL'),
      example: 'http://localhost/cifar-10-binary.tar.gz',
      otherwise: 'the official archive',
      help: 'address from which the CIFAR-10 archive is downloaded',
    },
  }),
  /** [height, width] that images are brought to. Sets of pixels come as they are where it is 32. */
  imageSize: setting({
    kind: imageSize,
    usual: [32, 32],
    keeps: 'bits',
    flag: {
      name: 'image-size',
      group: 'Data',
      kind: form('N|HxW', 'a size from 1 to 4096, or height x width', parseSize),
      example: '40x48',
      usual: '32',
      help: 'size, in pixels, to which images are resized and centre-cropped; CIFAR, MNIST and arrays keep theirs by default',
      read(size): ImageSize {
        const [height, width = height] = size.split('x').map(Number);
        return [height, width];
      },
    },
  }),
  /** Share of what covers the size that is kept of an image that is decoded, its middle; 1 by default. */
  crop: setting({
    kind: share,
    usual: 1,
    keeps: 'bits',
    flag: {
      name: 'crop',
      group: 'Data',
      kind: share,
      example: '0.875',
      usual: 1,
      help: 'share of an image file that centre-cropping keeps',
    },
  }),
  /** How pixels are weighed where such images are made smaller; `lanczos` by default. */
  interpolation: setting({
    kind: choice(...INTERPOLATIONS),
    usual: 'lanczos',
    keeps: 'bits',
    flag: {
      name: 'interpolation',
      group: 'Data',
      kind: choice(...INTERPOLATIONS),
      example: 'cubic',
      help: 'interpolation for scaling image files down',
    },
  }),
  /** Name of the array or column of images in a file of several. */
  images: setting({
    kind: optional(text('NAME', 'the name of an array')),
    usual: undefined,
    keeps: 'nothing',
    flag: {
      name: 'image-array',
      group: 'Data',
      kind: text('NAME', 'the name of an array'),
      example: 'pictures',
      otherwise: 'one of the usual names',
      help: 'array of the images in an .npz file (--labels then names that of the classes), or their column in Parquet files',
    },
  }),
  /** Path of a table with the classes of a folder's images, or name of the array of labels in a file of arrays. */
  labels: setting({
    kind: optional(text('FILE|NAME', 'a path or a name')),
    usual: undefined,
    keeps: 'nothing',
    flag: {
      name: 'labels',
      group: 'Data',
      kind: text('FILE|NAME', 'a path or a name'),
      example: 'photos/labels.csv',
      otherwise: 'the one next to the images, if there is only one',
      help: 'table (CSV, TSV, JSON) of image files and their classes; for an .npz file, the array of labels',
    },
  }),
  /** Its column of classes, that of Parquet files, the entry of WebDataset's `.json`, or which labels of CIFAR-100. */
  labelColumn: setting({
    kind: optional(text('NAME', 'the name of a column')),
    usual: undefined,
    keeps: 'nothing',
    flag: {
      name: 'label-column',
      group: 'Data',
      kind: text('NAME', 'the name of a column'),
      example: 'species',
      otherwise: 'the only possible one',
      help: 'column of the classes in the table of labels (its number, from 1, where there is no header) or in Parquet files; of CIFAR-100, coarse',
    },
  }),
  /** Whether links that lead out of a folder, or to folders, are followed. */
  followLinks: setting({
    kind: toggle,
    usual: false,
    keeps: 'nothing',
    flag: {
      name: 'follow-links',
      group: 'Data',
      kind: toggle,
      example: 'true',
      help: 'follow symbolic links that lead out of the data folder, or to folders',
    },
  }),
  /** How many files of a folder may be left out because they cannot be decoded. */
  maxBad: setting({
    kind: optional(integer(0)),
    usual: undefined,
    keeps: 'nothing',
    flag: {
      name: 'max-bad',
      group: 'Data',
      kind: integer(0),
      example: '10',
      otherwise: 'one in a hundred, at most 10',
      help: 'number of image files that may be skipped because they cannot be decoded',
    },
  }),
  /** Images of files that have more pixels are refused before they are decoded. */
  maxPixels: setting({
    kind: optional(from0),
    usual: undefined,
    keeps: 'nothing',
    flag: {
      name: 'max-megapixels',
      group: 'Data',
      kind: integer(1, 100_000),
      example: '200',
      otherwise: '67',
      help: 'limit for one image file, in millions of pixels; larger files are treated as undecodable',
      read: (millions) => millions * 1e6,
    },
  }),
  /** Images of more bytes than this in all stay on the disk and are read by the workers. */
  memoryBudget: setting({
    kind: optional(from0),
    usual: undefined,
    keeps: 'nothing',
    flag: {
      name: 'data-memory',
      group: 'Data',
      kind: integer(0),
      example: '512',
      otherwise: 'a quarter of the memory, at most 1024',
      help: 'memory for images, in MiB; larger sets are read from disk as needed',
      read: (mebibytes) => mebibytes * 2 ** 20,
    },
  }),
} as const satisfies SettingTable;

/** `32` is short for `32x32`. */
function parseSize(value: string): string | undefined {
  const sides = value.split('x');
  return sides.length <= 2 && sides.every((one) => /^\d{1,4}$/.test(one) && side.parse(one) !== undefined) ? value : undefined;
}
