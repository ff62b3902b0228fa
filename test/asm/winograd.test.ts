// Winograd's convolutions against the reference: images that end in the middle of tiles, every path through blocks, tasks and
// chunks, errors beside those of the plain sum of products, and bits that do not depend on how the work is cut.

import { describe, expect, test } from 'vitest';
import { conv } from '../../asm/lowering/conv.ts';
import type { Lowering } from '../../asm/lowering/lowering.ts';
import { suitsWinograd } from '../../asm/lowering/winograd.ts';
import { convGeometry } from '../../runtime/ops/conv.ts';
import { expectClose } from '../support/close.ts';
import { KernelMachine, type KernelRun } from '../support/kernels.ts';
import { attrsOf, EPILOGUES } from '../support/op-case.ts';
import { runReference } from '../support/reference.ts';
import { fixed, samples, uniform } from '../support/tensors.ts';
import { tensorsOf } from '../support/test-node.ts';

type ConvOp = keyof typeof conv;
const OPS = Object.keys(conv) as ConvOp[];

interface Size {
  readonly rows: number;
  readonly x: readonly [h: number, w: number, ci: number];
  readonly co: number;
}

const SIZES: readonly Size[] = [
  { rows: 1, x: [4, 4, 16], co: 16 }, // a single tile
  { rows: 3, x: [3, 3, 17], co: 18 }, // a tile that reaches beyond the image everywhere; channels that fill no vector
  { rows: 2, x: [5, 5, 16], co: 31 },
  { rows: 2, x: [9, 8, 3], co: 40 }, // few channels on one side
  { rows: 2, x: [8, 11, 33], co: 2 },
  { rows: 5, x: [7, 10, 27], co: 19 }, // a last column of tiles that is half empty
  { rows: 2, x: [18, 6, 50], co: 70 }, // several groups of channels, two blocks of columns
  { rows: 7, x: [8, 8, 24], co: 133 }, // two tasks of columns
  { rows: 3, x: [12, 21, 16], co: 16 }, // a block of tiles that ends within a sample
  { rows: 1, x: [6, 5, 290], co: 20 }, // two depth blocks; the gradient's rows in three blocks
  { rows: 1, x: [5, 8, 20], co: 290 },
  { rows: 2, x: [4, 4, 600], co: 17 }, // room for few tiles only
  { rows: 6, x: [32, 32, 16], co: 16 }, // several chunks of a weight gradient
  { rows: 70, x: [4, 4, 18], co: 22 },
];

const attrs = { stride: 1, padding: 'same' };

function operands(op: ConvOp, { rows, x: shape, co }: Size): KernelRun {
  const wShape = [3, 3, shape[2], co];
  const x = samples(rows, shape, uniform(1));
  const w = fixed(wShape, uniform(2));
  const dy = samples(rows, [shape[0], shape[1], co], uniform(3));
  if (op === 'conv') return { op, rows, inputs: [x, w], attrs };
  if (op === 'convGradInput') return { op, rows, inputs: [dy, w], attrs: { ...attrs, inputShape: shape } };
  return { op, rows, inputs: [x, dy], attrs: { ...attrs, weightShape: wShape } };
}

const machines = await Promise.all(
  (['fma', 'plain', 'wide'] as const).map(async (build) => ({ build, machine: await KernelMachine.load(build) })),
);

/** The largest error allowed, relative to the root mean square of the results: it grows with the length of the sums. */
const tolerance = ({ rows, x: [height, width, ci], co }: Size): number => 2e-6 * Math.sqrt(Math.max((rows * height * width) / 16, ci, co));

const rootMeanSquare = (values: ArrayLike<number>, minus?: ArrayLike<number>): number =>
  Math.sqrt(Array.from(values).reduce((sum, value, i) => sum + (value - (minus?.[i] ?? 0)) ** 2, 0) / values.length);

describe.each(machines)('$build', ({ build, machine }) => {
  const run = (node: KernelRun): Float32Array[] => machine.run(node, conv[node.op as ConvOp]);

  for (const op of OPS) {
    test.each(SIZES)(`${op} $rows × $x to $co`, (size) => {
      const node = operands(op, size);
      const calls = machine.prepare(node, conv[op] as Lowering).calls.map(({ kernel }) => kernel);
      expect(calls[0]).toMatch(/^winograd/);
      const [expected] = runReference(op, node.inputs, node.attrs, { rows: size.rows });
      const absolute = tolerance(size) * rootMeanSquare(expected.data);
      expectClose(run(node)[0], expected.data, { absolute });
      expectClose(run({ ...node, capacity: size.rows + 3 })[0], expected.data, { absolute });
    });
  }

  test.each(OPS)('%s with as many zeros on one side as both have: other windows, and none of Winograd’s', (op) => {
    for (const padding of [
      { top: 2, bottom: 0, left: 1, right: 1 },
      { top: 1, bottom: 1, left: 0, right: 2 },
    ]) {
      const size = SIZES[5];
      const node = { ...operands(op, size), attrs: { ...operands(op, size).attrs, padding } };
      const calls = machine.prepare(node, conv[op] as Lowering).calls.map(({ kernel }) => kernel);
      expect(calls[0]).not.toMatch(/^winograd/);
      const [expected] = runReference(op, node.inputs, node.attrs, { rows: size.rows });
      expectClose(run(node)[0], expected.data, { absolute: tolerance(size) * rootMeanSquare(expected.data) });
    }
  });

  test.each(OPS)('%s has errors of the size of those of the plain sum', (op) => {
    const node = operands(op, { rows: 8, x: [8, 8, 64], co: 64 });
    const [{ data }] = runReference(op, node.inputs, node.attrs, { rows: 8 });
    expect(rootMeanSquare(run(node)[0], data) / rootMeanSquare(data)).toBeLessThan(1.2e-6);
  });

  test.each(EPILOGUES)('epilogue %o', (epilogue) => {
    for (const size of [SIZES[5], SIZES[7], { rows: 37, x: [4, 4, 16], co: 21 } as const, SIZES[8]]) {
      const node = operands('conv', size);
      const inputs = epilogue.bias ? [...tensorsOf(node.inputs), fixed([size.co], uniform(4))] : node.inputs;
      const all = { ...node, inputs, attrs: { ...attrs, epilogue: attrsOf(epilogue) } };
      const [convolution] = runReference('conv', node.inputs, attrs, { rows: size.rows });
      const expected = runReference('conv', inputs, all.attrs, { rows: size.rows });
      const error = tolerance(size) * rootMeanSquare(convolution.data);
      const actual = run({ ...all, capacity: size.rows + 1 });
      expected.forEach(({ data, spec }, i) => {
        // Entries of partials beyond the tiles are nobody's; the reference leaves them at zero, the kernels untouched.
        const partials = spec.shape[0] === 2 && i > 0;
        const values = partials ? actual[i].map((value, at) => (data[at] === 0 ? 0 : value)) : actual[i];
        expectClose(values, data, partials ? { absolute: 1e-5 * rootMeanSquare(data), relative: 1e-5 } : { absolute: error });
      });
    }
  });

  test.each(OPS)('%s gives the same bits whatever the capacity', (op) => {
    for (const size of [SIZES[6], SIZES[7], SIZES[13]]) {
      const epilogue = { activation: 'gelu', derivative: true, stats: true };
      const node = operands(op, size);
      const all = op === 'conv' ? { ...node, attrs: { ...attrs, epilogue } } : node;
      const expected = run(all);
      for (const capacity of [size.rows + 1, 90, 200]) expect(run({ ...all, capacity })).toEqual(expected);
    }
  });

  test('a weight gradient whose chunks would not fit is added up by its tasks, to the same bits', async () => {
    const large = await KernelMachine.load(build, 160);
    const node = operands('convGradWeight', { rows: 65, x: [5, 5, 512], co: 512 });
    const calls = (capacity: number) => large.prepare({ ...node, capacity }, conv.convGradWeight).calls.map(({ kernel }) => kernel);
    expect(calls(65)).toEqual(['winogradGradWeight', 'convGradWeightReduce']);
    expect(calls(500)).toEqual(['winogradGradWeight']);
    const [together] = large.run({ ...node, capacity: 500 }, conv.convGradWeight);
    const [apart] = large.run(node, conv.convGradWeight);
    expect(together.every((value, i) => value === apart[i])).toBe(true);
  });
});

test('is chosen by shapes', () => {
  const suits = (x: readonly number[], w: readonly number[], stride = 1, padding: 'same' | 'valid' = 'same') =>
    suitsWinograd(convGeometry(x, w, { stride, padding }));
  expect(suits([32, 32, 64], [3, 3, 64, 64])).toBe(true);
  expect(suits([3, 3, 16], [3, 3, 16, 16])).toBe(true);
  expect(suits([2, 2, 64], [3, 3, 64, 64])).toBe(false);
  expect(suits([32, 32, 3], [3, 3, 3, 64])).toBe(true);
  expect(suits([32, 32, 15], [3, 3, 15, 15])).toBe(false);
  expect(suits([32, 32, 64], [3, 3, 64, 64], 2)).toBe(false);
  expect(suits([32, 32, 64], [3, 3, 64, 64], 1, 'valid')).toBe(false);
  expect(suits([32, 32, 64], [5, 5, 64, 64])).toBe(false);
  expect(suits([8, 8, 4096], [3, 3, 4096, 64])).toBe(false);
});
