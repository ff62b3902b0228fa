import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { deflateSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { HybridError } from '../../runtime/base/errors.ts';
import { readMat } from '../../runtime/formats/mat.ts';

const golden = (name: string): Uint8Array => readFileSync(fileURLToPath(new URL(`../golden/flowers/${name}.mat`, import.meta.url)));
const refused = (bytes: Uint8Array): string => {
  try {
    readMat(bytes, 'x.mat');
  } catch (error) {
    expect(error).toBeInstanceOf(HybridError);
    expect((error as HybridError).code).toBe('E_DATA');
    return (error as Error).message;
  }
  return '';
};

it("MATLAB's matrices are read by name, compressed or not; text is passed over", () => {
  expect([...readMat(golden('imagelabels'), 'x')]).toEqual([['labels', { shape: [1, 6], data: Float64Array.of(3, 1, 2, 1, 2, 3) }]]);
  const sets = readMat(golden('setid'), 'x');
  expect([...sets.keys()]).toEqual(['trnid', 'valid', 'tstid']);
  expect([...(sets.get('tstid')?.data ?? [])]).toEqual([5, 6]);
});

it('a file cut short is refused, or has fewer matrices; any changed byte is refused or read', () => {
  for (const name of ['imagelabels', 'setid']) {
    const whole = golden(name);
    const all = [...readMat(whole, 'x').keys()];
    /** Where the text begins, the last of what is in the file. */
    const end = name === 'setid' ? 328 : whole.length;
    for (let length = 0; length < whole.length; length++) {
      const bytes = whole.subarray(0, length);
      if (refused(bytes) === '' && length < end) expect([...readMat(bytes, 'x').keys()], `${length}`).not.toEqual(all);
    }
    for (let at = 126; at < whole.length; at++) {
      for (const byte of [0, 0x7f, 0xff]) {
        const bytes = Uint8Array.from(whole);
        bytes[at] = byte;
        refused(bytes);
      }
    }
  }
});

it('a bomb, another version and another file are refused', () => {
  const packed = deflateSync(Buffer.alloc(2 ** 26 + 1));
  const head = golden('imagelabels').subarray(0, 128);
  const tag = Buffer.alloc(8);
  tag.writeUInt32LE(15, 0);
  tag.writeUInt32LE(packed.length, 4);
  expect(refused(Buffer.concat([head, tag, packed]))).toMatch(/cannot be unpacked/);
  expect(refused(Buffer.concat([Buffer.from('\x89HDF\r\n\x1a\n', 'latin1'), Buffer.alloc(200)]))).toMatch(/7\.3 \(HDF5\)/);
  // An element of 16 MB where the class should be, which was made numbers of 128 MB first.
  const huge = Buffer.alloc(16 + 2 ** 24);
  huge.writeUInt32LE(14, 0);
  huge.writeUInt32LE(8 + 2 ** 24, 4);
  huge.writeUInt32LE(1, 8);
  huge.writeUInt32LE(2 ** 24, 12);
  expect(refused(Buffer.concat([head, huge]))).toMatch(/has no class/);
  expect(refused(Buffer.from('<html></html>'))).toMatch(/does not begin/);
});
