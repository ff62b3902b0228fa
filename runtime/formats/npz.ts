// NumPy's files: .npy holds one array, .npz is a ZIP archive of them. Read are whole numbers, booleans and floats of the
// usual sizes, in either byte order; arrays of Python's objects are refused.

import { fromLatin1, latin1 } from '../base/bytes.ts';
import { HybridError } from '../base/errors.ts';
import { refuseUnknownOptions } from '../base/kinds.ts';
import { fromHalf } from './half.ts';
import { rowMajor } from './strided.ts';
import { type Fail, quote, readZip, writeZip } from './zip.ts';

/** Types by NumPy's names, without the byte order. Booleans are bytes that are 0 or 1; halves are float32 once they are read. */
const TYPES = {
  b1: Uint8Array,
  u1: Uint8Array,
  i1: Int8Array,
  u2: Uint16Array,
  i2: Int16Array,
  f2: Uint16Array,
  u4: Uint32Array,
  i4: Int32Array,
  f4: Float32Array,
  u8: BigUint64Array,
  i8: BigInt64Array,
  f8: Float64Array,
} as const;
type TypeName = keyof typeof TYPES;

/** An array in row-major order; the kind of `data` is its type in the file. `shape` [] is a scalar, one element. */
export interface NpyArray {
  readonly shape: readonly number[];
  readonly data:
    | Uint8Array
    | Int8Array
    | Uint16Array
    | Int16Array
    | Uint32Array
    | Int32Array
    | BigUint64Array
    | BigInt64Array
    | Float32Array
    | Float64Array;
  /** NumPy's name of the type in the file, without the byte order, where `data` alone does not tell: `b1` (booleans), `f2` (halves). */
  readonly type?: 'b1' | 'f2';
}

/** The members of a .npz file, each read when it is asked for. */
export interface NpzMembers {
  /** Names of the arrays, without the ending `.npy`. */
  readonly names: readonly string[];
  /** @throws HybridError for an array that is missing, damaged or of a type that is not read. */
  array(name: string): NpyArray;
  /** The elements of an array of text (`<U8`, `|S8`); undefined for one of numbers. */
  strings(name: string): readonly string[] | undefined;
}

/** Options for reading a file: how errors name it. */
export interface NpyOptions {
  /** Name of the file. */
  readonly source?: string;
  /** Code of the error where it is not well-formed; E_DATA by default. */
  readonly code?: 'E_DATA' | 'E_CHECKPOINT';
}

const UTF_8 = new TextDecoder('utf-8', { ignoreBOM: true });
const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]; // \x93NUMPY
/** NumPy's own arrays have headers of 128 bytes; its reader allows this much. */
const MAX_HEADER_BYTES = 10_000;
/** NumPy pads its headers to this, so that the data can be mapped into memory. */
const ALIGNMENT = 64;
/** NumPy's own limit. */
const MAX_RANK = 64;

/**
 * Reads a whole .npy file. The array may be a view of `bytes`.
 * @throws HybridError for anything but one complete array of a known type.
 */
export function readNpy(bytes: Uint8Array, options: NpyOptions = {}): NpyArray {
  refuseUnknownOptions<NpyOptions>(options, { source: true, code: true }, 'readNpy');
  return parseNpy(bytes, refuse('.npy', options));
}

/**
 * Reads a whole .npz file: its arrays by name, without the ending `.npy`. Members that are no arrays are passed over. Arrays may be views of
 * `bytes`, and the others take at most as much memory as deflate can have packed into the file.
 * @throws HybridError for anything but a complete archive of complete arrays of known types.
 */
export function readNpz(bytes: Uint8Array, options: NpyOptions = {}): Map<string, NpyArray> {
  refuseUnknownOptions<NpyOptions>(options, { source: true, code: true }, 'readNpz');
  const members = openNpzMembers(bytes, options);
  return new Map(members.names.map((name) => [name, members.array(name)]));
}

/** Opens a whole .npz file; arrays that are not asked for may be of any kind. Throws as `readNpz` does. */
export function openNpzMembers(bytes: Uint8Array, options: NpyOptions = {}): NpzMembers {
  const fail = refuse('.npz', options);
  const ending = '.npy';
  const members = readZip(bytes, fail);
  const member = (name: string): Uint8Array => members.get(`${name}${ending}`) ?? fail(`it has no array ${quote(name)}`);
  const failIn =
    (name: string): Fail =>
    (what, cause) =>
      fail(`its array ${quote(`${name}${ending}`)}: ${what}`, cause);
  return {
    names: [...members.keys()].filter((name) => name.endsWith(ending)).map((name) => name.slice(0, -ending.length)),
    array: (name) => parseNpy(member(name), failIn(name)),
    strings: (name) => parseStrings(member(name), failIn(name)),
  };
}

function refuse(format: string, { source = 'the file', code = 'E_DATA' }: NpyOptions): Fail {
  return (what, cause) => {
    throw new HybridError(
      code,
      `${source} is not a ${format} file that can be read: ${what}`,
      'Write arrays of plain numbers with numpy.savez or numpy.save; if the file was copied or downloaded, download it again.',
      { cause },
    );
  };
}

function parseNpy(bytes: Uint8Array, fail: Fail): NpyArray {
  return numpyArray(partsOf(bytes, fail), fail);
}

/** The header of a .npy file, and the bytes that follow it. */
function partsOf(bytes: Uint8Array, fail: Fail): NumpyParts {
  if (bytes.length < 12 || !MAGIC.every((byte, i) => bytes[i] === byte)) fail('it does not begin as NumPy arrays do');
  const [major, minor] = bytes.subarray(6, 8);
  if (major < 1 || major > 3) fail(`it is of version ${major}.${minor}, and versions 1 to 3 are read`);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const headerStart = major === 1 ? 10 : 12;
  const headerBytes = major === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (headerBytes > MAX_HEADER_BYTES || headerStart + headerBytes > bytes.length) fail(`its header claims ${headerBytes} bytes`);
  const dataStart = headerStart + headerBytes;
  // Whatever is not ASCII becomes a character that the grammar does not know.
  const { descr, fortran, shape } = parseHeader(latin1(bytes.subarray(headerStart, dataStart)), fail);
  return { descr, fortran, shape, bytes: bytes.subarray(dataStart) };
}

/** Text of a fixed width: four bytes a character (U) or one (S), filled up with zeros. */
function parseStrings(file: Uint8Array, fail: Fail): string[] | undefined {
  const { descr, shape, bytes } = partsOf(file, fail);
  const [, order, kind, digits] = /^([<>|=]?)([US])(\d{1,6})$/.exec(descr) ?? [];
  if (kind === undefined) return undefined;
  const width = Number(digits) * (kind === 'U' ? 4 : 1);
  const count = shape.reduce((product, n) => product * n, 1);
  if (count * width !== bytes.length) fail(`${count} texts of ${width} bytes need ${count * width} bytes, but it has ${bytes.length}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: count }, (_, i) => {
    if (kind === 'S') {
      const text = UTF_8.decode(bytes.subarray(i * width, (i + 1) * width));
      return text.replace(/\0+$/, '');
    }
    let text = '';
    for (let at = i * width; at < (i + 1) * width; at += 4) {
      const code = view.getUint32(at, order !== '>');
      if (code === 0) break;
      text += code <= 0x10ffff ? String.fromCodePoint(code) : fail('a text has a character beyond Unicode');
    }
    return text;
  });
}

/** An array as NumPy describes it, in .npy files and in pickles. */
export interface NumpyParts {
  /** Byte order and type: `<f4`, `|u1`, `>i8`. */
  readonly descr: string;
  /** Whether the first axis varies fastest. */
  readonly fortran: boolean;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** The array; a view of the bytes where order and place allow it. Calls `fail` for a type that is not read, and where the bytes are not as many as the shape says. */
export function numpyArray({ descr, fortran, shape, bytes }: NumpyParts, fail: Fail): NpyArray {
  const [, order, name] = /^([<>|=]?)(.*)$/s.exec(descr) ?? [];
  if (!Object.hasOwn(TYPES, name)) {
    fail(`its elements are of type ${quote(descr)}, and ${Object.keys(TYPES).join(', ')} are read, in either byte order`);
  }
  const Type = TYPES[name as TypeName];
  const size = shape.reduce((product, n) => product * n, 1);
  if (shape.length > MAX_RANK || !Number.isSafeInteger(size * 8)) fail(`its shape (${shape.join(', ')}) is impossible`);
  if (size * Type.BYTES_PER_ELEMENT !== bytes.length) {
    fail(`an array of type ${descr} and shape (${shape.join(', ')}) needs ${size * Type.BYTES_PER_ELEMENT} bytes, but has ${bytes.length}`);
  }
  const stored = typed(Type, order === '>' ? swapped(bytes, Type.BYTES_PER_ELEMENT) : bytes);
  const data = name === 'f2' ? fromHalf(stored as Uint16Array) : stored;
  const type = name === 'b1' || name === 'f2' ? { type: name } : undefined;
  return { shape, data: fortran ? transposed(data, shape) : data, ...(type as Pick<NpyArray, 'type'> | undefined) };
}

/** A copy with the bytes of each element in the other order. */
function swapped(bytes: Uint8Array, width: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  if (width > 1) for (let at = 0; at < copy.length; at += width) copy.subarray(at, at + width).reverse();
  return copy;
}

/** The header is a Python dictionary, always with these three keys; NumPy writes them sorted, others need not. */
function parseHeader(text: string, fail: Fail): { descr: string; fortran: boolean; shape: number[] } {
  const value = (key: string, pattern: string): string => {
    const found = new RegExp(`^\\s*\\{(?:[^{}]*,)?\\s*['"]${key}['"]\\s*:\\s*${pattern}\\s*[,}]`).exec(text);
    return found ? found[1] : fail(`its header has no ${key} that is understood: ${quote(text.trim())}`);
  };
  const descr = value('descr', `['"]([^'"]*)['"]`);
  const fortran = value('fortran_order', '(True|False)') === 'True';
  const numbers = value('shape', `\\(([0-9,\\s]*)\\)`).split(',');
  if (numbers.at(-1)?.trim() === '') numbers.pop(); // Python's (3,)
  const shape = numbers.map((number) => (/^\s*\d{1,16}\s*$/.test(number) ? Number(number) : fail('its shape is not understood')));
  if (shape.length > MAX_RANK || !Number.isSafeInteger(shape.reduce((product, n) => product * Math.max(n, 1), 8))) {
    fail(`its shape (${shape.join(', ')}) is impossible`);
  }
  return { descr, fortran, shape };
}

/** Elements over the same memory where their place allows it. */
function typed(Type: (typeof TYPES)[TypeName], bytes: Uint8Array): NpyArray['data'] {
  if (bytes.byteOffset % Type.BYTES_PER_ELEMENT !== 0) bytes = Uint8Array.from(bytes);
  return new Type(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length / Type.BYTES_PER_ELEMENT);
}

/** From column-major order, in which NumPy stores a transposed array. */
const transposed = (data: NpyArray['data'], shape: readonly number[]): NpyArray['data'] =>
  rowMajor(
    data,
    shape,
    shape.map((_, axis) => shape.slice(0, axis).reduce((product, n) => product * n, 1)),
  );

/** One array as a .npy file. Bytes are written as `|u1`. */
export function writeNpy({ shape, data }: NpyArray): Uint8Array {
  const size = shape.reduce((product, n) => product * n, 1);
  if (size !== data.length) {
    throw new HybridError('E_INTERNAL', `the array has ${data.length} elements, but its shape (${shape.join(', ')}) has ${size}`);
  }
  const name = (Object.keys(TYPES) as TypeName[])
    .filter((name) => name !== 'b1' && name !== 'f2')
    .find((name) => data instanceof TYPES[name]);
  const descr = `${data.BYTES_PER_ELEMENT === 1 ? '|' : '<'}${name}`;
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`;
  const dictionary = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const headerEnd = Math.ceil((10 + dictionary.length + 1) / ALIGNMENT) * ALIGNMENT;
  const header = `${dictionary.padEnd(headerEnd - 10 - 1)}\n`;

  const file = new Uint8Array(headerEnd + data.byteLength);
  file.set([...MAGIC, 1, 0, header.length & 255, header.length >> 8]);
  file.set(fromLatin1(header), 10);
  file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), headerEnd);
  return file;
}

/**
 * Arrays as a .npz file, as numpy.savez writes it. The same input gives the same bytes.
 * @param extras Further members of the archive, by file name: `numpy.load` gives them as bytes.
 */
export function writeNpz(arrays: ReadonlyMap<string, NpyArray>, extras: ReadonlyMap<string, Uint8Array> = new Map()): Uint8Array {
  return writeZip(new Map([...[...arrays].map(([name, array]) => [`${name}.npy`, writeNpy(array)] as const), ...extras]));
}
