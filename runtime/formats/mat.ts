// MATLAB's files of version 5 (.mat), as far as lists of numbers in them: numeric matrices by name, plain or compressed, in either byte order.
// Cells, structures, text and sparse matrices are passed over. HDF5 files of version 7.3 are refused by name.

import { inflateSync } from 'node:zlib';
import { HybridError } from '../base/errors.ts';
import type { Fail } from './zip.ts';

/** A matrix, column by column. */
export interface MatMatrix {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

const HEADER_BYTES = 128;
const MATRIX = 14;
const COMPRESSED = 15;
/** Of a matrix once it is unpacked. */
const MAX_BYTES = 2 ** 26;
const DEFLATE_RATIO = 1032;

/** Types of data by their number, with the bytes of one and how it is read. */
const TYPES: Readonly<Record<number, readonly [number, (view: DataView, at: number, little: boolean) => number]>> = {
  1: [1, (view, at) => view.getInt8(at)],
  2: [1, (view, at) => view.getUint8(at)],
  3: [2, (view, at, little) => view.getInt16(at, little)],
  4: [2, (view, at, little) => view.getUint16(at, little)],
  5: [4, (view, at, little) => view.getInt32(at, little)],
  6: [4, (view, at, little) => view.getUint32(at, little)],
  7: [4, (view, at, little) => view.getFloat32(at, little)],
  9: [8, (view, at, little) => view.getFloat64(at, little)],
  12: [8, (view, at, little) => Number(view.getBigInt64(at, little))],
  13: [8, (view, at, little) => Number(view.getBigUint64(at, little))],
};
/** Classes of numeric matrices: double to uint64. */
const isNumeric = (matrixClass: number): boolean => matrixClass >= 6 && matrixClass <= 15;

/** Reads the numeric matrices of a file. @throws HybridError E_DATA for anything but a whole file of that kind. */
export function readMat(bytes: Uint8Array, source: string): Map<string, MatMatrix> {
  const fail: Fail = (what, cause) => {
    const remedy = 'Save the lists as CSV, or fetch the file again.';
    throw new HybridError('E_DATA', `${source} is not a MATLAB file that can be read: ${what}`, remedy, { cause });
  };
  if (Buffer.from(bytes.subarray(0, 8)).toString('latin1').startsWith('\x89HDF'))
    fail('it is of version 7.3 (HDF5); version 5 to 7 is read');
  const order = Buffer.from(bytes.subarray(126, 128)).toString('latin1');
  if (bytes.length < HEADER_BYTES || (order !== 'IM' && order !== 'MI')) fail('it does not begin as such files of version 5 do');
  const little = order === 'IM';
  const matrices = new Map<string, MatMatrix>();
  let unpacked = 0;
  for (const { type, data } of elements(bytes.subarray(HEADER_BYTES), little, fail)) {
    let matrix: { readonly type: number; readonly data: Uint8Array } | undefined = { type, data };
    if (type === COMPRESSED) {
      let plain: Uint8Array;
      try {
        plain = inflateSync(data, { maxOutputLength: Math.min(MAX_BYTES - unpacked, data.length * DEFLATE_RATIO + 64) });
      } catch (error) {
        return fail(`a compressed part cannot be unpacked: ${(error as Error).message}`, error);
      }
      unpacked += plain.length;
      matrix = [...elements(plain, little, fail)][0];
    }
    if (matrix?.type !== MATRIX) continue;
    const found = matrixIn(matrix.data, little, fail);
    if (found) matrices.set(found.name, found.matrix);
  }
  return matrices;
}

interface Element {
  readonly type: number;
  readonly data: Uint8Array;
}

function* elements(bytes: Uint8Array, little: boolean, fail: Fail): Generator<Element, void, undefined> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; ) {
    if (at + 8 > bytes.length) fail('it is cut short');
    const first = view.getUint32(at, little);
    // Up to four bytes stand in the tag itself, whose upper half is their number then.
    const small = first >>> 16;
    const size = small > 0 ? small : view.getUint32(at + 4, little);
    const start = small > 0 ? at + 4 : at + 8;
    if (size > (small > 0 ? 4 : bytes.length - start)) fail(`a part claims ${size} bytes of the ${bytes.length - start} that are left`);
    const type = small > 0 ? first & 0xffff : first;
    yield { type, data: bytes.subarray(start, start + size) };
    // Compressed parts are not filled up to eight bytes.
    at = small > 0 ? at + 8 : start + (type === COMPRESSED ? size : Math.ceil(size / 8) * 8);
  }
}

function matrixIn(bytes: Uint8Array, little: boolean, fail: Fail): { readonly name: string; readonly matrix: MatMatrix } | undefined {
  const parts: Element[] = [];
  for (const element of elements(bytes, little, fail)) {
    parts.push(element);
    if (parts.length === 4) break;
    // Of cells and structures no more than the class is looked at.
    if (parts.length === 1 && element.data.length !== 8) fail('a matrix has no class');
    if (parts.length === 1 && !isNumeric(numbers(element, little, fail)[0] & 0xff)) return undefined;
  }
  if (parts.length < 4) return fail('a matrix is cut short');
  const [, dimensions, name, real] = parts;
  const shape = [...numbers(dimensions, little, fail)];
  const data = numbers(real, little, fail);
  const size = shape.reduce((product, n) => product * n, 1);
  if (shape.length < 2 || shape.some((n) => n < 0) || size !== data.length)
    fail(`a matrix of ${shape.join(' × ')} has ${data.length} numbers`);
  return { name: Buffer.from(name.data).toString('latin1'), matrix: { shape, data } };
}

function numbers({ type, data }: Element, little: boolean, fail: Fail): Float64Array {
  const [bytes, read] = TYPES[type] ?? fail(`a part is of the unknown type ${type}`);
  if (data.length % bytes !== 0) fail('a part ends within a number');
  if ((data.length / bytes) * 8 > MAX_BYTES) fail(`a part has ${data.length / bytes} numbers, more than ${MAX_BYTES / 8}`);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return Float64Array.from({ length: data.length / bytes }, (_, i) => read(view, i * bytes, little));
}
