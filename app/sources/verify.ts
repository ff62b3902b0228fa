// Checks all of a dataset: every label, every image that has to be decoded, and the hashes of its files.

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { abortError, HybridError } from '../../runtime/base/errors.ts';
import { nodeFiles } from '../../runtime/base/files.ts';
import { PARTS, type PartName } from '../../runtime/data/dataset.ts';
import { decodeImage, loadSharp } from './image-file.ts';
import type { DataPlace, OpenDataOptions } from './place.ts';
import { locateData, openData } from './source.ts';

/** A file of a set, read from beginning to end. */
export interface VerifiedFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
  /** Whether it is the file of that name of the official archive, byte for byte. */
  readonly official: boolean;
}

/** What was found to be whole. */
export interface Verification {
  readonly kind: DataPlace['kind'];
  /** Whose bytes were hashed: none of a folder of images, where each was decoded instead. */
  readonly files: readonly VerifiedFile[];
  readonly images: { readonly [part in PartName]: number };
  readonly classes: number;
  /** In the order of the labels. */
  readonly classNames: readonly string[];
  /** Files of a folder that cannot be decoded, with the reason. */
  readonly bad: readonly { readonly path: string; readonly reason: string }[];
}

/** SHA-256 of the files in the official archives (whose own hashes are in download.ts). */
const OFFICIAL_FILES: Readonly<Record<string, string>> = {
  'data_batch_1.bin': 'cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5',
  'data_batch_2.bin': 'a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed',
  'data_batch_3.bin': 'bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67',
  'data_batch_4.bin': '014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48',
  'data_batch_5.bin': '755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add',
  'test_batch.bin': '8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b',
  'train.bin': 'f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29',
  'test.bin': 'd8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a',
};

// sharp decodes in threads of its own, of which Node has four by default.
const AT_ONCE = 4;

/** Throws what `openData` throws; files of a folder that cannot be decoded are listed instead, all of them. */
export async function verifyData(spec: string, options: OpenDataOptions = {}): Promise<Verification> {
  const place = await locateData(spec, options);
  if (place.kind === 'folder') return verifyFolder(place.path, options);
  // What cannot be decoded is listed, all of it. Past the cache: damage to a file may have left its size and time as they were.
  const source = await openData(spec, {
    ...options,
    memoryBudget: 0,
    imageSize: undefined,
    maxBad: 2 ** 31 - 1,
    decodeAnew: true,
    onNotice: undefined,
  });
  const images = Object.fromEntries(PARTS.map((part) => [part, source[part]?.size ?? 0])) as Verification['images'];
  return {
    kind: place.kind,
    files: await hashed(place, options),
    images,
    classes: source.train.classes.length,
    classNames: source.train.classes,
    bad: source.skipped ?? [],
  };
}

async function hashed(place: DataPlace, { files = nodeFiles, signal }: OpenDataOptions): Promise<VerifiedFile[]> {
  if (place.kind === 'synthetic') return [];
  const names = filesOf(place);
  const result: VerifiedFile[] = [];
  for (const name of names) {
    const path = 'shards' in place ? name : join(place.path, name);
    if ((await files.stat(path)) === null) continue;
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const chunk of files.stream(path)) {
      if (signal?.aborted) throw abortError(signal);
      hash.update(chunk);
      bytes += chunk.length;
    }
    const sha256 = hash.digest('hex');
    result.push({ path, bytes, sha256, official: OFFICIAL_FILES[name] === sha256 });
  }
  return result;
}

/** Names of the files that hold a set, in its folder; one empty name where the place is the file. */
function filesOf(place: DataPlace): readonly string[] {
  if (place.kind === 'cifar') return [...place.set.trainFiles, place.set.testFile];
  if (place.kind === 'cifar-python') return place.found.batches;
  if ('shards' in place) return [...place.shards.parts.values()].flat();
  if (place.kind === 'idx') return place.found.parts.flatMap(({ images, labels }) => [images, labels]);
  return [''];
}

async function verifyFolder(
  folder: string,
  { signal, labels, labelColumn, followLinks, maxPixels, onProgress, onNotice }: OpenDataOptions,
): Promise<Verification> {
  const { scanFolder } = await import('./folder-scan.ts');
  const { parts, classes, notices } = await scanFolder(folder, { signal, labels, labelColumn, followLinks });
  for (const notice of notices) onNotice?.(notice);
  await loadSharp();
  const paths = [...parts.values()].flat().map(({ path }) => path);
  const reasons = new Map<string, string>();
  for (let start = 0; start < paths.length; start += AT_ONCE) {
    if (signal?.aborted) throw abortError(signal);
    await Promise.all(
      paths.slice(start, start + AT_ONCE).map(async (path) => {
        try {
          await decodeImage(join(folder, path), { shape: [1, 1, 3], maxPixels });
        } catch (error) {
          if (!(error instanceof HybridError && error.code === 'E_DATA')) throw error;
          reasons.set(path, error.message);
        }
      }),
    );
    onProgress?.({ stage: 'decode', done: Math.min(start + AT_ONCE, paths.length), total: paths.length });
  }
  const bad = paths.flatMap((path) => (reasons.has(path) ? [{ path, reason: reasons.get(path) as string }] : []));
  const images = Object.fromEntries(PARTS.map((part) => [part, parts.get(part)?.length ?? 0])) as Verification['images'];
  return { kind: 'folder', files: [], images, classes: classes.length, classNames: classes, bad };
}
