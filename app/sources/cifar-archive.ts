// Reads CIFAR from its archive as it was fetched, without unpacking it to the disk: the .tar.gz of the binary version or of the Python version, of
// CIFAR-10 or CIFAR-100.

import { basename, posix } from 'node:path';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { HybridError, isAbortError } from '../../runtime/base/errors.ts';
import { type FileStat, type Files, systemCode } from '../../runtime/base/files.ts';
import { grouped } from '../../runtime/base/units.ts';
import type { DataSource } from '../../runtime/data/dataset.ts';
import type { Fail } from '../../runtime/formats/zip.ts';
import { findCifar, labelKindOf, type ReadableFiles, readCifar } from './cifar.ts';
import { findPythonCifar, readPythonCifar } from './cifar-python.ts';
import { ByteReader, isZero, readTarHeader, TAR_BLOCK, TAR_FILE, TAR_FOLDER } from './tar.ts';

/** More than any of the four archives holds (186 MB). */
const MAX_BYTES = 2 ** 28;
const MAX_ENTRIES = 100;

/** Whether a path is called like an archive that is read here. */
export const isTarGz = (path: string): boolean => /\.(tar\.gz|tgz)$/i.test(path);

/** Reads the set of an archive into memory. Throws E_DATA where it holds neither form of CIFAR, or is damaged; an AbortError. */
export async function readCifarArchive(
  files: Files,
  path: string,
  { signal, labelColumn }: { readonly signal?: AbortSignal; readonly labelColumn?: string } = {},
): Promise<DataSource> {
  const contents = new ArchiveFiles(await unpack(files, path, signal));
  const binary = await findCifar(contents, '.');
  if (binary) return readCifar(contents, binary.folder, { kind: labelKindOf(binary.set, labelColumn) });
  const python = await findPythonCifar(contents, '.');
  if (python) return readPythonCifar(contents, python, labelKindOf(python.set, labelColumn));
  throw archiveError(path, 'holds neither the binary nor the Python version of CIFAR-10 or CIFAR-100');
}

async function unpack(files: Files, path: string, signal: AbortSignal | undefined): Promise<Map<string, Uint8Array>> {
  const fail: Fail = (what, cause) => {
    throw archiveError(path, `cannot be read: ${what}`, cause);
  };
  const gunzip = createGunzip();
  try {
    // Errors of the source arrive where the result is read.
    pipeline(files.stream(path), gunzip, () => {});
    const input = new ByteReader(gunzip, fail, signal);
    const found = new Map<string, Uint8Array>();
    let total = 0;
    for (;;) {
      const header = await input.exactly(TAR_BLOCK);
      if (isZero(header)) return found;
      const { name, type, size } = readTarHeader(header, fail);
      if (type === TAR_FOLDER) continue;
      if (!TAR_FILE.has(type)) fail(`its entry ${JSON.stringify(name)} is not a regular file`);
      total += size;
      if (total > MAX_BYTES) fail(`it unpacks to more than ${grouped(MAX_BYTES)} bytes`);
      if (found.size === MAX_ENTRIES) fail(`it has more than ${MAX_ENTRIES} files`);
      found.set(posix.normalize(name), await input.exactly(size));
      await input.exactly((TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK);
    }
  } catch (error) {
    if (error instanceof HybridError || isAbortError(error)) throw error;
    return fail(systemCode(error) || String(error), error);
  } finally {
    gunzip.destroy();
  }
}

/** The files of an archive by their paths in it. Nothing here reaches the disk, wherever such a path may lead. */
class ArchiveFiles implements ReadableFiles {
  readonly #files: ReadonlyMap<string, Uint8Array>;
  /** Whose folder is looked at for the whole archive: sets lie in a folder of their own. */
  constructor(files: ReadonlyMap<string, Uint8Array>) {
    this.#files = files;
  }

  async stat(path: string): Promise<FileStat | null> {
    const file = this.#files.get(keyOf(path));
    return file ? { kind: 'file', size: file.length, modified: 0 } : null;
  }

  async readFile(path: string): Promise<Uint8Array> {
    return this.#files.get(keyOf(path)) ?? new Uint8Array(0);
  }

  async readInto(path: string, target: Uint8Array): Promise<number> {
    const file = (await this.readFile(path)).subarray(0, target.length);
    target.set(file);
    return file.length;
  }

  async readdir(): Promise<string[]> {
    return [...this.#files.keys()].map((path) => basename(path)).sort();
  }
}

const keyOf = (path: string): string => posix.normalize(path.replaceAll('\\', '/'));

const archiveError = (path: string, what: string, cause?: unknown): HybridError =>
  new HybridError('E_DATA', `${path} ${what}`, 'Fetch the archive again, or unpack it and give the folder.', { cause });
