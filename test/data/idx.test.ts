import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { openData } from '../../app/sources/source.ts';
import { hybridError } from '../support/expect-error.ts';
import { tempFolder } from '../support/temp-folder.ts';

function idx(shape: readonly number[], data: ArrayLike<number>, type = 8): Buffer {
  const head = Buffer.alloc(4 + 4 * shape.length);
  head.set([0, 0, type, shape.length]);
  for (const [i, n] of shape.entries()) head.writeUInt32BE(n, 4 + 4 * i);
  return Buffer.concat([head, Buffer.from(data)]);
}

const IMAGES = idx(
  [3, 2, 4],
  Uint8Array.from({ length: 24 }, (_, i) => i),
);
const LABELS = idx([3], [0, 2, 1]);
const TEST_IMAGES = idx([1, 2, 4], new Uint8Array(8).fill(7));
const TEST_LABELS = idx([1], [1]);

function folderWith(files: Readonly<Record<string, Uint8Array>>, inside = ''): string {
  const folder = tempFolder();
  mkdirSync(join(folder, inside), { recursive: true });
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, inside, name), bytes);
  return folder;
}

describe("MNIST's files", () => {
  it.each([
    ['as they are fetched', { gz: true, separator: '-', inside: '' }],
    ['unpacked', { gz: false, separator: '-', inside: '' }],
    ['unpacked by a program that writes a dot', { gz: false, separator: '.', inside: '' }],
    ["in torchvision's folder", { gz: false, separator: '-', inside: 'MNIST/raw' }],
  ])('are read %s', async (_, { gz, separator, inside }) => {
    const name = (text: string): string => text.replace('-idx', `${separator}idx`) + (gz ? '.gz' : '');
    const pack = (bytes: Uint8Array): Uint8Array => (gz ? gzipSync(bytes) : bytes);
    const folder = folderWith(
      {
        [name('train-images-idx3-ubyte')]: pack(IMAGES),
        [name('train-labels-idx1-ubyte')]: pack(LABELS),
        [name('t10k-images-idx3-ubyte')]: pack(TEST_IMAGES),
        [name('t10k-labels-idx1-ubyte')]: pack(TEST_LABELS),
      },
      inside,
    );
    const { train, test } = await openData(folder);
    expect([train.size, train.shape, train.classes, [...train.labels]]).toEqual([3, [2, 4, 1], ['0', '1', '2'], [0, 2, 1]]);
    const out = new Uint8Array(8);
    train.read([1], out);
    expect([...out]).toEqual([8, 9, 10, 11, 12, 13, 14, 15]);
    expect([test?.size, ...(test?.labels ?? [])]).toEqual([1, 1]);
  });

  it.each([
    ['labels that are missing', { 'train-labels-idx1-ubyte': undefined }, /has no labels beside it/],
    ['fewer labels than images', { 'train-labels-idx1-ubyte': idx([2], [0, 1]) }, /has 3 images, but .* has 2 labels/],
    ['a size that lies', { 'train-images-idx3-ubyte': idx([2 ** 31, 2, 4], [1]) }, /claims 2147483648/],
    ['floats', { 'train-images-idx3-ubyte': idx([3, 2, 4], new Uint8Array(24), 0x0d) }, /type 0xd/],
    ['labels for images', { 'train-images-idx3-ubyte': idx([8, 3], new Uint8Array(24)) }, /2 axes instead of 3/],
    ['another file', { 'train-images-idx3-ubyte': Buffer.from('<html>') }, /does not begin/],
    ['one class', { 'train-labels-idx1-ubyte': idx([3], [0, 0, 0]) }, /one class only/],
    [
      'test images of another size',
      { 't10k-images-idx3-ubyte': idx([1, 2, 2], [1, 2, 3, 4]), 't10k-labels-idx1-ubyte': TEST_LABELS },
      /test images of 2/,
    ],
    ['a damaged compressed file', { 'train-images-idx3-ubyte': gzipSync(IMAGES).subarray(0, 30) }, /cannot be unpacked/],
    ['no images', { 'train-images-idx3-ubyte': idx([0, 2, 4], []), 'train-labels-idx1-ubyte': idx([0], []) }, /0 images/],
  ])('%s: refused', async (_, changed, message) => {
    const files = { 'train-images-idx3-ubyte': IMAGES, 'train-labels-idx1-ubyte': LABELS, ...changed };
    const there = Object.fromEntries(Object.entries(files).filter((entry): entry is [string, Buffer] => entry[1] !== undefined));
    expect((await hybridError('E_DATA', openData(folderWith(there)))).message).toMatch(message);
  });
});
