// Sets as one file of raw pixels: what `hybrid data convert` writes and `--data FILE.safetensors` opens, and what decoded image folders are
// cached as. The format is safetensors, so that other programs can read it: `<part>.labels` I32 [n] and `<part>.images` U8
// [n, height, width, channels] for the parts train, validation and test, the class names as JSON in the metadata, and at the end
// `sha256` U8 [32], the hash of all bytes before it. The file is hashed whenever it is opened: what cannot be trusted is not used.

import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { abortError, HybridError } from '../../runtime/base/errors.ts';
import { type Files, streamAtomically, systemCode } from '../../runtime/base/files.ts';
import { type DataSource, type Dataset, PARTS, type PartName, partTitle, sourceOf } from '../../runtime/data/dataset.ts';
import { memoryDataset } from '../../runtime/data/memory-dataset.ts';
import { readSafetensorsLayout, safetensorsHead, safetensorsHeadBytes, type TensorPlace } from '../../runtime/formats/safetensors.ts';
import { recordDataset } from './record-dataset.ts';

const FORMAT = 'hybrid-images-1';
/** Folder of the cache for features of networks, which are kept in such files too. */
export const FEATURES_FOLDER = 'features';
const HASH_BYTES = 32;
/** Of images that are hashed or copied at a time. */
const CHUNK_BYTES = 1 << 20;

export interface PackOptions {
  readonly files: Files;
  readonly path: string;
  readonly shape: Dataset['shape'];
  readonly classes: readonly string[];
  /** What the datasets are called when the file is opened, such as `pets`. */
  readonly name: string;
  /** By the labels of its parts the file knows its own size. */
  readonly labels: ReadonlyMap<PartName, Uint8Array | Int32Array>;
  /** Further metadata, for `openPacked` to compare. */
  readonly metadata?: ReadonlyMap<string, string>;
  readonly signal?: AbortSignal;
  /** The images of the parts in the order of `labels`, NHWC, in pieces of any size. */
  images(): AsyncIterable<Uint8Array>;
}

/** Writes such a file whole or not at all. Throws E_DISK, an AbortError, or what `images` throws. */
export async function writePacked({ files, path, shape, classes, name, labels, metadata, signal, images }: PackOptions): Promise<void> {
  const imageBytes = shape[0] * shape[1] * shape[2];
  const head = safetensorsHead(
    new Map<string, { dtype: 'I32' | 'U8'; shape: readonly number[] }>([
      ...[...labels].map(([part, { length }]) => [`${part}.labels`, { dtype: 'I32', shape: [length] }] as const),
      ...[...labels].map(([part, { length }]) => [`${part}.images`, { dtype: 'U8', shape: [length, ...shape] }] as const),
      ['sha256', { dtype: 'U8', shape: [HASH_BYTES] }],
    ]),
    new Map([['format', FORMAT], ['name', name], ['classes', JSON.stringify(classes)], ...(metadata ?? [])]),
  );
  const count = [...labels.values()].reduce((sum, { length }) => sum + length, 0);
  await streamAtomically(files, path, head.length + count * (4 + imageBytes) + HASH_BYTES, async (write) => {
    const hash = createHash('sha256');
    const put = async (bytes: Uint8Array): Promise<void> => {
      if (signal?.aborted) throw abortError(signal);
      hash.update(bytes);
      await write(bytes);
    };
    await put(head);
    for (const values of labels.values()) await put(new Uint8Array(Int32Array.from(values).buffer));
    let written = 0;
    for await (const piece of images()) {
      written += piece.length;
      await put(piece);
    }
    if (written !== count * imageBytes) {
      throw new HybridError('E_INTERNAL', `${written} bytes of images came for ${path} instead of ${count * imageBytes}`);
    }
    await write(hash.digest());
  });
}

export interface OpenPackedOptions {
  /** Images of more bytes than this in all stay on the disk, read as they are needed. */
  readonly memoryBudget: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (bytes: number, total: number) => void;
}

export interface PackedSource extends DataSource {
  readonly metadata: ReadonlyMap<string, string>;
}

/** Opens such a file, having read and hashed all of it. Throws E_DATA where it is anything but complete and unchanged, or an AbortError. */
export async function openPacked(path: string, { memoryBudget, signal, onProgress }: OpenPackedOptions): Promise<PackedSource> {
  let file: Awaited<ReturnType<typeof open>> | undefined;
  try {
    file = await open(path);
    const stat = await file.stat();
    if (!stat.isFile()) throw damaged(path, 'it is not a file');
    const read = async (start: number, end: number): Promise<Uint8Array<ArrayBuffer>> => {
      const bytes = new Uint8Array(end - start);
      for (let done = 0; done < bytes.length; ) {
        const { bytesRead } = (await file?.read(bytes, done, bytes.length - done, start + done)) ?? { bytesRead: 0 };
        if (bytesRead === 0) throw damaged(path, `it ends at byte ${start + done}`);
        done += bytesRead;
      }
      return bytes;
    };
    const layoutOptions = { source: path, code: 'E_DATA', fileBytes: stat.size } as const;
    const headBytes = safetensorsHeadBytes(await read(0, Math.min(8, stat.size)), layoutOptions);
    const head = await read(0, headBytes);
    const { tensors, metadata } = readSafetensorsLayout(head, layoutOptions);
    const { classes, shape, parts, hash } = understand(path, tensors, metadata);

    // One pass from front to back: hashed, and kept where it fits. Shared memory, so that the workers read it too.
    const imagesStart = parts[0].images.start;
    const labelBytes = await read(headBytes, imagesStart);
    const digest = createHash('sha256').update(head).update(labelBytes);
    const imageBytes = hash.start - imagesStart;
    const kept = imageBytes <= memoryBudget ? new Uint8Array(new SharedArrayBuffer(imageBytes)) : null;
    for (let at = imagesStart; at < hash.start; at += CHUNK_BYTES) {
      if (signal?.aborted) throw abortError(signal);
      const piece = await read(at, Math.min(at + CHUNK_BYTES, hash.start));
      digest.update(piece);
      kept?.set(piece, at - imagesStart);
      onProgress?.(at + piece.length, stat.size);
    }
    if (!digest.digest().equals(await read(hash.start, hash.end)))
      throw damaged(path, 'its SHA-256 is not the one that it was written with');

    const labels = new Int32Array(labelBytes.buffer, 0, labelBytes.length / 4);
    const datasets = parts.map(({ part, labels: place, images }): [PartName, Dataset] => {
      const first = (place.start - headBytes) / 4;
      const about = {
        name: `${metadata.get('name')} ${partTitle(part)}`,
        shape,
        classes,
        labels: labels.subarray(first, first + place.shape[0]),
      };
      const wrong = about.labels.findIndex((label) => label < 0 || label >= classes.length);
      if (wrong >= 0)
        throw damaged(path, `image ${wrong} of its ${part} part has the label ${about.labels[wrong]} of ${classes.length} classes`);
      if (kept) return [part, memoryDataset({ ...about, images: kept.subarray(images.start - imagesStart, images.end - imagesStart) })];
      const stride = shape[0] * shape[1] * shape[2];
      const records = { path, size: stat.size, modified: stat.mtimeMs, count: place.shape[0], offset: images.start, stride };
      return [part, recordDataset({ ...about, files: [records], layout: 'interleaved' })];
    });
    return { ...sourceOf(new Map(datasets)), metadata };
  } catch (error) {
    if (error instanceof HybridError || signal?.aborted) throw error;
    throw damaged(path, `it cannot be read (${systemCode(error) || error})`, error);
  } finally {
    await file?.close();
  }
}

interface Part {
  readonly part: PartName;
  readonly labels: TensorPlace;
  readonly images: TensorPlace;
}

/** What the header says, checked against what `writePacked` writes: labels first, then images, then the hash. */
function understand(path: string, tensors: ReadonlyMap<string, TensorPlace>, metadata: ReadonlyMap<string, string>) {
  if (metadata.get('format') !== FORMAT) throw damaged(path, 'it holds no images, or was written by another version');
  const parts: Part[] = [];
  for (const part of PARTS) {
    const labels = tensors.get(`${part}.labels`);
    const images = tensors.get(`${part}.images`);
    if (labels && images) parts.push({ part, labels, images });
  }
  const expected = [...parts.map(({ part }) => `${part}.labels`), ...parts.map(({ part }) => `${part}.images`), 'sha256'];
  const hash = tensors.get('sha256');
  if (parts[0]?.part !== 'train' || !hash || [...tensors.keys()].join() !== expected.join())
    throw damaged(path, 'its tensors are not those of a set of images');
  const shape = parts[0].images.shape.slice(1);
  for (const { part, labels, images } of parts) {
    const fits =
      labels.dtype === 'I32' &&
      labels.shape.length === 1 &&
      images.dtype === 'U8' &&
      images.shape.length === 4 &&
      images.shape[0] === labels.shape[0];
    if (!fits || images.shape.includes(0) || images.shape.slice(1).join() !== shape.join())
      throw damaged(path, `its ${part} part is not labels and images of one size`);
  }
  if (hash.dtype !== 'U8' || hash.shape.join() !== `${HASH_BYTES}`) throw damaged(path, 'its hash is none');
  let classes: unknown;
  try {
    classes = JSON.parse(metadata.get('classes') ?? '');
  } catch {}
  if (!Array.isArray(classes) || classes.length === 0 || classes.some((name) => typeof name !== 'string'))
    throw damaged(path, 'its class names are no list of names');
  return { classes: classes as string[], shape: shape as unknown as Dataset['shape'], parts, hash };
}

const damaged = (path: string, what: string, cause?: unknown): HybridError =>
  new HybridError('E_DATA', `${path} is not a usable file of images: ${what}`, 'Write it again with `hybrid data convert`.', { cause });
