// Opens the set of images that was found at a place, with the reader of its kind.

import { nodeFiles } from '../../runtime/base/files.ts';
import type { DataSource } from '../../runtime/data/dataset.ts';
import { syntheticSource } from '../../runtime/data/synthetic.ts';
import { labelKindOf, readCifar } from './cifar.ts';
import { readCifarArchive } from './cifar-archive.ts';
import { readPythonCifar } from './cifar-python.ts';
import type { DecodeSetOptions } from './decoded-images.ts';
import { readIdx } from './idx.ts';
import { openImageFolder } from './image-folder.ts';
import { removeAbandoned } from './locate.ts';
import { openNpz } from './npz.ts';
import { openPacked } from './packed.ts';
import { openParquetSet } from './parquet.ts';
import { type DataNotice, type DataPlace, defaultMemoryBudget, type OpenDataOptions, ownCacheDir } from './place.ts';
import { resized } from './resized.ts';
import { openWebDataset } from './webdataset.ts';

const DEFAULT_SIZE = [32, 32] as const;

/** Throws as `openData` does. */
export async function openPlace(place: DataPlace, options: OpenDataOptions): Promise<DataSource> {
  const { files = nodeFiles, memoryBudget = defaultMemoryBudget(), signal, onProgress, onNotice } = options;
  const cacheDir = options.cacheDir ?? ownCacheDir();
  const { maxBad, maxPixels, crop, interpolation, imageSize } = options;
  const decoding = {
    ...{ files, maxBad, maxPixels, crop, interpolation, memoryBudget, cacheDir, anew: options.decodeAnew, signal },
    onDecoded: (done: number, total: number) => onProgress?.({ stage: 'decode', done, total }),
    onNotice: (level: DataNotice['level'], text: string) => onNotice?.({ level, text }),
  };
  if (place.kind === 'folder' || place.kind === 'parquet' || place.kind === 'webdataset') {
    await removeAbandoned(files, cacheDir);
    const { images, labels, labelColumn, followLinks } = options;
    const decoded: DecodeSetOptions = { ...decoding, shape: [...(imageSize ?? DEFAULT_SIZE), 3] };
    if (place.kind === 'parquet') return openParquetSet({ ...decoded, shards: place.shards, images, labelColumn });
    if (place.kind === 'webdataset') return openWebDataset({ ...decoded, shards: place.shards, labelColumn });
    // folder-scan.ts deals the classes evenly.
    return mixed(openImageFolder({ ...decoded, folder: place.path, labels, labelColumn, followLinks }));
  }
  const source = await openPixels(place, options);
  return imageSize ? resized(source, { ...decoding, imageSize }) : source;
}

/** A set whose images are pixels already, at the size that they have. */
async function openPixels(
  place: Exclude<DataPlace, { readonly kind: 'folder' | 'parquet' | 'webdataset' }>,
  options: OpenDataOptions,
): Promise<DataSource> {
  const { files = nodeFiles, memoryBudget = defaultMemoryBudget(), signal, onNotice } = options;
  switch (place.kind) {
    case 'synthetic':
      return syntheticSource();
    case 'cifar':
      return mixed(readCifar(files, place.path, { memoryBudget, kind: labelKindOf(place.set, options.labelColumn) }));
    case 'cifar-python':
      return mixed(readPythonCifar(files, place.found, labelKindOf(place.found.set, options.labelColumn)));
    case 'cifar-archive':
      return mixed(readCifarArchive(files, place.path, { signal, labelColumn: options.labelColumn }));
    case 'idx':
      return readIdx(files, place.found);
    case 'npz':
      return openNpz({
        ...{ files, path: place.path, memoryBudget, images: options.images, labels: options.labels },
        onNotice: (level, text) => onNotice?.({ level, text }),
      });
    case 'packed':
      return openPacked(place.path, { memoryBudget, signal });
  }
}

/** Says of a set that its order has nothing to do with the classes. */
const mixed = async (source: DataSource | Promise<DataSource>): Promise<DataSource> => ({ ...(await source), mixed: true });
