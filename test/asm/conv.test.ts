// The kernels of convolutions against the reference: awkward sizes, every path through blocks and chunks, and bits that do
// not depend on how the work is cut.

import { describe, expect, test } from 'vitest';
import { conv } from '../../asm/lowering/conv.ts';
import { opCases } from '../support/cases.ts';
import { expectClose } from '../support/close.ts';
import { KernelMachine, type KernelRun } from '../support/kernels.ts';
import type { OpCase } from '../support/op-case.ts';
import { runReference } from '../support/reference.ts';
import { fixed, integers, samples, type TestTensor, uniform } from '../support/tensors.ts';
import { tensorsOf } from '../support/test-node.ts';

type ConvOp = keyof typeof conv;
const OPS = Object.keys(conv) as ConvOp[];

interface Size {
  readonly rows: number;
  readonly x: readonly number[];
  readonly w: readonly number[];
  readonly stride?: number | readonly [number, number];
  readonly dilation?: number;
  readonly groups?: number;
  readonly padding?: 'valid' | 'same';
}

/** Sizes beyond those of all devices: they end in the middle of every kind of block. */
const SIZES: readonly Size[] = [
  { rows: 3, x: [16, 16, 20], w: [1, 1, 20, 33] }, // three tasks of several row blocks
  { rows: 131, x: [1, 1, 300], w: [1, 1, 300, 70] }, // two depth blocks, several column tasks
  { rows: 9, x: [13, 13, 5], w: [3, 4, 5, 17], padding: 'same' }, // several chunks of a weight gradient
  { rows: 5, x: [4, 4, 64], w: [2, 2, 64, 130], stride: 2 }, // patches
  { rows: 2, x: [7, 8, 90], w: [3, 2, 90, 6], padding: 'same' }, // depth blocks that end within a tap
  { rows: 2, x: [9, 9, 6], w: [3, 3, 6, 8], stride: 3, padding: 'same' }, // patches that fill the image
  { rows: 2, x: [8, 7, 6], w: [3, 3, 6, 8], stride: 3, padding: 'same' }, // patches that begin outside of it
  { rows: 2, x: [9, 9, 4], w: [2, 2, 4, 5], stride: 4 }, // pixels that no patch covers
  { rows: 2, x: [9, 9, 4], w: [2, 3, 4, 5], stride: 2 },
  { rows: 2, x: [9, 8, 5], w: [2, 3, 5, 9], stride: [1, 2], dilation: 2, padding: 'same' },
  { rows: 3, x: [7, 6, 24], w: [3, 3, 8, 30], groups: 3, padding: 'same' },
  { rows: 2, x: [8, 9, 8], w: [3, 3, 2, 12], groups: 4, stride: 2, dilation: 2, padding: 'same' },
  { rows: 1, x: [40, 40, 3], w: [5, 5, 3, 9], padding: 'same' }, // a statistics tile of many blocks
  { rows: 2, x: [1300], w: [1300, 1100] }, // rows and columns of several tasks
];

const attrsOf = ({ stride = 1, padding = 'valid', dilation = 1, groups = 1 }: Size) => ({ stride, padding, dilation, groups });

function operands(op: ConvOp, size: Size): KernelRun {
  const x = samples(size.rows, size.x, uniform(1));
  const w = fixed(size.w, uniform(2));
  const attrs = attrsOf(size);
  if (op === 'conv') return { op, inputs: [x, w], attrs, rows: size.rows };
  const [y] = runReference('conv', [x, w], attrs);
  const dy = samples(size.rows, y.spec.shape, uniform(3));
  return op === 'convGradInput'
    ? { op, inputs: [dy, w], attrs: { ...attrs, inputShape: size.x }, rows: size.rows }
    : { op, inputs: [x, dy], attrs: { ...attrs, weightShape: size.w }, rows: size.rows };
}

/** What rounding may do to a sum of `terms` products of numbers of about 1. */
const tolerance = (terms: number) => ({ absolute: 3e-7 * Math.max(4, Math.sqrt(terms) * 8), relative: 2e-6 });

/** Multiply-adds behind an element of the result, at most. */
function terms({ op, inputs: given, rows }: KernelRun): number {
  const inputs = tensorsOf(given);
  if (op === 'convGradWeight') return inputs[1].data.length / inputs[1].shape[inputs[1].shape.length - 1] || rows;
  const w = inputs[1].spec.shape;
  return inputs[1].data.length / Math.min(w[w.length - 1], w[w.length - 2]);
}

const machines = [
  { build: 'fma', machine: await KernelMachine.load('fma') },
  { build: 'plain', machine: await KernelMachine.load('plain') },
  { build: 'wide', machine: await KernelMachine.load('wide') },
];

describe.each(machines)('$build', ({ machine }) => {
  function check(run: KernelRun): void {
    const expected = runReference(run.op, run.inputs, run.attrs, { rows: run.rows });
    const actual = machine.run(run, conv[run.op as ConvOp]);
    expected.forEach(({ data, spec }, i) => {
      // Entries of partials beyond the tiles are nobody's; the reference leaves them at zero, the kernels untouched.
      const partials = spec.shape[0] === 2 && i > 0;
      const values = partials ? actual[i].map((value, at) => (data[at] === 0 ? 0 : value)) : actual[i];
      const allowed = tolerance(terms(run));
      expectClose(values, data, partials ? { ...allowed, relative: 1e-5 } : allowed, `output ${i}`);
    });
  }

  for (const op of OPS) {
    const cases = opCases[op]().map((one): [string, OpCase] => [one.name, one]);
    test.each(cases)(`${op} %s`, (_name, one) => {
      check({ op, ...one });
      // The same with room for more rows: what is beyond must stay untouched.
      check({ op, ...one, capacity: one.rows + 1 });
    });
    test.each(SIZES)(`${op} $rows × $x by $w stride $stride $padding`, (size) => {
      check(operands(op, size));
    });
  }

  test('statistics of tiles that several blocks or tasks make', () => {
    for (const [rows, x, w] of [
      [2, [30, 30, 4], [3, 2, 4, 37]],
      [130, [3, 3, 5], [1, 1, 5, 9]],
      [70, [8, 8, 12], [1, 1, 12, 600]],
    ] as const) {
      const epilogue = { activation: 'gelu', derivative: true, stats: true };
      const inputs: TestTensor[] = [samples(rows, x, uniform(1)), fixed(w, uniform(2)), fixed([w[3]], uniform(4))];
      check({ op: 'conv', inputs, attrs: { stride: 1, padding: 'same', epilogue }, rows });
    }
  });

  test('a patch embedding of bytes', () => {
    const inputs = [samples(5, [32, 32, 3], integers(1, 256), 'u8'), fixed([2, 2, 3, 40], uniform(2)), fixed([40], uniform(4))];
    const epilogue = { activation: 'gelu', stats: true };
    check({ op: 'conv', inputs, attrs: { stride: 2, padding: 'valid', inputScale: 1 / 255, epilogue }, rows: 5 });
  });

  test.each(OPS)('%s gives the same bits whatever the capacity', (op) => {
    for (const size of SIZES.slice(0, 4)) {
      const run = operands(op, size);
      const [expected] = machine.run(run, conv[op]);
      for (const capacity of [size.rows + 1, 200, 1000]) expect(machine.run({ ...run, capacity }, conv[op])[0]).toEqual(expected);
    }
  });

  test('a weight gradient whose chunks would not fit is added up by its tasks, to the same bits', () => {
    const run = operands('convGradWeight', { rows: 3, x: [32, 32, 16], w: [15, 15, 16, 16], padding: 'same' });
    const calls = (capacity: number) => machine.prepare({ ...run, capacity }, conv.convGradWeight).calls.map(({ kernel }) => kernel);
    expect(calls(3)).toEqual(['convGradWeight', 'convGradWeightReduce']);
    expect(calls(300)).toEqual(['convGradWeight']);
    const [expected] = machine.run(run, conv.convGradWeight);
    expect(machine.run({ ...run, capacity: 300 }, conv.convGradWeight)[0]).toEqual(expected);
  });

  test('NaN and infinity come through', () => {
    const x = samples(2, [1, 1, 4], [1, 2, Number.NaN, 4, 1, Number.POSITIVE_INFINITY, 3, 4]);
    const w = fixed([1, 1, 4, 3], () => 1);
    for (const activation of ['gelu', 'relu', undefined]) {
      const attrs = { stride: 1, padding: 'valid', epilogue: { activation } };
      const [y] = machine.run({ op: 'conv', inputs: [x, w], attrs, rows: 2 }, conv.conv);
      expect([...y]).toEqual([Number.NaN, Number.NaN, Number.NaN, ...Array(3).fill(Number.POSITIVE_INFINITY)]);
    }
  });
});

test.each(OPS)('%s gives the same bits with both micro-kernels', (op) => {
  const [narrow, , wide] = machines;
  for (const size of SIZES) {
    const run = operands(op, size);
    expect(wide.machine.run(run, conv[op])).toEqual(narrow.machine.run(run, conv[op]));
  }
});
