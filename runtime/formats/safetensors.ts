// Reader and writer of the safetensors format: eight bytes of header length, a JSON header that says where each tensor
// lies, the data. Only what is needed here: F32 for weights and optimizer state, I32 and I64 for counts and labels, U8 for images;
// F16 for weights that travel, and BF16 of other programs, which are float32 once they are read.
//
// A file may come from anywhere, so every promise of the format is checked before a byte of tensor data is copied: the
// memory a hostile file can claim is bounded by its own size. The header is read by a parser for exactly this grammar:
// JSON.parse would take the last of two equal names in silence, accept `1e3` and `-0` as sizes, round integers beyond
// 2^53 and build objects whose keys a file chooses.

import { HybridError } from '../base/errors.ts';
import { fromBfloat16, fromHalf, toHalf } from './half.ts';

/** A tensor in row-major order; the kind of array is its type in the file. `shape` [] is a scalar, one element. */
export interface FileTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array | BigInt64Array | Uint8Array;
  /** A Float32Array that is F16 in the file. */
  readonly half?: boolean;
}

/** What a safetensors file holds. */
export interface SafetensorsFile {
  /** By name, in the order of the data. */
  readonly tensors: ReadonlyMap<string, FileTensor>;
  readonly metadata: ReadonlyMap<string, string>;
}

const LENGTH_BYTES = 8;
/** The format's own limit of the header. */
const MAX_HEADER_BYTES = 100_000_000;
/** Far above any model; keeps a header of millions of empty tensors from costing time and memory. */
const MAX_TENSORS = 100_000;
const METADATA_KEY = '__metadata__';

const TYPES = { F32: Float32Array, I32: Int32Array, I64: BigInt64Array, U8: Uint8Array, F16: Uint16Array, BF16: Uint16Array } as const;
type TypeName = keyof typeof TYPES;

interface HeaderEntry {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly offsets: readonly number[];
}

/** Where a tensor lies in its file, in bytes from the beginning. */
export interface TensorPlace {
  readonly dtype: TypeName;
  readonly shape: readonly number[];
  readonly start: number;
  readonly end: number;
}

export interface SafetensorsLayout {
  /** By name, in the order of the data. */
  readonly tensors: ReadonlyMap<string, TensorPlace>;
  readonly metadata: ReadonlyMap<string, string>;
}

/**
 * Lays tensors down as a file, the widest elements first, so that each is aligned to its element size, otherwise in the order
 * of the map. The same input gives the same bytes.
 */
export function writeSafetensors(tensors: ReadonlyMap<string, FileTensor>, metadata: ReadonlyMap<string, string> = new Map()): Uint8Array {
  const stored = [...tensors].map(([name, tensor]) => ({ name, shape: tensor.shape, ...storedForm(tensor) }));
  const ordered = stored.sort((a, b) => b.data.BYTES_PER_ELEMENT - a.data.BYTES_PER_ELEMENT);
  for (const { name, shape, data } of ordered) {
    const elements = product(shape);
    if (elements !== data.length) {
      throw new HybridError(
        'E_INTERNAL',
        `tensor ${name} has ${data.length} elements, but its shape [${shape.join(', ')}] has ${elements}`,
      );
    }
  }
  const head = safetensorsHead(new Map(ordered.map(({ name, dtype, shape }) => [name, { dtype, shape }])), metadata);
  const file = new Uint8Array(ordered.reduce((sum, { data }) => sum + data.byteLength, head.length));
  file.set(head);
  let at = head.length;
  for (const { data } of ordered) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return file;
}

/**
 * What comes before the data, for a file that is written piece by piece: after it the tensors follow one another in the order of the map. Its
 * length is a multiple of 8, so that tensors are aligned if the widest come first.
 */
export function safetensorsHead(
  tensors: ReadonlyMap<string, { readonly dtype: TypeName; readonly shape: readonly number[] }>,
  metadata: ReadonlyMap<string, string> = new Map(),
): Uint8Array {
  let offset = 0;
  const entries = [...tensors].map(([name, { dtype, shape }]) => {
    const range = [offset, offset + product(shape) * TYPES[dtype].BYTES_PER_ELEMENT];
    offset = range[1];
    return `${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: range })}`;
  });
  if (metadata.size > 0) {
    const pairs = [...metadata].map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
    entries.unshift(`${JSON.stringify(METADATA_KEY)}:{${pairs.join(',')}}`);
  }
  const header = new TextEncoder().encode(`{${entries.join(',')}}`);
  const padded = Math.ceil(header.length / 8) * 8;
  const head = new Uint8Array(LENGTH_BYTES + padded).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(padded), true);
  head.set(header, LENGTH_BYTES);
  return head;
}

const product = (shape: readonly number[]): number => shape.reduce((partial, n) => partial * n, 1);

function storedForm({ data, half }: FileTensor): { dtype: TypeName; data: FileTensor['data'] | Uint16Array } {
  if (data instanceof Float32Array) return half ? { dtype: 'F16', data: toHalf(data) } : { dtype: 'F32', data };
  if (data instanceof Uint8Array) return { dtype: 'U8', data };
  return data instanceof Int32Array ? { dtype: 'I32', data } : { dtype: 'I64', data };
}

/**
 * Reads a whole file. The tensors are copies.
 * @param source Name of the file for messages.
 * @throws HybridError E_CHECKPOINT for anything that is not a complete, well-formed file with tensors of known types.
 */
export function readSafetensors(bytes: Uint8Array, source = 'the file'): SafetensorsFile {
  const layout = readSafetensorsLayout(bytes, { source });
  const tensors = new Map<string, FileTensor>();
  for (const [name, { dtype, shape, start, end }] of layout.tensors) {
    const Type = TYPES[dtype];
    const data = new Type((end - start) / Type.BYTES_PER_ELEMENT);
    new Uint8Array(data.buffer).set(bytes.subarray(start, end));
    if (!(data instanceof Uint16Array)) tensors.set(name, { shape, data });
    else tensors.set(name, dtype === 'F16' ? { shape, data: fromHalf(data), half: true } : { shape, data: fromBfloat16(data) });
  }
  return { tensors, metadata: layout.metadata };
}

export interface LayoutOptions {
  /** Name of the file for messages. */
  readonly source?: string;
  /** Code of the error; E_CHECKPOINT by default. */
  readonly code?: 'E_CHECKPOINT' | 'E_DATA';
  /** Bytes of the whole file, where `head` is only its beginning: `safetensorsHeadBytes` at least. */
  readonly fileBytes?: number;
}

/** How long the beginning of a file must be to hold its header, from its first eight bytes. Throws as `readSafetensorsLayout` does. */
export function safetensorsHeadBytes(start: Uint8Array, options: LayoutOptions = {}): number {
  const { fileBytes = start.length } = options;
  return LENGTH_BYTES + headerLength(start, fileBytes, refuse(options));
}

/** Where the tensors are, after every check that the format allows; copies nothing. */
export function readSafetensorsLayout(head: Uint8Array, options: LayoutOptions = {}): SafetensorsLayout {
  const { fileBytes = head.length } = options;
  const fail = refuse(options);
  const header = readHeader(head, fileBytes, fail);
  const dataStart = LENGTH_BYTES + header.byteLength;
  const dataBytes = fileBytes - dataStart;

  // Sorted by place, the tensors must tile the data: no hole, no overlap, no rest.
  const entries = header.entries.sort((a, b) => a.offsets[0] - b.offsets[0] || a.offsets[1] - b.offsets[1]);
  const tensors = new Map<string, TensorPlace>();
  let end = 0;
  for (const { name, dtype, shape, offsets } of entries) {
    const label = `tensor ${quote(name)}`;
    if (!Object.hasOwn(TYPES, dtype)) fail(`${label} has type ${quote(dtype)}, but only ${Object.keys(TYPES).join(', ')} are read`);
    if (offsets.length !== 2) fail(`${label} has ${offsets.length} data offsets instead of 2`);
    if (offsets[0] !== end) fail(`${label} begins at byte ${offsets[0]} of the data, but ${end} is where it must begin`);
    if (offsets[1] < offsets[0]) fail(`${label} ends at byte ${offsets[1]}, before its beginning at ${offsets[0]}`);
    if (offsets[1] > dataBytes) fail(`${label} ends at byte ${offsets[1]} of the data, but the file has only ${dataBytes}`);
    let size: number = TYPES[dtype as TypeName].BYTES_PER_ELEMENT;
    for (const n of shape) {
      size *= n;
      if (!Number.isSafeInteger(size)) fail(`${label} has an impossible shape [${shape.join(', ')}]`);
    }
    if (offsets[1] - offsets[0] !== size) {
      fail(`${label} of type ${dtype} and shape [${shape.join(', ')}] needs ${size} bytes, but has ${offsets[1] - offsets[0]}`);
    }
    end = offsets[1];
    tensors.set(name, { dtype: dtype as TypeName, shape, start: dataStart + offsets[0], end: dataStart + end });
  }
  if (end !== dataBytes) fail(`its tensors end at byte ${end} of the data, but the file has ${dataBytes}`);
  return { tensors, metadata: header.metadata };
}

const refuse =
  ({ source = 'the file', code = 'E_CHECKPOINT' }: LayoutOptions): Fail =>
  (what) => {
    throw new HybridError(
      code,
      `${source} is not a valid safetensors file: ${what}`,
      'Use a file in the safetensors format; if it was copied or downloaded, download it again.',
    );
  };

type Fail = (what: string) => never;

/** Of the header, from the first eight bytes. */
function headerLength(bytes: Uint8Array, fileBytes: number, fail: Fail): number {
  if (bytes.length < LENGTH_BYTES) fail(`it has ${bytes.length} bytes, fewer than the ${LENGTH_BYTES} of the header length`);
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) fail(`it claims a header of ${length} bytes, more than the ${MAX_HEADER_BYTES} allowed`);
  if (length > BigInt(fileBytes - LENGTH_BYTES)) fail(`it claims a header of ${length} bytes, but has ${fileBytes} in all`);
  if (length < 2n) fail(`it claims a header of ${length} bytes, fewer than an empty one has`);
  return Number(length);
}

function readHeader(bytes: Uint8Array, fileBytes: number, fail: Fail) {
  const byteLength = headerLength(bytes, fileBytes, fail);
  let text = '';
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + byteLength));
  } catch {
    fail('its header is not UTF-8 text');
  }
  return { byteLength, ...new HeaderParser(text, fail).parse() };
}

/** Recursive descent over `{"__metadata__":{string:string…},name:{"dtype":…,"shape":[…],"data_offsets":[…]}…}`. */
class HeaderParser {
  readonly #text: string;
  readonly #fail: Fail;
  #at = 0;

  constructor(text: string, fail: Fail) {
    this.#text = text;
    this.#fail = fail;
  }

  parse(): { entries: HeaderEntry[]; metadata: Map<string, string> } {
    const entries: HeaderEntry[] = [];
    let metadata = new Map<string, string>();
    // The format asks for `{` as the very first byte: no file can be another format's as well.
    if (this.#text[0] !== '{') this.#unexpected('{');
    this.#object((name) => {
      if (name === METADATA_KEY) metadata = this.#metadata();
      else entries.push(this.#entry(name));
      if (entries.length > MAX_TENSORS) this.#fail(`it has more than ${MAX_TENSORS} tensors`);
    });
    this.#space();
    if (this.#at !== this.#text.length) this.#unexpected('the end of the header');
    return { entries, metadata };
  }

  #metadata(): Map<string, string> {
    const metadata = new Map<string, string>();
    this.#object((key) => metadata.set(key, this.#string()));
    return metadata;
  }

  #entry(name: string): HeaderEntry {
    let dtype: string | undefined;
    let shape: number[] | undefined;
    let offsets: number[] | undefined;
    this.#object((key) => {
      if (key === 'dtype') dtype = this.#string();
      else if (key === 'shape') shape = this.#integers();
      else if (key === 'data_offsets') offsets = this.#integers();
      else this.#fail(`tensor ${quote(name)} has an unknown field ${quote(key)}`);
    });
    if (dtype === undefined || !shape || !offsets) this.#fail(`tensor ${quote(name)} lacks its dtype, shape or data_offsets`);
    return { name, dtype: dtype as string, shape: shape as number[], offsets: offsets as number[] };
  }

  /** Calls `member` with each key, which must be new, at the place of its value. */
  #object(member: (key: string) => void): void {
    const keys = new Set<string>();
    this.#list('{', '}', () => {
      const key = this.#string();
      if (keys.has(key)) this.#fail(`the name ${quote(key)} occurs twice in its header`);
      keys.add(key);
      this.#expect(':');
      member(key);
    });
  }

  #integers(): number[] {
    const numbers: number[] = [];
    this.#list('[', ']', () => numbers.push(this.#integer()));
    return numbers;
  }

  #list(open: string, close: string, item: () => void): void {
    this.#expect(open);
    if (this.#accept(close)) return;
    do item();
    while (this.#accept(','));
    this.#expect(close);
  }

  #integer(): number {
    this.#space();
    const digits = /(?:0|[1-9][0-9]*)(?![0-9.eE])/y;
    digits.lastIndex = this.#at;
    const found = digits.exec(this.#text)?.[0];
    const value = Number(found);
    if (found === undefined || !Number.isSafeInteger(value)) this.#unexpected('a whole number below 2^53');
    this.#at += (found as string).length;
    return value;
  }

  #string(): string {
    this.#space();
    const start = this.#at;
    if (this.#text[start] !== '"') this.#unexpected('a string');
    let end = start + 1;
    while (end < this.#text.length && this.#text[end] !== '"') end += this.#text[end] === '\\' ? 2 : 1;
    let value = '';
    try {
      value = JSON.parse(this.#text.slice(start, end + 1));
    } catch {
      this.#unexpected('a string');
    }
    // Half a surrogate pair has no UTF-8 form: such a name could not be written back.
    if (/\p{Surrogate}/u.test(value)) this.#fail(`its header has a broken character near position ${start}`);
    this.#at = end + 1;
    return value;
  }

  #space(): void {
    while (' \n\r\t'.includes(this.#text[this.#at] ?? 'x')) this.#at++;
  }

  #accept(character: string): boolean {
    this.#space();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #expect(character: string): void {
    if (!this.#accept(character)) this.#unexpected(character);
  }

  #unexpected(wanted: string): never {
    const found = this.#at < this.#text.length ? quote(this.#text[this.#at]) : 'the end';
    return this.#fail(`its header has ${found} at position ${this.#at} where ${wanted} was expected`);
  }
}

/** A name from a file, safe to print: escaped and of bounded length. */
function quote(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);
}
