import { crc32, deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HybridError } from '../../runtime/base/errors.ts';
import { type NpyArray, readNpy, readNpz, writeNpy, writeNpz } from '../../runtime/formats/npz.ts';

const arrays = new Map<string, NpyArray>([
  ['x_train', { shape: [2, 1, 3], data: Uint8Array.of(0, 1, 2, 253, 254, 255) }],
  ['y', { shape: [2], data: BigInt64Array.of(-1n, 2n ** 62n) }],
  ['floats', { shape: [2, 2], data: Float32Array.of(1, -0, Number.NaN, 1e-45) }],
  ['doubles', { shape: [1], data: Float64Array.of(Math.PI) }],
  ['scalar', { shape: [], data: Int32Array.of(-7) }],
  ['empty', { shape: [0, 5], data: new Uint16Array(0) }],
]);

function refusal(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    expect(error).toBeInstanceOf(HybridError);
    expect((error as HybridError).code).toBe('E_DATA');
    expect((error as HybridError).remedy).not.toBe('');
    return (error as HybridError).message;
  }
  throw new Error('the file was accepted');
}

function expectEqual(found: NpyArray | undefined, { shape, data }: NpyArray): void {
  expect(found?.shape).toEqual(shape);
  expect(found?.data.constructor).toBe(data.constructor);
  const bytes = (array: NpyArray['data']) => Buffer.from(array.buffer as ArrayBuffer, array.byteOffset, array.byteLength);
  expect(bytes((found as NpyArray).data)).toEqual(bytes(data));
}

describe('.npy', () => {
  test.each([...arrays])('%s comes back', (_, array) => {
    expectEqual(readNpy(writeNpy(array)), array);
    // Also out of the middle of a larger buffer, where elements are not aligned.
    expectEqual(readNpy(Buffer.concat([Buffer.alloc(3), writeNpy(array)]).subarray(3)), array);
  });

  test('writes the documented bytes', () => {
    const bytes = Buffer.from(writeNpy({ shape: [3], data: Uint8Array.of(1, 2, 3) }));
    expect(bytes.subarray(0, 10).toString('latin1')).toBe('\x93NUMPY\x01\x00\x76\x00');
    expect(bytes.subarray(10, 128).toString()).toBe(`${"{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }".padEnd(117)}\n`);
    expect([...bytes.subarray(128)]).toEqual([1, 2, 3]);
  });

  test('turns column-major arrays around', () => {
    const file = npy("{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3, 2)}", new Int16Array([0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11]));
    expectEqual(readNpy(file), { shape: [2, 3, 2], data: Int16Array.from({ length: 12 }, (_, i) => i) });
  });

  test('reads big-endian numbers, and halves as float32', () => {
    const big = Buffer.from(Float32Array.of(1.5, -2).buffer).swap32();
    expectEqual(readNpy(npy("{'descr': '>f4', 'fortran_order': False, 'shape': (2,)}", new Uint8Array(big))), {
      shape: [2],
      data: Float32Array.of(1.5, -2),
    });
    const halves = Uint16Array.of(0x3c00, 0xc000, 0x7c00);
    expectEqual(readNpy(npy("{'descr': '<f2', 'fortran_order': False, 'shape': (3,)}", halves)), {
      shape: [3],
      data: Float32Array.of(1, -2, Number.POSITIVE_INFINITY),
    });
  });

  test('reads versions 2 and 3, keys in any order and either kind of quote', () => {
    const header = '{"shape": (2L,), "descr": "<f4", "fortran_order": False, }'.replace('L', '');
    expectEqual(readNpy(npy(header, Float32Array.of(1, 2), 2)), { shape: [2], data: Float32Array.of(1, 2) });
    expectEqual(readNpy(npy(header, Float32Array.of(1, 2), 3)), { shape: [2], data: Float32Array.of(1, 2) });
  });

  test.each([
    ["{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", /type "\|O"/],
    ["{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", /type "<c8"/],
    ["{'descr': 'toString', 'fortran_order': False, 'shape': (1,), }", /type "toString"/],
    ["{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", /no descr/],
    ["{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", /needs 8 bytes, but has 4/],
    ["{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", /no shape/],
    ["{'descr': '<f4', 'fortran_order': False, 'shape': (1,,1), }", /shape/],
    ["{'descr': '<f4', 'fortran_order': False, 'shape': (9007199254740993, 0), }", /impossible/],
    ["{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", /impossible/],
    ["{'descr': '<f4', 'fortran_order': maybe, 'shape': (1,), }", /no fortran_order/],
    ["{'descr': '<f4', 'shape': (1,), }", /no fortran_order/],
    ['', /no descr/],
  ])('refuses the header %j', (header, message) => {
    expect(refusal(() => readNpy(npy(header, Float32Array.of(1))))).toMatch(message);
  });

  test('refuses a header that is longer than the file, or than any', () => {
    const file = writeNpy({ shape: [3], data: Uint8Array.of(1, 2, 3) });
    file.set([0xff, 0xff], 8);
    expect(refusal(() => readNpy(file))).toMatch(/claims 65535 bytes/);
    expect(refusal(() => readNpy(new Uint8Array(0)))).toMatch(/begin/);
  });

  test('any cut or changed byte gives an array or a refusal', () => {
    const file = writeNpy({ shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) });
    for (let length = 0; length < file.length; length++) refusal(() => readNpy(file.subarray(0, length)));
    fc.assert(
      fc.property(fc.nat(file.length - 1), fc.nat(255), (at, byte) => {
        const changed = Uint8Array.from(file);
        changed[at] = byte;
        acceptsOrRefuses(() => readNpy(changed));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('.npz', () => {
  test('gives back names and arrays, in order, and passes over other members', () => {
    const bytes = writeNpz(arrays, new Map([['about.json', Buffer.from('{}')]]));
    const found = readNpz(bytes);
    expect([...found.keys()]).toEqual([...arrays.keys()]);
    for (const [name, array] of arrays) expectEqual(found.get(name), array);
  });

  test('stored bytes are views, not copies', () => {
    const bytes = writeNpz(arrays);
    expect(readNpz(bytes).get('x_train')?.data.buffer).toBe(bytes.buffer);
  });

  test('the same arrays make the same bytes at any time', () => {
    expect(Buffer.from(writeNpz(arrays)).equals(writeNpz(arrays))).toBe(true);
    expect(Buffer.from(writeNpz(arrays)).indexOf(Buffer.from([0, 0, 0x21, 0]))).toBe(10); // 1980-01-01 00:00
  });

  test('reads deflated members, as numpy.savez_compressed writes them', () => {
    const zeros = { shape: [100_000], data: new Uint8Array(100_000) };
    expectEqual(readNpz(zip([{ name: 'z.npy', data: writeNpy(zeros), deflate: true }])).get('z'), zeros);
  });

  test.each([
    ['is not one', Buffer.from('PK\x03\x04 but no more'), /not a ZIP archive, or is cut short/],
    ['has two members of a name', zip([{ name: 'a.npy' }, { name: 'a.npy' }]), /two members called "a.npy"/],
    ['lies about a checksum', zip([{ name: 'a.npy', crc: 1 }]), /wrong checksum/],
    ['claims more than deflate can pack', zip([{ name: 'a.npy', deflate: true, size: 2 ** 31 }]), /claims 2147483648 bytes/],
    ['claims more than is stored', zip([{ name: 'a.npy', size: 500 }]), /claims 500 bytes/],
    ['claims less than is stored', zip([{ name: 'a.npy', size: 5 }]), /claims 5 bytes/],
    ['unpacks to more than it says', zip([{ name: 'a.npy', deflate: true, size: 20 }]), /cannot be unpacked|instead of/],
    ['unpacks to less than it says', zip([{ name: 'a.npy', deflate: true, size: 300 }]), /instead of 300/],
    ['reaches beyond the file', zip([{ name: 'a.npy', packed: 100_000, size: 100_000 }]), /ends at byte/],
    ['points nowhere', zip([{ name: 'a.npy', start: 77 }]), /not where the directory says/],
    ['has overlapping members', zip([{ name: 'a.npy' }, { name: 'b.npy', start: 0 }]), /overlaps/],
    ['is encrypted', zip([{ name: 'a.npy', flags: 1 }]), /encrypted/],
    ['is compressed otherwise', zip([{ name: 'a.npy', method: 14 }]), /compressed in a way \(14\)/],
    ['has a name that is not text', zip([{ name: Buffer.from([0xff, 0xfe]) }]), /not UTF-8/],
    ['claims more members than fit', zip([{ name: 'a.npy' }], { count: 60_000 }), /cannot hold the 60000 members/],
    ['is ZIP64', zip([{ name: 'a.npy' }], { count: 0xffff }), /ZIP64/],
    ['has a bad array', zip([{ name: 'a.npy', data: Buffer.from('text') }]), /its array "a.npy": it does not begin/],
  ])('refuses an archive that %s', (_, bytes, message) => {
    expect(refusal(() => readNpz(bytes))).toMatch(message);
  });

  test('any cut or changed byte gives arrays or a refusal', () => {
    const file = zip([{ name: 'a.npy', deflate: true }, { name: 'b.npy' }]);
    for (let length = 0; length < file.length; length++) refusal(() => readNpz(file.subarray(0, length)));
    fc.assert(
      fc.property(fc.nat(file.length - 1), fc.nat(255), (at, byte) => {
        const changed = Uint8Array.from(file);
        changed[at] = byte;
        acceptsOrRefuses(() => readNpz(changed));
      }),
      { numRuns: 3000 },
    );
  });
});

function acceptsOrRefuses(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    expect(error).toBeInstanceOf(HybridError);
  }
}

function npy(header: string, data: ArrayBufferView, version = 1): Uint8Array {
  const length = Buffer.alloc(version === 1 ? 2 : 4);
  length.writeUInt16LE(header.length);
  const start = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, version, 0]);
  return Buffer.concat([start, length, Buffer.from(header, 'latin1'), Buffer.from(data.buffer as ArrayBuffer)]);
}

interface Member {
  readonly name: string | Buffer;
  readonly data?: Uint8Array;
  readonly deflate?: boolean;
  // Lies of the directory.
  readonly flags?: number;
  readonly method?: number;
  readonly crc?: number;
  readonly packed?: number;
  readonly size?: number;
  readonly start?: number;
}

/** An archive laid down by hand, so that it can lie. */
function zip(members: readonly Member[], { count = members.length } = {}): Uint8Array {
  const locals: Buffer[] = [];
  const entries: Buffer[] = [];
  let at = 0;
  for (const member of members) {
    const { data = writeNpy({ shape: [3], data: Float32Array.of(1, 2, 3) }), deflate = false } = member;
    const name = Buffer.from(member.name as string);
    const packed = deflate ? deflateRawSync(data) : data;
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50);
    local.writeUInt16LE(name.length, 26);
    locals.push(local, name, Buffer.from(packed));
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50);
    entry.writeUInt16LE(member.flags ?? 0, 8);
    entry.writeUInt16LE(member.method ?? (deflate ? 8 : 0), 10);
    entry.writeUInt32LE(member.crc ?? crc32(data), 16);
    entry.writeUInt32LE(member.packed ?? packed.length, 20);
    entry.writeUInt32LE(member.size ?? data.length, 24);
    entry.writeUInt16LE(name.length, 28);
    entry.writeUInt32LE(member.start ?? at, 42);
    entries.push(entry, name);
    at += 30 + name.length + packed.length;
  }
  const directory = Buffer.concat(entries);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50);
  end.writeUInt16LE(count, 8);
  end.writeUInt16LE(count, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...locals, directory, end]);
}
