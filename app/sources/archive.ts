// Unpacks the official archives of CIFAR-10 and CIFAR-100 (tars, compressed with gzip) and nothing else. The archive decides nothing: names,
// places and sizes come from a table here, and whatever does not fit the table ends the reading. That rules out the known
// attacks on unpackers (`../`, links, devices, long-name records, duplicates, bombs) without looking for them one by one.

import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { HybridError, isAbortError } from '../../runtime/base/errors.ts';
import { diskError, type Files, systemCode, writeAll } from '../../runtime/base/files.ts';
import type { Fail } from '../../runtime/formats/zip.ts';
import { CIFAR10, CIFAR100, type CifarSet, findCifar } from './cifar.ts';
import { ByteReader, isZero, readTarHeader, TAR_BLOCK, TAR_FILE, TAR_FOLDER } from './tar.ts';

/** Bytes that a file of the archive may have, by its name. */
export type ArchiveContents = Readonly<Record<string, { readonly min: number; readonly max: number }>>;

const SMALL_FILE_BYTES = 4_096;

const exactly = (bytes: number) => ({ min: bytes, max: bytes });
const small = { min: 1, max: SMALL_FILE_BYTES };

const CONTENTS: Readonly<Record<CifarSet['title'], ArchiveContents>> = {
  'CIFAR-10': {
    ...Object.fromEntries([...CIFAR10.trainFiles, CIFAR10.testFile].map((name) => [name, exactly(10_000 * 3_073)])),
    [CIFAR10.namesFile]: small,
    'readme.html': small,
  },
  'CIFAR-100': {
    ...Object.fromEntries(CIFAR100.trainFiles.map((name) => [name, exactly(50_000 * 3_074)])),
    [CIFAR100.testFile]: exactly(10_000 * 3_074),
    [CIFAR100.namesFile]: small,
    'coarse_label_names.txt': small,
  },
};

/** What the official archive of a set holds. */
export const officialContents = ({ title }: CifarSet): ArchiveContents => CONTENTS[title];

export interface UnpackOptions {
  readonly files: Files;
  /** Path of the archive. */
  readonly archive: string;
  /** The folder to make. It appears complete or not at all. */
  readonly folder: string;
  /** Which set it is; CIFAR-10 by default. */
  readonly set?: CifarSet;
  readonly contents?: ArchiveContents;
  readonly signal?: AbortSignal;
}

/**
 * Unpacks `archive` into the new `folder`. Throws E_DATA where the archive is anything but the files of the table, each
 * once, and E_DISK where they cannot be written; nothing is left behind then.
 */
export async function unpackArchive({
  files,
  archive,
  folder,
  set = CIFAR10,
  contents = officialContents(set),
  signal,
}: UnpackOptions): Promise<void> {
  const aside = `${folder}.${randomBytes(4).toString('hex')}.tmp`;
  const gunzip = createGunzip();
  try {
    await onDisk(aside, () => files.mkdir(aside));
    // Errors of the source arrive where the result is read.
    pipeline(files.stream(archive), gunzip, () => {});
    await unpackTar(new ByteReader(gunzip, fail, signal), files, aside, { set, contents });
    // Bytes after the end of the compressed stream are passed over by zlib; an archive with a tail is not the official one.
    if (gunzip.bytesWritten !== (await files.stat(archive))?.size) throw malformed('data after the end of the compressed part');
    await onDisk(aside, () => files.syncFolder(aside));
    await moveFolder(files, aside, folder, set);
  } catch (error) {
    await files.remove(aside).catch(() => {}); // the first error is the one to report
    if (error instanceof HybridError || isAbortError(error)) throw error;
    throw malformed(`it cannot be read (${systemCode(error) || error})`, error);
  } finally {
    gunzip.destroy();
  }
}

async function moveFolder(files: Files, from: string, to: string, set: CifarSet): Promise<void> {
  try {
    await files.rename(from, to);
    await files.syncFolder(dirname(to));
  } catch (error) {
    // Another process may have unpacked the same archive meanwhile: theirs is as good.
    if (!(await files.stat(from)) || !(await findCifar(files, to, [set]))) throw diskError(to, error);
    await files.remove(from);
  }
}

// The end of a tar is two blocks of zeros, filled up to the size of a tape record: 10 KiB as a rule.
const MAX_PADDING_BYTES = 1 << 20;

async function unpackTar(
  input: ByteReader,
  files: Files,
  folder: string,
  { set, contents }: { readonly set: CifarSet; readonly contents: ArchiveContents },
): Promise<void> {
  const missing = new Map(Object.entries(contents));
  for (;;) {
    const header = await input.exactly(TAR_BLOCK);
    if (isZero(header)) break;
    const { name, type, size } = readTarHeader(header, fail);
    if (type === TAR_FOLDER && name === `${set.folder}/` && size === 0) continue;
    if (!TAR_FILE.has(type)) throw malformed(`the entry ${quoted(name)} is not a regular file (type ${quoted(String.fromCharCode(type))})`);
    // The name written to is the key of the table, equal to the entry's name unit by unit: nothing is normalised.
    const fileName = [...missing.keys()].find((known) => name === `${set.folder}/${known}`);
    if (fileName === undefined) throw malformed(`the entry ${quoted(name)} is not one of the expected files, or comes twice`);
    const { min, max } = contents[fileName];
    if (size < min || size > max) throw malformed(`${fileName} has ${size} bytes instead of ${min === max ? min : `${min} to ${max}`}`);
    missing.delete(fileName);
    await unpackFile(input, files, join(folder, fileName), size);
    if (!isZero(await input.exactly((TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK))) throw malformed(`data after the end of ${fileName}`);
  }
  if (missing.size > 0) throw malformed(`it lacks ${[...missing.keys()].join(', ')}`);
  for (let padding = 0; ; ) {
    const rest = await input.some(TAR_BLOCK * 16);
    if (rest === null) break;
    padding += rest.length;
    if (!isZero(rest) || padding > MAX_PADDING_BYTES) throw malformed('data after its end');
  }
}

async function unpackFile(input: ByteReader, files: Files, path: string, size: number): Promise<void> {
  const file = await onDisk(path, () => files.open(path, 'wx'));
  try {
    for (let left = size; left > 0; ) {
      const part = await input.some(left);
      if (part === null) throw malformed('it is cut short');
      await writeAll(file, part, size);
      left -= part.length;
    }
    await onDisk(path, () => file.sync());
  } finally {
    await onDisk(path, () => file.close());
  }
}

const quoted = (name: string): string => JSON.stringify(name);

const malformed = (what: string, cause?: unknown): HybridError =>
  new HybridError('E_DATA', `the archive is not the official one: ${what}`, 'Fetch it again, or from another `url`.', {
    cause,
  });

const fail: Fail = (what, cause) => {
  throw malformed(what, cause);
};

/** Runs a file operation; its errors become E_DISK. */
async function onDisk<T>(path: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    throw diskError(path, error);
  }
}
