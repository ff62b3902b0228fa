import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HybridError } from '../../runtime/base/errors.ts';
import { fromHalf, toHalf } from '../../runtime/formats/half.ts';
import { type FileTensor, readSafetensors, writeSafetensors } from '../../runtime/formats/safetensors.ts';

/** A file from a header as text, with its true length unless another is given. */
function fileOf(header: string, data: Uint8Array = new Uint8Array(0), length = BigInt(Buffer.byteLength(header))): Uint8Array {
  const bytes = Buffer.concat([Buffer.alloc(8), Buffer.from(header), data]);
  bytes.writeBigUInt64LE(length);
  return bytes;
}

function refusal(bytes: Uint8Array): string {
  try {
    readSafetensors(bytes, 'w.safetensors');
  } catch (error) {
    expect(error).toBeInstanceOf(HybridError);
    expect((error as HybridError).code).toBe('E_CHECKPOINT');
    expect((error as HybridError).remedy).not.toBe('');
    return (error as HybridError).message;
  }
  throw new Error('the file was accepted');
}

const tensor = (name: string, begin: number, end: number, shape = `[${(end - begin) / 4}]`, dtype = 'F32') =>
  `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`;

const sample = new Map<string, FileTensor>([
  ['layers/dense/vars/0', { shape: [2, 3], data: Float32Array.of(1, -0, NaN, Infinity, 1e-45, 3.5) }],
  ['layers/dense/vars/1', { shape: [3], data: Float32Array.of(7, 8, 9) }],
  ['optimizer/vars/0', { shape: [], data: BigInt64Array.of(1234567890123n) }],
  ['small', { shape: [1], data: Int32Array.of(-5) }],
  ['empty', { shape: [0, 4], data: new Float32Array(0) }],
]);

describe('writing and reading', () => {
  test('gives back names, shapes, types, bits and metadata', () => {
    const metadata = new Map([
      ['format', 'pt'],
      ['classes', '["ä","\\u0000"]'],
    ]);
    const file = readSafetensors(writeSafetensors(sample, metadata));
    expect(new Set(file.tensors.keys())).toEqual(new Set(sample.keys()));
    for (const [name, { shape, data }] of sample) {
      const read = file.tensors.get(name);
      expect(read?.shape).toEqual(shape);
      expect(read?.data.constructor).toBe(data.constructor);
      expect(Buffer.from(read?.data.buffer as ArrayBuffer)).toEqual(Buffer.from(data.buffer as ArrayBuffer));
    }
    expect(file.metadata).toEqual(metadata);
  });

  test('keeps halves as the nearest of 16 bits, and reads them and bfloat16 exactly', () => {
    const values = Float32Array.of(
      1,
      -2.5,
      65504,
      65519.99,
      65520,
      -Infinity,
      NaN,
      2 ** -14,
      2 ** -24,
      2 ** -25,
      1.5 * 2 ** -24,
      -0,
      1 / 3,
      2049,
      2051,
    );
    const nearest = [1, -2.5, 65504, 65504, Infinity, -Infinity, NaN, 2 ** -14, 2 ** -24, 0, 2 ** -23, -0, 0.333251953125, 2048, 2052];
    const bytes = writeSafetensors(new Map([['a', { shape: [15], data: values, half: true }]]));
    expect(readSafetensors(bytes).tensors.get('a')).toEqual({ shape: [15], data: Float32Array.from(nearest), half: true });
    // Every half that is a number comes back as the same bits.
    const all = Uint16Array.from({ length: 65536 }, (_, i) => i).filter((half) => (half & 0x7c00) !== 0x7c00 || (half & 0x3ff) === 0);
    expect(toHalf(fromHalf(all))).toEqual(all);
    const upper = fileOf(`{${tensor('b', 0, 4, '[2]', 'BF16')}}`, Uint8Array.of(0x80, 0x3f, 0x49, 0xc0));
    expect(readSafetensors(upper).tensors.get('b')?.data).toEqual(Float32Array.of(1, -3.140625));
  });

  test('writes the documented bytes', () => {
    const bytes = Buffer.from(writeSafetensors(new Map([['a', { shape: [1], data: Float32Array.of(1) }]])));
    expect(bytes.readBigUInt64LE()).toBe(56n);
    expect(bytes.subarray(8, 64).toString()).toBe('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}  ');
    expect(bytes.subarray(64)).toEqual(Buffer.from([0, 0, 0x80, 0x3f]));
  });

  test('aligns each tensor to its element size', () => {
    const bytes = Buffer.from(writeSafetensors(sample));
    const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE())).toString());
    expect(Number(bytes.readBigUInt64LE()) % 8).toBe(0);
    expect(header['optimizer/vars/0'].data_offsets).toEqual([0, 8]);
  });

  test('reads a view into a larger buffer', () => {
    const bytes = writeSafetensors(sample);
    const large = Buffer.concat([Buffer.alloc(3), bytes]);
    expect(readSafetensors(large.subarray(3)).tensors.get('layers/dense/vars/1')?.data).toEqual(Float32Array.of(7, 8, 9));
  });

  test('round trip of any maps', () => {
    const any = fc.uniqueArray(fc.tuple(fc.string({ unit: 'grapheme' }), fc.array(fc.nat(4), { maxLength: 3 })), {
      selector: ([name]) => name,
      maxLength: 8,
    });
    fc.assert(
      fc.property(any, (list) => {
        const tensors = new Map(
          list
            .filter(([name]) => name !== '__metadata__')
            .map(([name, shape], i) => [name, { shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(i) }]),
        );
        expect(new Map([...readSafetensors(writeSafetensors(tensors)).tensors].sort())).toEqual(new Map([...tensors].sort()));
      }),
    );
  });
});

describe('refuses', () => {
  test.each([
    ['an empty file', new Uint8Array(0), /0 bytes, fewer than the 8/],
    ['a length of 0', fileOf('', undefined, 0n), /0 bytes, fewer than an empty/],
    ['a length of 2^63', fileOf('{}', undefined, 1n << 63n), /9223372036854775808 bytes, more than/],
    ['a length of 2^53 + 1', fileOf('{}', undefined, (1n << 53n) + 1n), /9007199254740993/],
    ['a length beyond the file', fileOf('{}', undefined, 3n), /header of 3 bytes, but has 10 in all/],
    ['a header that is no object', fileOf('[]'), /"\[" at position 0/],
    ['a leading space', fileOf(' {}'), /position 0/],
    ['a byte order mark', fileOf('\uFEFF{}'), /position 0/],
    ['text that is not UTF-8', fileOf('{', Uint8Array.of(0xff), 2n), /UTF-8/],
    ['text after the object', fileOf('{}x'), /"x" at position 2/],
    ['an unclosed object', fileOf('{"a":'), /the end at position 5/],
    ['a pickle', Buffer.from('\x80\x02}q\x00(X\x05\x00\x00\x00epochK\x01u.'), /header of/],
    ['a zip archive', Buffer.from('PK\x03\x04\x14\x00\x00\x00\x00\x00'), /header of/],
    ['an overlap', fileOf(`{${tensor('a', 0, 8)},${tensor('b', 4, 12)}}`, new Uint8Array(12)), /"b" begins at byte 4 .* 8 is where/],
    ['many names on one region', fileOf(`{${tensor('a', 0, 8)},${tensor('b', 0, 8)}}`, new Uint8Array(8)), /"b" begins at byte 0/],
    ['a hole', fileOf(`{${tensor('a', 0, 4)},${tensor('b', 8, 12)}}`, new Uint8Array(12)), /"b" begins at byte 8 .* 4 is where/],
    ['a beginning above 0', fileOf(`{${tensor('a', 4, 8)}}`, new Uint8Array(8)), /begins at byte 4/],
    ['data behind the last tensor', fileOf(`{${tensor('a', 0, 4)}}`, new Uint8Array(5)), /end at byte 4 .* has 5/],
    ['a tensor beyond the file', fileOf(`{${tensor('a', 0, 8)}}`, new Uint8Array(4)), /ends at byte 8 .* only 4/],
    ['a negative offset', fileOf('{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,-4]}}'), /"-" at/],
    [
      'an end before the beginning',
      fileOf(`{${tensor('a', 0, 4)},${tensor('b', 4, 0, '[1]')}}`, new Uint8Array(4)),
      /ends at byte 0, before/,
    ],
    ['a fractional offset', fileOf('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4.0]}}', new Uint8Array(4)), /whole number/],
    ['an exponent', fileOf('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4e0]}}', new Uint8Array(4)), /whole number/],
    ['a leading zero', fileOf('{"a":{"dtype":"F32","shape":[01],"data_offsets":[0,4]}}', new Uint8Array(4)), /whole number/],
    ['2^53', fileOf('{"a":{"dtype":"F32","shape":[9007199254740992],"data_offsets":[0,4]}}', new Uint8Array(4)), /whole number/],
    ['an overflowing shape', fileOf(`{${tensor('a', 0, 0, '[4294967296,4294967296,0]')}}`), /impossible shape/],
    ['a size that does not fit its shape', fileOf(`{${tensor('a', 0, 8, '[3]')}}`, new Uint8Array(8)), /needs 12 bytes, but has 8/],
    ['one offset', fileOf('{"a":{"dtype":"F32","shape":[0],"data_offsets":[0]}}'), /1 data offsets/],
    ['an unknown type', fileOf(`{${tensor('a', 0, 4, '[4]', 'F8_E4M3')}}`, new Uint8Array(4)), /type "F8_E4M3"/],
    ['a type from the prototype', fileOf(`{${tensor('a', 0, 4, '[1]', 'constructor')}}`, new Uint8Array(4)), /type "constructor"/],
    ['two equal names', fileOf(`{${tensor('a', 0, 4)},${tensor('a', 4, 8)}}`, new Uint8Array(8)), /"a" occurs twice/],
    [
      'equal names spelled differently',
      fileOf('{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"\\u0061":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'),
      /"a" occurs twice/,
    ],
    ['an equal field twice', fileOf('{"a":{"dtype":"F32","dtype":"F32","shape":[0],"data_offsets":[0,0]}}'), /"dtype" occurs twice/],
    ['an unknown field', fileOf('{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0],"x":1}}'), /unknown field "x"/],
    ['a missing field', fileOf('{"a":{"dtype":"F32","shape":[0]}}'), /lacks/],
    ['a lone surrogate', fileOf('{"\\ud800":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'), /broken character/],
    ['metadata that is not text', fileOf('{"__metadata__":{"a":1}}'), /a string was expected/],
    ['deep nesting', fileOf(`{"a":${'['.repeat(100_000)}`), /position 5/],
  ])('%s', (_, bytes, message) => {
    expect(refusal(bytes)).toMatch(message);
  });

  test('more tensors than any model has, quickly', () => {
    const names = Array.from({ length: 150_000 }, (_, i) => tensor(`t${i}`, 0, 0, '[0]'));
    const start = process.cpuUsage();
    expect(refusal(fileOf(`{${names.join(',')}}`))).toMatch(/more than 100000 tensors/);
    expect(process.cpuUsage(start).user).toBeLessThan(2e6); // microseconds
  });

  test('a name of a megabyte with a short message', () => {
    const name = 'n'.repeat(1 << 20);
    expect(refusal(fileOf(`{${tensor(name, 4, 8)}}`, new Uint8Array(8))).length).toBeLessThan(400);
  });

  test('every truncation, and every flip of a header bit is refused or harmless', () => {
    const bytes = writeSafetensors(sample, new Map([['k', 'v']]));
    for (let length = 0; length < bytes.length; length++) refusal(bytes.subarray(0, length));
    const header = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true));
    for (let bit = 0; bit < header * 8; bit++) {
      const flipped = bytes.slice();
      flipped[bit >> 3] ^= 1 << (bit & 7);
      try {
        const { tensors } = readSafetensors(flipped);
        const total = [...tensors.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
        expect(total).toBeLessThanOrEqual(bytes.length);
      } catch (error) {
        expect((error as HybridError).code).toBe('E_CHECKPOINT');
      }
    }
  });

  test('or reads any bytes, with no other error', () => {
    const header = fc.oneof(fc.json(), fc.string(), fc.constantFrom('{', '{"a":{"dtype":"F32",', `{${tensor('a', 0, 4)}}`));
    fc.assert(
      fc.property(header, fc.uint8Array({ maxLength: 16 }), (text, data) => {
        try {
          readSafetensors(fileOf(text, data));
        } catch (error) {
          expect((error as HybridError).code).toBe('E_CHECKPOINT');
        }
      }),
      { numRuns: 2000 },
    );
  });
});

test('names that mean something to objects are data', () => {
  const names = ['__proto__', 'constructor', 'prototype', 'hasOwnProperty', 'toString'];
  const tensors = new Map(names.map((name, i) => [name, { shape: [1], data: Float32Array.of(i) }]));
  const read = readSafetensors(writeSafetensors(tensors, new Map([['__proto__', 'x']])));
  expect([...read.tensors.keys()]).toEqual(names);
  expect(read.metadata.get('__proto__')).toBe('x');
  expect(({} as Record<string, unknown>).dtype).toBeUndefined();
});
