// Types of elements of the constants of ONNX files, and their values.

import { fromBfloat16, fromHalf } from './half.ts';
import { packedIntegers } from './protobuf.ts';
import type { Fail } from './zip.ts';

/** The specification's types of elements: name and bytes. */
export const TYPES: Readonly<Record<number, { readonly name: string; readonly bytes: number } | undefined>> = {
  1: { name: 'float', bytes: 4 },
  2: { name: 'uint8', bytes: 1 },
  3: { name: 'int8', bytes: 1 },
  4: { name: 'uint16', bytes: 2 },
  5: { name: 'int16', bytes: 2 },
  6: { name: 'int32', bytes: 4 },
  7: { name: 'int64', bytes: 8 },
  9: { name: 'bool', bytes: 1 },
  10: { name: 'float16', bytes: 2 },
  11: { name: 'double', bytes: 8 },
  12: { name: 'uint32', bytes: 4 },
  13: { name: 'uint64', bytes: 8 },
  16: { name: 'bfloat16', bytes: 2 },
};
/** Of those, numbers with fractions. */
export const FLOATS: ReadonlySet<number> = new Set([1, 10, 11, 16]);

/** The name of a type of elements. */
export const onnxTypeName = (type: number): string => TYPES[type]?.name ?? `type ${type}`;

/** The values of a constant as the message has them: as bytes, or as numbers of the field for their kind. */
export interface Packed {
  readonly kind: 'raw' | 'float' | 'int' | 'double';
  readonly bytes: Uint8Array;
}

/** The values of a constant of `size` elements, from what the file holds of them; nothing held: from no bytes. */
export function valuesOf(called: string, type: number, size: number, held: Packed | undefined, fail: Fail): ArrayLike<number> {
  const element = TYPES[type];
  if (!element) return fail(`${called} has elements of ${onnxTypeName(type)}, which are not read`);
  const { kind, bytes } = held ?? { kind: 'raw', bytes: new Uint8Array() };
  const expected = type === 1 ? 'float' : type === 11 ? 'double' : 'int';
  if (kind !== 'raw' && kind !== expected) return fail(`${called} has values of another type than ${element.name}`);
  if (kind === 'int') {
    const values = packedIntegers(bytes, size, called, fail);
    return type === 10 ? fromHalf(Uint16Array.from(values)) : type === 16 ? fromBfloat16(Uint16Array.from(values)) : values;
  }
  if (bytes.length !== size * element.bytes) return fail(`${called} has ${bytes.length} bytes for ${size} elements of ${element.name}`);
  // Views need addresses that their elements divide.
  const { buffer } = new Uint8Array(bytes);
  switch (type) {
    case 1:
      return new Float32Array(buffer);
    case 2:
    case 9:
      return new Uint8Array(buffer);
    case 3:
      return new Int8Array(buffer);
    case 4:
      return new Uint16Array(buffer);
    case 5:
      return new Int16Array(buffer);
    case 6:
      return new Int32Array(buffer);
    case 7:
      return Float64Array.from(new BigInt64Array(buffer), Number);
    case 10:
      return fromHalf(new Uint16Array(buffer));
    case 11:
      return Float32Array.from(new Float64Array(buffer), (value) =>
        Number.isFinite(value) && !Number.isFinite(Math.fround(value)) ? fail(`${called} has ${value}, which no float32 holds`) : value,
      );
    case 12:
      return new Uint32Array(buffer);
    case 13:
      return Float64Array.from(new BigUint64Array(buffer), Number);
    default:
      return fromBfloat16(new Uint16Array(buffer));
  }
}
