// Where the data comes from: turns what a person says (`--data`) into datasets. Readers are loaded when there is something to read.

import { type OptionNames, refuseUnknownOptions } from '../../runtime/base/kinds.ts';
import { own } from '../../runtime/base/own.ts';
import type { DataSource } from '../../runtime/data/dataset.ts';
import type { DataPlace, OpenDataOptions } from './place.ts';
import { DATA_SETTINGS } from './settings.ts';

const OPTIONS: OptionNames<OpenDataOptions> = {
  files: true,
  url: true,
  localDir: true,
  cacheDir: true,
  kerasDir: true,
  imageSize: true,
  crop: true,
  interpolation: true,
  maxBad: true,
  maxPixels: true,
  images: true,
  labels: true,
  labelColumn: true,
  followLinks: true,
  memoryBudget: true,
  decodeAnew: true,
  signal: true,
  onProgress: true,
  onNotice: true,
  silence: true,
  archive: true,
};

/**
 * Opens a dataset.
 *
 * - a folder: CIFAR-10 or CIFAR-100 in the binary version (`readCifar`) or the Python version (`readPythonCifar`), MNIST's files and those of
 *   its form (`readIdx`), or class folders of images (`openImageFolder`);
 * - a file: `.npz` (`openNpz`), `.safetensors` as `hybrid data convert` writes it (`openPacked`), or `.tar.gz` of CIFAR (`readCifarArchive`);
 * - `cifar10`, `cifar100`: `./data`, the user's cache folder, Keras' folder of datasets, then the official archive over the network, which is
 *   kept in the cache;
 * - `synthetic`: the built-in set, which needs nothing;
 * - `auto`: like `cifar10`, but where nothing is found and nothing can be fetched `onNotice` gets a warning and the built-in
 *   set is returned. Without `onNotice` it is `cifar10`.
 *
 * Throws E_USAGE for an unknown option or one of another kind, E_DATA, E_NETWORK, E_DISK, E_ENVIRONMENT, or an AbortError.
 *
 * @category Data
 */
export async function openData(spec: string, given: OpenDataOptions = {}): Promise<DataSource> {
  refuseUnknownOptions(given, OPTIONS, 'openData');
  const options = own(given);
  for (const [name, { kind }] of Object.entries(DATA_SETTINGS)) {
    const value = (options as Readonly<Record<string, unknown>>)[name];
    if (value !== undefined) kind.check(value, name);
  }
  const place = await locateData(spec, options);
  const { openPlace } = await import('./open-place.ts');
  return openPlace(place, options);
}

/** Finds a dataset, and fetches it where it is one that can be fetched; opens nothing. Throws as `openData` does. */
export async function locateData(spec: string, options: OpenDataOptions = {}): Promise<DataPlace> {
  refuseUnknownOptions(options, OPTIONS, 'locateData');
  const { locate } = await import('./locate.ts');
  return locate(spec, options);
}
