// What an archive holds and where, without unpacking it: headers are read, contents are skipped. For sets whose images stay in their archives.
// No name in an archive is ever a path that is opened or written.

import { abortError } from '../../runtime/base/errors.ts';
import type { Fail } from '../../runtime/formats/zip.ts';
import { isZero, TAR_BLOCK, TAR_FILE, TAR_FOLDER } from './tar.ts';

/** A regular file in an archive. */
export interface TarMember {
  readonly name: string;
  /** Of its bytes in the archive. */
  readonly offset: number;
  readonly size: number;
}

/** Longest that a record with a long name or further properties may be. */
const MAX_RECORD = 2 ** 16;
const LONG_NAME = 0x4c; // 'L'
const PROPERTIES = 0x78; // 'x'
const ALL_PROPERTIES = 0x67; // 'g'
/** Of headers that are read at a time: small members lie close together. */
const WINDOW = 2 ** 16;

export interface TarIndexOptions {
  readonly size: number;
  readonly readAt: (offset: number, length: number) => Promise<Uint8Array>;
  readonly fail: Fail;
  readonly signal?: AbortSignal;
}

/** The members in order. Calls `fail` where the archive is damaged, cut short, or has entries that are neither files nor folders. */
export async function* readTarIndex({ size, readAt, fail, signal }: TarIndexOptions): AsyncGenerator<TarMember, void, undefined> {
  let window = { start: 0, bytes: new Uint8Array(0) };
  const read = async (start: number, length: number): Promise<Uint8Array> => {
    if (length > size - start) fail(`it ends within a header or file at byte ${start}`);
    const inside = start - window.start;
    if (inside >= 0 && inside + length <= window.bytes.length) return window.bytes.subarray(inside, inside + length);
    window = { start, bytes: Uint8Array.from(await readAt(start, Math.min(Math.max(WINDOW, length), size - start))) };
    return window.bytes.subarray(0, length);
  };
  let longName: string | undefined;
  let longSize: number | undefined;
  for (let at = 0; at < size; ) {
    if (signal?.aborted) throw abortError(signal);
    const header = await read(at, TAR_BLOCK);
    if (isZero(header)) return;
    checkSum(header, at, fail);
    const type = header[156];
    const bytes = longSize ?? sizeOf(header.subarray(124, 136), fail);
    const offset = at + TAR_BLOCK;
    if (bytes > size - offset) fail(`its entry at byte ${at} claims ${bytes} bytes of the ${size - offset} that are left`);
    at = offset + Math.ceil(bytes / TAR_BLOCK) * TAR_BLOCK;
    if (type === LONG_NAME || type === PROPERTIES || type === ALL_PROPERTIES) {
      if (bytes > MAX_RECORD) fail(`a record of ${bytes} bytes for a name is too long`);
      const record = await read(offset, bytes);
      if (type === LONG_NAME) longName = textOf(record, fail);
      else if (type === PROPERTIES) {
        const properties = propertiesOf(record, fail);
        longName = properties.get('path') ?? longName;
        const claimed = properties.get('size');
        if (claimed !== undefined) longSize = /^\d{1,15}$/.test(claimed) ? Number(claimed) : fail('a size is not a number');
      }
      continue;
    }
    const name = longName ?? nameOf(header, fail);
    longName = undefined;
    longSize = undefined;
    if (type === TAR_FOLDER) continue;
    if (!TAR_FILE.has(type)) fail(`its entry ${JSON.stringify(name.slice(0, 80))} is neither a file nor a folder but a link or device`);
    yield { name, offset, size: bytes };
  }
  fail('it ends without the mark of its end: it is cut short');
}

function checkSum(header: Uint8Array, at: number, fail: Fail): void {
  let sum = 0;
  for (let i = 0; i < TAR_BLOCK; i++) sum += i >= 148 && i < 156 ? 0x20 : header[i];
  const digits = Buffer.from(header.subarray(148, 156))
    .toString('latin1')
    .replace(/[\0 ]+$/, '')
    .trim();
  if (!/^[0-7]+$/.test(digits) || Number.parseInt(digits, 8) !== sum)
    fail(`it is not a tar archive, or is damaged: there is no header at byte ${at}`);
}

/** Octal digits or, for what they cannot hold, bytes after a first one of 0x80. */
function sizeOf(field: Uint8Array, fail: Fail): number {
  if (field[0] === 0x80) {
    const value = field.subarray(1).reduce((sum, byte) => sum * 256 + byte, 0);
    return Number.isSafeInteger(value) ? value : fail('an entry has an impossible size');
  }
  const digits = Buffer.from(field)
    .toString('latin1')
    .replace(/[\0 ]+$/, '')
    .trim();
  return /^[0-7]{1,12}$/.test(digits) ? Number.parseInt(digits, 8) : fail('an entry has a size that is not a number');
}

function nameOf(header: Uint8Array, fail: Fail): string {
  const name = textOf(header.subarray(0, 100), fail);
  const isUstar = Buffer.from(header.subarray(257, 262)).toString('latin1') === 'ustar';
  const prefix = isUstar && header[263] === 0x30 ? textOf(header.subarray(345, 500), fail) : '';
  return prefix === '' ? name : `${prefix}/${name}`;
}

function textOf(field: Uint8Array, fail: Fail): string {
  const end = field.indexOf(0);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(field.subarray(0, end < 0 ? field.length : end));
  } catch {
    return fail('the name of an entry is not UTF-8');
  }
}

/** Lines of `LENGTH KEY=VALUE`, the length with itself. */
function propertiesOf(record: Uint8Array, fail: Fail): Map<string, string> {
  const found = new Map<string, string>();
  for (let at = 0; at < record.length; ) {
    const space = record.indexOf(0x20, at);
    const digits = Buffer.from(record.subarray(at, space < 0 ? at : space)).toString('latin1');
    const length = /^\d{1,6}$/.test(digits) ? Number(digits) : 0;
    if (length <= digits.length + 1 || at + length > record.length) return fail('the properties of an entry are damaged');
    const line = textOf(record.subarray(space + 1, at + length - 1), fail);
    const equals = line.indexOf('=');
    if (equals > 0) found.set(line.slice(0, equals), line.slice(equals + 1));
    at += length;
  }
  return found;
}
