// ZIP archives, as far as .npz and .keras files need them: stored or deflated members, no encryption, no ZIP64.
//
// An archive may come from anywhere, so the directory is checked as a whole before a member is unpacked: members must lie
// in the file without overlapping each other (one compressed run that a thousand members share is how small archives
// unpack to petabytes), and none may claim more than deflate can make of its bytes. So the memory that an archive can
// claim is at most `DEFLATE_RATIO` times its own size.

import { crc32, inflateRaw, zipStored } from './deflate.ts';

/** Says what is wrong with a file; throws. */
export type Fail = (what: string, cause?: unknown) => never;

const END = { signature: 0x06054b50, bytes: 22, maxComment: 0xffff };
const ENTRY = { signature: 0x02014b50, bytes: 46 };
const LOCAL = { signature: 0x04034b50, bytes: 30 };
const STORED = 0;
const DEFLATED = 8;
const ENCRYPTED = 1;
/** What deflate compresses at most: two bits for a run of 258 bytes, and some bytes for the tables. */
const DEFLATE_RATIO = 1032;
const DEFLATE_SLACK = 64;

interface Entry {
  readonly name: string;
  readonly method: number;
  readonly crc: number;
  readonly packed: number;
  readonly size: number;
  /** Of its local header, in the file. */
  readonly start: number;
}

/**
 * The members of an archive by name, in the order of its directory. Stored members are views of `bytes`. Folders are passed over.
 * Calls `fail` for anything that is not a complete, well-formed archive whose checksums are right.
 */
export function readZip(bytes: Uint8Array, fail: Fail): Map<string, Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries = readDirectory(view, fail);

  // First every check, then the unpacking.
  const places = entries.map((entry) => ({ ...entry, data: dataStart(view, entry, fail) })).sort((a, b) => a.start - b.start);
  let free = 0;
  for (const { name, method, packed, size, start, data } of places) {
    if (start < free) fail(`its member ${quote(name)} overlaps another one`);
    free = data + packed;
    if (free > bytes.length) fail(`its member ${quote(name)} ends at byte ${free}, but the file has only ${bytes.length}`);
    const most = method === STORED ? packed : packed * DEFLATE_RATIO + DEFLATE_SLACK;
    if (size > most || (method === STORED && size < most)) {
      fail(`its member ${quote(name)} claims ${size} bytes, which cannot be in the ${packed} that it takes`);
    }
  }

  const start = new Map(places.map(({ name, data }) => [name, data]));
  const members = new Map<string, Uint8Array>();
  for (const { name, method, crc, packed, size } of entries) {
    if (members.has(name)) fail(`it has two members called ${quote(name)}`);
    if (name.endsWith('/') && size === 0) continue;
    const from = start.get(name) as number;
    const data = bytes.subarray(from, from + packed);
    const member = method === STORED ? data : inflate(data, size, name, fail);
    if (crc32(member) !== crc) fail(`its member ${quote(name)} has changed since it was written (wrong checksum)`);
    members.set(name, member);
  }
  return members;
}

function readDirectory(view: DataView, fail: Fail): Entry[] {
  const end = findEnd(view, fail);
  const count = view.getUint16(end + 10, true);
  const size = view.getUint32(end + 12, true);
  const start = view.getUint32(end + 16, true);
  if (count === 0xffff || start === 0xffffffff) fail('it is a ZIP64 archive, which is not read');
  if (view.getUint16(end + 8, true) !== count) fail('it is one part of a divided archive');
  if (start + size > end) fail(`its directory of ${size} bytes at byte ${start} does not fit into the file`);
  if (count * ENTRY.bytes > size) fail(`its directory of ${size} bytes cannot hold the ${count} members it claims`);

  const entries: Entry[] = [];
  for (let at = start; entries.length < count; ) {
    if (at + ENTRY.bytes > start + size || view.getUint32(at, true) !== ENTRY.signature) fail('its directory is damaged');
    const nameLength = view.getUint16(at + 28, true);
    const next = at + ENTRY.bytes + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
    if (next > start + size) fail('its directory is damaged');
    const name = decode(view, at + ENTRY.bytes, nameLength, fail);
    const entry = {
      name,
      method: view.getUint16(at + 10, true),
      crc: view.getUint32(at + 16, true),
      packed: view.getUint32(at + 20, true),
      size: view.getUint32(at + 24, true),
      start: view.getUint32(at + 42, true),
    };
    if (view.getUint16(at + 8, true) & ENCRYPTED) fail(`its member ${quote(name)} is encrypted`);
    if (entry.method !== STORED && entry.method !== DEFLATED) {
      fail(`its member ${quote(name)} is compressed in a way (${entry.method}) that is not read`);
    }
    entries.push(entry);
    at = next;
  }
  return entries;
}

/** Place of the end record: the last one whose comment reaches exactly to the end of the file. */
function findEnd(view: DataView, fail: Fail): number {
  const last = view.byteLength - END.bytes;
  for (let at = last; at >= Math.max(0, last - END.maxComment); at--) {
    if (view.getUint32(at, true) === END.signature && view.getUint16(at + 20, true) === last - at) return at;
  }
  return fail('it is not a ZIP archive, or is cut short');
}

/** Where the bytes of a member begin. Its local header repeats the directory's entry, with a name and extra fields of its own lengths. */
function dataStart(view: DataView, { name, start }: Entry, fail: Fail): number {
  if (start + LOCAL.bytes > view.byteLength || view.getUint32(start, true) !== LOCAL.signature) {
    fail(`its member ${quote(name)} is not where the directory says`);
  }
  return start + LOCAL.bytes + view.getUint16(start + 26, true) + view.getUint16(start + 28, true);
}

function inflate(data: Uint8Array, size: number, name: string, fail: Fail): Uint8Array {
  let member: Uint8Array;
  try {
    // One byte more than announced is enough to notice; zlib refuses a limit of 0.
    member = inflateRaw(data, size + 1);
  } catch (error) {
    return fail(`its member ${quote(name)} cannot be unpacked: ${(error as Error).message}`, error);
  }
  if (member.length !== size) fail(`its member ${quote(name)} unpacks to ${member.length} bytes instead of ${size}`);
  return member;
}

function decode(view: DataView, start: number, length: number, fail: Fail): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(new Uint8Array(view.buffer, view.byteOffset + start, length));
  } catch {
    return fail('the name of a member is not UTF-8 text');
  }
}

/** An archive of stored members, in the order of the map. The same input gives the same bytes: all members carry the first date that ZIP knows. */
export function writeZip(members: ReadonlyMap<string, Uint8Array>): Uint8Array {
  return zipStored(Object.fromEntries(members));
}

/** A name from a file, safe to print: escaped and of bounded length. */
export function quote(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);
}
