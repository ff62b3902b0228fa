// Reading the files of a run folder, which somebody may have changed or removed: what cannot be read is E_CHECKPOINT.

import { HybridError } from '../../runtime/base/errors.ts';
import { type FileStat, type Files, systemCode } from '../../runtime/base/files.ts';

export async function readOr(files: Files, path: string): Promise<Uint8Array> {
  return files.readFile(path).catch((error) => {
    throw unreadable(path, error);
  });
}

export async function readdirOr(files: Files, path: string): Promise<string[]> {
  return files.readdir(path).catch((error) => {
    throw unreadable(path, error);
  });
}

export async function statOr(files: Files, path: string): Promise<FileStat | null> {
  return files.stat(path).catch((error) => {
    throw unreadable(path, error);
  });
}

export function unreadable(path: string, cause: unknown): HybridError {
  const reason = systemCode(cause) === 'ENOENT' ? 'it does not exist' : (cause as Error).message;
  return new HybridError('E_CHECKPOINT', `cannot read ${path}: ${reason}`, 'Use another checkpoint, or train again.', { cause });
}

export function parseObject(bytes: Uint8Array, path: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // told below
  }
  throw new HybridError('E_CHECKPOINT', `${path} is not a JSON object`, 'Use another checkpoint, or train again.');
}

/** What is not a list, because somebody has changed it, counts as an empty one. */
export function parseList(text: string): unknown[] {
  const value = parseJson(text);
  return Array.isArray(value) ? value : [];
}

/** Undefined where it is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Text as the bytes of a file. */
export const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
