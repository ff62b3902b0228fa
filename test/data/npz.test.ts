import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openNpz } from '../../app/sources/npz.ts';
import { nodeFiles } from '../../runtime/base/files.ts';
import { type NpyArray, writeNpz } from '../../runtime/formats/npz.ts';
import { hybridError } from '../support/expect-error.ts';
import { tempFolder } from '../support/temp-folder.ts';

function opened(arrays: Readonly<Record<string, NpyArray>>, memoryBudget = 1e9) {
  const path = join(tempFolder(), 'set.npz');
  writeFileSync(path, writeNpz(new Map(Object.entries(arrays))));
  return openNpz({ files: nodeFiles, path, memoryBudget });
}

const bytes = (...shape: number[]): NpyArray => ({
  shape,
  data: Uint8Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => i * 7),
});
const labels = (...values: number[]): NpyArray => ({ shape: [values.length], data: Uint8Array.from(values) });

describe('openNpz', () => {
  test("Keras' names, with a trailing axis of one in the labels, as Keras has it", async () => {
    const { train, validation, test } = await opened({
      x_train: bytes(4, 5, 6, 3),
      y_train: { shape: [4, 1], data: BigInt64Array.of(0n, 2n, 1n, 2n) },
      x_test: bytes(1, 5, 6, 3),
      y_test: labels(3),
    });
    expect([train.shape, train.size, [...train.labels], test?.size, validation]).toEqual([[5, 6, 3], 4, [0, 2, 1, 2], 1, null]);
    expect(train.classes).toEqual(['class 0', 'class 1', 'class 2', 'class 3']);
    const out = new Uint8Array(2 * 90);
    train.read([3, 1], out);
    expect([out[0], out[90], out[91]]).toEqual([(3 * 90 * 7) & 255, (90 * 7) & 255, (91 * 7) & 255]);
  });

  test('x and y, images without a channel axis', async () => {
    const { train, test } = await opened({ x: bytes(3, 8, 9), y: labels(0, 1, 0) });
    expect([train.shape, train.size, test]).toEqual([[8, 9, 1], 3, null]);
  });

  test('whole numbers of other types, and floats in 0 … 1', async () => {
    const expected = Uint8Array.from({ length: 2 * 3 * 3 }, (_, i) => 255 - 13 * i);
    for (const data of [
      Float32Array.from(expected),
      Float32Array.from(expected, (v) => v / 255),
      Float64Array.from(expected, (v) => v / 255),
      Int32Array.from(expected),
    ]) {
      const { train } = await opened({ x: { shape: [2, 3, 3], data }, y: labels(0, 1) });
      const out = new Uint8Array(18);
      train.read([0, 1], out);
      expect(out).toEqual(expected);
    }
  });

  test('beyond the memory budget images are read from the file where they lie', async () => {
    const arrays = { x_train: bytes(4, 5, 6, 3), y_train: labels(0, 1, 1, 0), x_test: bytes(2, 5, 6, 3), y_test: labels(0, 0) };
    const held = await opened(arrays);
    const onDisk = await opened(arrays, 100);
    expect([held.train.images?.kind, onDisk.train.images?.kind]).toEqual(['shared', 'module']);
    for (const part of ['train', 'test'] as const) {
      const [a, b] = [new Uint8Array(180), new Uint8Array(180)];
      held[part]?.read([1, 0], a);
      onDisk[part]?.read([1, 0], b);
      expect(b).toEqual(a);
    }
  });

  test.each([
    ['no training images', { z: bytes(3) }, /has no training images: neither x_train nor x, but "z"/],
    ['no labels', { x: bytes(3, 4, 4) }, /has x but no y/],
    ['two axes', { x: bytes(3, 4), y: labels(0, 1, 0) }, /x of shape \(3, 4\)/],
    ['no images', { x: bytes(0, 4, 4), y: labels() }, /x of shape \(0, 4, 4\)/],
    ['too few labels', { x: bytes(3, 4, 4), y: labels(0, 1) }, /y of shape \(2\) for 3 images/],
    ['one-hot labels', { x: bytes(2, 4, 4), y: bytes(2, 10) }, /y of shape \(2, 10\) for 2 images/],
    ['channels first', { x: bytes(2, 3, 32, 32), y: labels(0, 1) }, /channels come last/],
    ['one class', { x: bytes(2, 4, 4), y: labels(0, 0) }, /one class only/],
    ['a negative label', { x: bytes(2, 4, 4), y: { shape: [2], data: Int8Array.of(0, -1) } }, /label -1 at y\[1\]/],
    ['a broken label', { x: bytes(2, 4, 4), y: { shape: [2], data: Float32Array.of(0, 0.5) } }, /label 0.5 at y\[1\]/],
    ['a vast label', { x: bytes(2, 4, 4), y: { shape: [2], data: BigInt64Array.of(0n, 2n ** 62n) } }, /label 4611686018427387904/],
    ['normalised images', { x: { shape: [1, 1, 2], data: Float32Array.of(-1.5, 0.3) }, y: labels(0) }, /has -1.5 in x/],
    ['not a number', { x: { shape: [1, 1, 2], data: Float32Array.of(Number.NaN, 3) }, y: labels(0) }, /has NaN in x/],
    [
      'other sizes',
      { x_train: bytes(2, 4, 4), y_train: labels(0, 1), x_test: bytes(1, 4, 5), y_test: labels(0) },
      /4 × 4 × 1 in x_train, but of 4 × 5 × 1/,
    ],
  ] as [string, Record<string, NpyArray>, RegExp][])('%s is said', async (_, arrays, message) => {
    expect((await hybridError('E_DATA', opened(arrays))).message).toMatch(message);
  });

  test('a missing, cut or foreign file', async () => {
    const path = join(tempFolder(), 'x.npz');
    const open = () => openNpz({ files: nodeFiles, path, memoryBudget: 1e9 });
    expect((await hybridError('E_DATA', open())).message).toContain('ENOENT');
    const whole = writeNpz(new Map([['x', bytes(3, 4, 4)]]));
    writeFileSync(path, whole.subarray(0, 100));
    await hybridError('E_DATA', open());
    writeFileSync(path, 'text');
    await hybridError('E_DATA', open());
  });
});
