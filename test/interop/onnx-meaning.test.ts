// What nodes mean where another reading would give other numbers without a word: small graphs written by hand, and what the specification says.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import type { Device } from '../../runtime/device.ts';
import { readOnnx } from '../../runtime/formats/onnx-file.ts';
import { fromOnnx } from '../../runtime/interop/onnx-import.ts';
import { logitsOf } from '../support/logits.ts';
import { type HandNode, head, node, onnx, tensor } from '../support/onnx.ts';

let device: Device;
beforeAll(async () => {
  device = await openWasmDevice({ v8Flags: true });
});
afterAll(() => device.close());

/** Two classes of the mean of one channel, once and twice: of images of 2×2 pixels. */
function read(nodes: readonly HandNode[], last: string, constants: readonly Uint8Array[] = [], std = 1 / 255) {
  const end = head(last, 1);
  const bytes = onnx({
    nodes: [...nodes.map(node), ...end.nodes],
    constants: [...constants, tensor('kernel', [1, 2], [1, 2])],
    input: ['n', 1, 2, 2],
  });
  return fromOnnx(readOnnx(bytes), 'x.onnx', { mean: [0], std: [std] });
}

describe('arithmetic of constants', () => {
  it('makes true of every number but 0', async () => {
    const trained = read(
      [
        { op: 'Cast', inputs: ['half'], attributes: { to: 9 } },
        { op: 'Where', inputs: ['cast', 'two', 'three'] },
        { op: 'Mul', inputs: ['x', 'where'] },
      ],
      'mul',
      [tensor('half', [1], [0.5]), tensor('two', [1], [2]), tensor('three', [1], [3])],
    );
    const [once, twice] = await logitsOf(device, trained, Uint8Array.of(4, 4, 4, 8));
    expect(once).toBeCloseTo(10, 4);
    expect(twice).toBeCloseTo(20, 4);
  });

  it('keeps the type of what is raised to a power', async () => {
    const trained = read(
      [
        { op: 'Pow', inputs: ['base', 'power'] },
        { op: 'Cast', inputs: ['pow'], attributes: { to: 7 } },
        { op: 'Cast', name: 'back', inputs: ['cast'], attributes: { to: 1 } },
        { op: 'Mul', inputs: ['x', 'back'] },
      ],
      'mul',
      [tensor('base', [1], [2.5]), tensor('power', [1], [2n])],
    );
    expect((await logitsOf(device, trained, Uint8Array.of(1, 1, 1, 1)))[0]).toBeCloseTo(6, 4);
  });
});

describe('Clip', () => {
  it.each([
    ['the limits of half floats', -65504, 65504, [0, 1, 2, 7], 1e-3 / 255],
    ['one limit below', -1e6, undefined, [0, 1, 2, 7], 1e-3 / 255],
    ['one limit above', undefined, 1e6, [0, 1, 2, 7], 1e-3 / 255],
    ['limits that cut', -1, 2, [0, 2, 3, 6], 1 / 255],
  ])('keeps the digits of small numbers: %s', async (_, least, most, pixels, unit) => {
    // Pixels times `unit`·255, less a number that makes some of them negative.
    const step = unit * 255;
    const trained = read(
      [
        { op: 'Sub', inputs: ['x', 'middle'] },
        { op: 'Relu', name: 'above', inputs: ['sub'] },
        { op: 'Neg', inputs: ['sub'] },
        { op: 'Relu', name: 'below', inputs: ['neg'] },
        { op: 'Sub', name: 'whole', inputs: ['above', 'below'] },
        { op: 'Clip', inputs: ['whole', least === undefined ? '' : 'least', ...(most === undefined ? [] : ['most'])] },
      ],
      'clip',
      [
        tensor('middle', [1], [1.5 * step]),
        ...(least === undefined ? [] : [tensor('least', [], [least])]),
        ...(most === undefined ? [] : [tensor('most', [], [most])]),
      ],
      1 / (255 * step),
    );
    const clipped = pixels.map((pixel) => Math.min(Math.max((pixel - 1.5) * step, least ?? -Infinity), most ?? Infinity));
    const expected = clipped.reduce((sum, n) => sum + n, 0) / 4;
    const [once] = await logitsOf(device, trained, Uint8Array.from(pixels));
    expect(Math.abs(once - expected)).toBeLessThan(1e-5 * step);
  });
});

it('Resize to sizes of another shape is refused where the shape of the image is to stay', () => {
  const resized = (policy: string) =>
    read([{ op: 'Resize', inputs: ['x', '', '', 'sizes'], attributes: { keep_aspect_ratio_policy: policy, mode: 'nearest' } }], 'resize', [
      tensor('sizes', [4], [1n, 1n, 4n, 2n]),
    ]);
  expect(() => resized('not_larger')).toThrow(/keep_aspect_ratio_policy not_larger/);
  expect(resized('stretch').model.layers.some(({ type }) => type === 'UpSampling2D')).toBe(true);
});
