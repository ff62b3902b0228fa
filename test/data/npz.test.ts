import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openNpz } from '../../app/sources/npz.ts';
import { nodeFiles } from '../../runtime/base/files.ts';
import { toHalf } from '../../runtime/formats/half.ts';
import { type NpyArray, writeNpz } from '../../runtime/formats/npz.ts';
import { writeZip } from '../../runtime/formats/zip.ts';
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
    ['no training images', { z: bytes(3) }, /has no training images and labels under a usual name, but "z"/],
    ['no labels', { x: bytes(3, 4, 4) }, /no training images and labels under a usual name, but "x"/],
    ['two axes', { x: bytes(3, 4), y: labels(0, 1, 0) }, /x of shape \(3, 4\)/],
    ['no images', { x: bytes(0, 4, 4), y: labels() }, /x of shape \(0, 4, 4\)/],
    ['too few labels', { x: bytes(3, 4, 4), y: labels(0, 1) }, /y of shape \(2\) for 3 images/],
    ['rows that are not one-hot', { x: bytes(2, 4, 4), y: bytes(2, 10) }, /has 7 in row 0 of y/],
    ['many channels', { x: bytes(2, 8, 8, 5), y: labels(0, 1) }, /5 channels; images have 1 to 4/],
    ['one class', { x: bytes(2, 4, 4), y: labels(0, 0) }, /one class only/],
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

describe('arrays under the names and in the forms that people have', () => {
  const texts = (...values: string[]): Uint8Array => {
    const width = Math.max(...values.map((value) => value.length));
    const data = new Uint32Array(values.length * width);
    for (const [i, value] of values.entries()) for (let k = 0; k < value.length; k++) data[i * width + k] = value.charCodeAt(k);
    return npy(`<U${width}`, [values.length], new Uint8Array(data.buffer));
  };
  const file = (members: Readonly<Record<string, Uint8Array>>): string => {
    const path = join(tempFolder(), 'set.npz');
    writeFileSync(path, writeZip(new Map(Object.entries(members).map(([name, data]) => [`${name}.npy`, data]))));
    return path;
  };
  const notices: string[] = [];
  const open = (path: string, more: object = {}) => {
    notices.length = 0;
    return openNpz({ files: nodeFiles, path, memoryBudget: 1e9, onNotice: (_, text) => notices.push(text), ...more });
  };
  const images = npy(
    '|u1',
    [2, 2, 2, 3],
    Uint8Array.from({ length: 24 }, (_, i) => i),
  );
  const two = npy('|u1', [2], Uint8Array.of(0, 1));

  test.each([
    ['x_train', 'y_train'],
    ['X_train', 'Y_train'],
    ['train_images', 'train_labels'],
    ['images', 'labels'],
    ['data', 'target'],
    ['X', 'y'],
    ['arr_0', 'arr_1'],
    ['x_tr', 'y_tr'],
  ])('%s and %s', async (x, y) => {
    const { train } = await open(file({ [x]: images, [y]: two }));
    expect([train.size, ...train.labels]).toEqual([2, 0, 1]);
  });

  test('arrays that are not wanted may be anything: objects, damaged', async () => {
    const { train } = await open(
      file({ x_train: images, y_train: two, meta: npy('|O', [1], Uint8Array.of(1, 2, 3)), other: Uint8Array.of(9) }),
    );
    expect(train.size).toBe(2);
  });

  test('names of classes, also of those that have no image', async () => {
    const { train } = await open(file({ x: images, y: two, class_names: texts('cat', 'dog', 'frog') }));
    expect(train.classes).toEqual(['cat', 'dog', 'frog']);
  });

  test('text as labels', async () => {
    const { train } = await open(file({ x: images, y: texts('dog', 'cat') }));
    expect([train.classes, ...train.labels]).toEqual([['cat', 'dog'], 1, 0]);
  });

  test('one-hot rows; two ones in a row are refused', async () => {
    const { train } = await open(file({ x: images, y: npy('<f4', [2, 3], new Uint8Array(Float32Array.of(0, 0, 1, 0, 1, 0).buffer)) }));
    expect([...train.labels]).toEqual([1, 0]);
    const error = await hybridError('E_DATA', open(file({ x: images, y: npy('|u1', [2, 2], Uint8Array.of(1, 1, 0, 1)) })));
    expect(error.message).toContain('more than one class for image 0 in y');
  });

  test('labels from 1, with gaps or below 0 are numbered in their order, and that is told', async () => {
    for (const [values, wanted] of [
      [[1, 2], 'class 1,class 2'],
      [[5, 9], 'class 5,class 9'],
      [[-1, 1], 'class -1,class 1'],
    ] as const) {
      const { train } = await open(file({ x: images, y: npy('<i4', [2], new Uint8Array(Int32Array.from(values).buffer)) }));
      expect([train.classes.join(), ...train.labels]).toEqual([wanted, 0, 1]);
      expect(notices.join()).toContain(`(${values.join(', ')}) are not 0 to 1; they are numbered in their order`);
    }
  });

  test('channels first are put last, and that is told', async () => {
    const planar = npy(
      '|u1',
      [2, 3, 5, 5],
      Uint8Array.from({ length: 150 }, (_, i) => i),
    );
    const { train } = await open(file({ x: planar, y: two }));
    const out = new Uint8Array(75);
    train.read([1], out);
    expect([train.shape, ...out.subarray(0, 6)]).toEqual([[5, 5, 3], 75, 100, 125, 76, 101, 126]);
    expect(notices.join()).toContain('has its channels first');
  });

  test('booleans are 0 and 255, halves are bytes divided by 255, big-endian and column-major arrays are turned', async () => {
    const read = async (array: Uint8Array): Promise<number[]> => {
      const { train } = await open(file({ x: array, y: two }));
      const out = new Uint8Array(8);
      train.read([0, 1], out);
      return [...out];
    };
    expect(await read(npy('|b1', [2, 2, 2, 1], Uint8Array.of(1, 0, 0, 1, 1, 1, 0, 0)))).toEqual([255, 0, 0, 255, 255, 255, 0, 0]);
    const halves = toHalf(Float32Array.from([0, 1, 2, 100, 127, 200, 254, 255], (value) => value / 255));
    expect(await read(npy('<f2', [2, 2, 2, 1], new Uint8Array(halves.buffer)))).toEqual([0, 1, 2, 100, 127, 200, 254, 255]);
    const big = Buffer.from(Uint16Array.of(1, 2, 3, 4, 5, 6, 7, 8).buffer).swap16();
    expect(await read(npy('>u2', [2, 2, 2, 1], new Uint8Array(big)))).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(await read(npy('|u1', [2, 2, 2, 1], Uint8Array.of(1, 5, 3, 7, 2, 6, 4, 8), true))).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test('arrays under other names are named by the caller', async () => {
    const path = file({ pictures: images, kinds: two });
    const error = await hybridError('E_DATA', open(path));
    expect(error.message).toMatch(/no training images and labels under a usual name, but "pictures", "kinds"/);
    expect((await open(path, { images: 'pictures', labels: 'kinds' })).train.size).toBe(2);
    expect((await hybridError('E_DATA', open(path, { images: 'picture', labels: 'kinds' }))).remedy).toBe('Did you mean pictures?');
    expect((await hybridError('E_DATA', open(path, { images: 'pictures' }))).message).toContain('needs the names of both arrays');
  });

  test('texts whose size lies are refused', async () => {
    const error = await hybridError('E_DATA', open(file({ x: images, y: npy('<U9', [2], Uint8Array.of(1, 2, 3, 4)) })));
    expect(error.message).toContain('need 72 bytes, but it has 4');
  });
});

/** A .npy file by its header. */
function npy(descr: string, shape: readonly number[], data: Uint8Array, fortran = false): Uint8Array {
  const header = `{'descr': '${descr}', 'fortran_order': ${fortran ? 'True' : 'False'}, 'shape': (${shape.join(', ')},), }\n`;
  const head = Buffer.from(`\x93NUMPY\x01\x00\0\0${header}`, 'latin1');
  head.writeUInt16LE(header.length, 8);
  return Buffer.concat([head, data]);
}
