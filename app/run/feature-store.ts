// Keeps the features of frozen backbones in the cache, as packed files of images whose bytes are float32 numbers: hashed when they are opened,
// in memory or left on the disk like images.

import { join } from 'node:path';
import { HybridError } from '../../runtime/base/errors.ts';
import { type Files, nodeFiles } from '../../runtime/base/files.ts';
import { PARTS, type PartName } from '../../runtime/data/dataset.ts';
import type { FeatureStore, KeptFeatures } from '../../runtime/train/feature-store.ts';
import { FEATURES_FOLDER, openPacked, writePacked } from '../sources/packed.ts';
import { defaultMemoryBudget, ownCacheDir } from '../sources/source.ts';

/** Of `featureStore`. */
export interface FeatureStoreOptions {
  /** Node's by default. */
  readonly files?: Files;
  /** Features are kept in its folder `features`, which may be deleted at any time; the user's cache by default. */
  readonly cacheDir?: string;
  /** Features of more bytes than this in all stay on the disk; a quarter of the memory by default, at most 1 GiB. */
  readonly memoryBudget?: number;
  /** Told where what is kept is damaged. */
  readonly onNotice?: (text: string) => void;
}

/** A store of features in a folder: for `train`, which computes what a frozen backbone makes of its images once. */
export function featureStore({
  files = nodeFiles,
  cacheDir = ownCacheDir(),
  memoryBudget = defaultMemoryBudget(),
  onNotice,
}: FeatureStoreOptions = {}): FeatureStore {
  const folder = join(cacheDir, FEATURES_FOLDER);
  const pathOf = (key: string): string => join(folder, `${key.slice(0, 32)}.safetensors`);
  return {
    memoryBudget,
    async load(key, signal) {
      const path = pathOf(key);
      if (!(await files.stat(path).catch(() => null))) return null;
      try {
        const { metadata, train, validation } = await openPacked(path, { memoryBudget, signal });
        if (metadata.get('key') !== key || !train.images) return null;
        return { train: train.images, ...(validation?.images && { validation: validation.images }) } satisfies KeptFeatures;
      } catch (error) {
        if (!(error instanceof HybridError)) throw error;
        onNotice?.(`${error.message}; the features are computed again`);
        return null;
      }
    },
    async save(key, { bytes, train, validation }, pieces, signal) {
      const sizes: Record<PartName, number> = { train, validation, test: 0 };
      const labels = new Map(PARTS.flatMap((part) => (sizes[part] > 0 ? [[part, new Uint8Array(sizes[part])] as const] : [])));
      await files.mkdir(folder).catch(() => {}); // the next call says why
      const about = { shape: [1, 1, bytes], classes: ['features'], name: 'features', metadata: new Map([['key', key]]) } as const;
      await writePacked({ files, path: pathOf(key), ...about, labels, signal, images: pieces });
    },
  };
}
