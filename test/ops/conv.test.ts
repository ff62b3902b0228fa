// conv, convGradInput, convGradWeight.

import { describe, expect, test } from 'vitest';
import { costOf } from '../../runtime/ir/define-op.ts';
import { convGeometry } from '../../runtime/ops/conv.ts';
import { ops } from '../../runtime/ops/index.ts';
import { expectClose } from '../support/close.ts';
import { checkGradient } from '../support/gradient-check.ts';
import { attrsOf, EPILOGUES } from '../support/op-case.ts';
import { referenceData, runReference } from '../support/reference.ts';
import { expectRefused } from '../support/refuse.ts';
import { fixed, integers, samples, uniform } from '../support/tensors.ts';
import { testNode } from '../support/test-node.ts';
import { unfusedEpilogue } from '../support/unfused.ts';
import { CONVOLUTIONS } from './conv.cases.ts';

const VALID = { stride: 1, padding: 'valid' } as const;

describe('geometry', () => {
  test.each([
    // The stems: 2×2 stride 2 valid.
    [[32, 32, 3], [2, 2, 3, 256], 2, 'valid', { oh: 16, ow: 16, padTop: 0, padLeft: 0 }],
    [[5, 7, 3], [2, 2, 3, 4], 2, 'valid', { oh: 2, ow: 3, padTop: 0, padLeft: 0 }],
    // 3×3 same: 1 on every side.
    [[32, 32, 3], [3, 3, 3, 64], 1, 'same', { oh: 32, ow: 32, padTop: 1, padLeft: 1 }],
    // An odd total of padding: the extra row at the bottom.
    [[8, 8, 1], [4, 2, 1, 1], 1, 'same', { oh: 8, ow: 8, padTop: 1, padLeft: 0 }],
    [[6, 7, 1], [3, 3, 1, 1], 2, 'same', { oh: 3, ow: 4, padTop: 0, padLeft: 1 }],
    // Stride above kernel: nothing to pad.
    [[7, 7, 1], [1, 1, 1, 1], 3, 'same', { oh: 3, ow: 3, padTop: 0, padLeft: 0 }],
    // Dense.
    [[10], [10, 4], 1, 'valid', { h: 1, w: 1, kh: 1, kw: 1, ci: 10, co: 4, oh: 1, ow: 1 }],
  ] as const)('of x [%s] and w [%s], stride %d, %s', (xShape, wShape, stride, padding, expected) => {
    expect(convGeometry(xShape, wShape, { stride, padding })).toMatchObject(expected);
  });
});

describe('by hand', () => {
  const image = samples(1, [3, 3, 1], [1, 2, 3, 4, 5, 6, 7, 8, 9]);

  test('valid: a cross-correlation, the kernel is not flipped', () => {
    const w = fixed([2, 2, 1, 1], [1, 10, 100, 1000]);
    expect([...referenceData('conv', [image, w], VALID)]).toEqual([5421, 6532, 8754, 9865]);
  });

  test('same with an even kernel: zeros below and to the right', () => {
    const w = fixed([2, 2, 1, 1], [1, 10, 100, 1000]);
    expect([...referenceData('conv', [image, w], { stride: 1, padding: 'same' })]).toEqual([5421, 6532, 603, 8754, 9865, 906, 87, 98, 9]);
  });

  test('stride 2 leaves out the last odd row and column', () => {
    const w = fixed([2, 2, 1, 1], [1, 10, 100, 1000]);
    expect([...referenceData('conv', [image, w], { stride: 2, padding: 'valid' })]).toEqual([5421]);
  });

  test('channels: y[o] = Σ x[i]·w[i, o]', () => {
    const x = samples(2, [2], [1, 2, 3, 4]);
    const w = fixed([2, 3], [1, 2, 3, 10, 20, 30]);
    expect([...referenceData('conv', [x, w], VALID)]).toEqual([21, 42, 63, 43, 86, 129]);
  });

  test('bytes are multiplied by the f32 scale', () => {
    const x = samples(1, [2], [255, 51], 'u8');
    const scale = Math.fround(1 / 255);
    const [y] = referenceData('conv', [x, fixed([2, 1], [1, 1])], { ...VALID, inputScale: 1 / 255 });
    expect(y).toBe(255 * scale + 51 * scale);
    expect(y).not.toBe(1.2);
  });
});

test('a dense layer is a 1×1 convolution of a 1×1 image', () => {
  const values = uniform(1);
  const dense = referenceData('conv', [samples(3, [7], values), fixed([7, 5], uniform(2))], VALID);
  expect(referenceData('conv', [samples(3, [1, 1, 7], values), fixed([1, 1, 7, 5], uniform(2))], VALID)).toEqual(dense);
  expect(referenceData('conv', [samples(3, [1, 1, 7], values), fixed([7, 5], uniform(2))], VALID)).toEqual(dense);
});

test.each(
  CONVOLUTIONS.filter(({ inputScale, wShape }) => inputScale === undefined && wShape.reduce((a, b) => a * b) < 1000),
)('gradients of %o', ({ rows, xShape, wShape, stride = 1, padding = 'valid', dilation = 1, groups = 1 }) => {
  const inputs = [samples(rows, xShape, uniform(1)), fixed(wShape, uniform(2))];
  expect(checkGradient('conv', inputs, { stride, padding, dilation, groups })).toEqual(['convGradInput', 'convGradWeight']);
});

test('groups are convolutions of parts of the channels beside each other', () => {
  const x = samples(2, [5, 4, 4], uniform(1));
  const w = fixed([3, 3, 2, 6], uniform(2));
  const y = referenceData('conv', [x, w], { ...VALID, groups: 2 });
  for (const k of [0, 1]) {
    const xOne = samples(2, [5, 4, 2], (i) => x.data[Math.floor(i / 2) * 4 + 2 * k + (i % 2)]);
    const wOne = fixed([3, 3, 2, 3], (i) => w.data[Math.floor(i / 3) * 6 + 3 * k + (i % 3)]);
    const one = referenceData('conv', [xOne, wOne], VALID);
    expectClose(
      one.map((_, i) => y[Math.floor(i / 3) * 6 + 3 * k + (i % 3)]),
      one,
      { absolute: 1e-14 },
      `group ${k}`,
    );
  }
});

test('dilation: as a kernel with zeros between its taps', () => {
  const x = samples(2, [7, 6, 3], uniform(1));
  const w = fixed([2, 3, 3, 4], uniform(2));
  const spread = fixed([3, 5, 3, 4], (i) => {
    const [row, column] = [Math.floor(i / 60), Math.floor(i / 12) % 5];
    return row % 2 || column % 2 ? 0 : w.data[((row / 2) * 3 + column / 2) * 12 + (i % 12)];
  });
  for (const padding of ['same', 'valid'])
    expect(referenceData('conv', [x, w], { stride: 1, padding, dilation: 2 })).toEqual(
      referenceData('conv', [x, spread], { stride: 1, padding }),
    );
});

test('gradients that nobody wants add no nodes', () => {
  const inputs = [samples(2, [3], uniform(1)), fixed([3, 4], uniform(2))];
  expect(checkGradient('conv', inputs, VALID, { wanted: [1] })).toEqual(['convGradWeight']);
  expect(checkGradient('conv', inputs, VALID, { wanted: [0] })).toEqual(['convGradInput']);
});

test('convGradWeight of bytes is that of the rescaled image', () => {
  const x = samples(2, [4, 4, 3], integers(1, 256), 'u8');
  const dy = samples(2, [2, 2, 5], uniform(2));
  const attrs = { stride: 2, padding: 'valid', weightShape: [2, 2, 3, 5] };
  const [rescaled] = runReference('rescale', [x], { scale: 1 / 255 });
  expect(referenceData('convGradWeight', [x, dy], { ...attrs, inputScale: 1 / 255 })).toEqual(
    referenceData('convGradWeight', [rescaled, dy], attrs),
  );
});

test('a fused conv cannot be differentiated', () => {
  const inputs = [samples(1, [3], uniform(1)), fixed([3, 4], uniform(2))];
  expect(() => checkGradient('conv', inputs, { ...VALID, epilogue: { activation: 'relu' } })).toThrow(/fusion comes after autodiff|fused/);
});

describe('epilogue', () => {
  const size = { xShape: [3, 5, 4], wShape: [2, 2, 4, 6], rows: 5 };
  const x = samples(size.rows, size.xShape, uniform(1));
  const w = fixed(size.wShape, uniform(2));
  const b = fixed([6], uniform(3));

  test.each(EPILOGUES)('%o equals the unfused ops', (epilogue) => {
    const attrs = { stride: 1, padding: 'same' };
    const fused = runReference('conv', epilogue.bias ? [x, w, b] : [x, w], { ...attrs, epilogue: attrsOf(epilogue) });
    const [plain] = runReference('conv', [x, w], attrs);
    const unfused = unfusedEpilogue(plain, b, epilogue);
    expect(fused.length).toBe(unfused.length);
    fused.forEach((output, i) => {
      expect(output.spec).toEqual(unfused[i].spec);
      expectClose(output.data, unfused[i].data, { absolute: 1e-12 }, `output ${i}`);
    });
  });
});

test('FLOPs are those of the tables: 2 a multiply-add, taps on the padding counted', () => {
  const flops = (xShape: number[], wShape: number[], stride: number, padding: string, rows = 1): number => {
    const { node, specs } = testNode('conv', [samples(1, xShape, uniform(1)), fixed(wShape, uniform(1))], { stride, padding });
    return costOf(ops.conv, node, (id) => specs[id], rows).flops;
  };
  expect(flops([32, 32, 3], [2, 2, 3, 256], 2, 'valid')).toBe(1_572_864);
  expect(flops([16, 16, 256], [1, 1, 256, 256], 1, 'valid')).toBe(33_554_432);
  expect(flops([32, 32, 64], [3, 3, 64, 64], 1, 'same')).toBe(75_497_472);
  expect(flops([4096], [4096, 256], 1, 'valid')).toBe(2_097_152);
  expect(flops([256], [256, 10], 1, 'valid', 3)).toBe(3 * 5_120);
});

describe('refuses', () => {
  const x = samples(2, [4, 4, 3], uniform(1));
  const w = fixed([2, 2, 3, 5], uniform(2));

  test('channels that differ', () => expectRefused('conv', [x, fixed([2, 2, 4, 5], uniform(2))], VALID, '[4,4,3]', '[2,2,4,5]'));
  test('groups that do not divide', () => {
    expectRefused('conv', [x, w], { ...VALID, groups: 3 }, '[4,4,3]', '3 groups');
    expectRefused('conv', [x, fixed([2, 2, 1, 5], uniform(2))], { ...VALID, groups: 3 }, '5 outputs, which 3 groups do not divide');
  });
  test('a kernel larger than a valid image', () =>
    expectRefused('conv', [x, fixed([5, 2, 3, 5], uniform(2))], VALID, 'no room for a window'));
  test('a fraction of a stride', () => expectRefused('conv', [x, w], { stride: 1.5, padding: 'valid' }, 'attribute stride', 'not 1.5'));
  test('an unknown padding', () => expectRefused('conv', [x, w], { stride: 1, padding: 'full' }, 'attribute padding', 'not full'));
  test('bytes without a scale', () => expectRefused('conv', [samples(2, [4, 4, 3], integers(1, 9), 'u8'), w], VALID, 'conv got', 'u8'));
  test('a scale without bytes', () => expectRefused('conv', [x, w], { ...VALID, inputScale: 2 }, 'x u8'));
  test('a missing kernel', () => expectRefused('conv', [x], VALID, 'conv lacks its operand w'));
  test('an attribute that it does not know, with the nearest that it has', () =>
    expectRefused('conv', [x, w], { ...VALID, strides: 2 }, 'conv has no attribute strides; did you mean stride?'));
  test('an operand that it does not know', () => expectRefused('conv', { x, w, b: w }, VALID, 'conv has no operand b'));
  test('a bias of another length', () => expectRefused('conv', [x, w, fixed([4], uniform(3))], VALID, 'f32 [4]', 'a bias [5]'));
  test('a derivative without gelu', () =>
    expectRefused('conv', [x, w], { ...VALID, epilogue: { activation: 'relu', derivative: true } }, 'whose slope y does not tell'));
  test('a dy of another size', () => {
    const dy = samples(2, [4, 4, 5], uniform(3));
    expectRefused('convGradInput', [dy, w], { ...VALID, inputShape: [4, 4, 3] }, 'convGradInput got', '[4,4,3]');
    expectRefused('convGradWeight', [x, dy], { ...VALID, weightShape: [2, 2, 3, 5] }, 'convGradWeight got', '[2,2,3,5]');
  });
});
