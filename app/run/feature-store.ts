// Keeps the features of frozen backbones in the cache, as packed files of images whose bytes are float32 numbers: hashed when they are opened,
// in memory or left on the disk like images.

import { join } from 'node:path';
import { HybridError } from '../../runtime/base/errors.ts';
import { type Files, nodeFiles } from '../../runtime/base/files.ts';
import { type OptionNames, refuseUnknownOptions } from '../../runtime/base/kinds.ts';
import { PARTS, type PartName } from '../../runtime/data/dataset.ts';
import type { FeatureStore, KeptFeatures } from '../../runtime/train/feature-store.ts';
import { FEATURES_FOLDER, openPacked, writePacked } from '../sources/packed.ts';
import { defaultMemoryBudget, ownCacheDir } from '../sources/place.ts';

/** Options for `featureStore`. */
export interface FeatureStoreOptions {
  /** File system; Node's by default. */
  readonly files?: Files;
  /** Features are kept in its folder `features`, which may be deleted at any time; the user's cache by default. */
  readonly cacheDir?: string;
  /** Features of more bytes than this in all stay on the disk; a quarter of the memory by default, at most 1 GiB. */
  readonly memoryBudget?: number;
  /** Bytes of features that the folder may have: the oldest go when others are written, the newest always stay. 4 GiB by default. */
  readonly diskBudget?: number;
  /** Called with a sentence where a stored file is damaged. */
  readonly onNotice?: (text: string) => void;
}

const OPTIONS: OptionNames<FeatureStoreOptions> = { files: true, cacheDir: true, memoryBudget: true, diskBudget: true, onNotice: true };

/** A store of features in a folder: for `train`, which computes what a frozen backbone makes of its images once. */
export function featureStore(options: FeatureStoreOptions = {}): FeatureStore {
  refuseUnknownOptions(options, OPTIONS, 'featureStore');
  const { files = nodeFiles, cacheDir = ownCacheDir(), memoryBudget = defaultMemoryBudget(), diskBudget = 4 * 2 ** 30, onNotice } = options;
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
      await tidy(files, folder, pathOf(key), diskBudget);
    },
  };
}

/** Features that nobody has written for so long belong to work that is over. */
const DAYS = 30;
/** What `writePacked` leaves. Whatever else is in the folder is not ours. */
const KEPT_NAME = /^[0-9a-f]{32}\.safetensors$/;

/**
 * Removes features that are old, and the oldest while all are more than the folder may have. A run that reads them has them open; what cannot be
 * removed is left to the next time, since nobody's run is to fail by it.
 */
async function tidy(files: Files, folder: string, newest: string, budget: number): Promise<void> {
  const names = await files.readdir(folder).catch(() => []);
  const paths = names.filter((name) => KEPT_NAME.test(name)).map((name) => join(folder, name));
  const found = await Promise.all(paths.map(async (path) => ({ path, stat: await files.stat(path).catch(() => null) })));
  const oldestLast = found
    .flatMap(({ path, stat }) => (stat?.kind === 'file' ? [{ path, ...stat }] : []))
    .sort((a, b) => Number(b.path === newest) - Number(a.path === newest) || b.modified - a.modified);
  let bytes = 0;
  for (const { path, size, modified } of oldestLast) {
    bytes += size;
    if (path === newest) continue;
    if (bytes > budget || Date.now() - modified > DAYS * 86_400_000) await files.unlink(path).catch(() => {});
  }
}
