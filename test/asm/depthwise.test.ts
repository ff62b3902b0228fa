// The depthwise kernels against the reference: awkward sizes, bands and chunks, and bits that do not depend on how the work is cut.

import { describe, expect, test } from 'vitest';
import { batchnorm } from '../../asm/lowering/batchnorm.ts';
import { depthwise } from '../../asm/lowering/depthwise.ts';
import { elementwise } from '../../asm/lowering/elementwise.ts';
import { HybridError } from '../../runtime/base/errors.ts';
import { depthwiseGradCase } from '../ops/depthwise.cases.ts';
import { opCases } from '../support/cases.ts';
import { expectClose } from '../support/close.ts';
import { KernelMachine, type KernelRun } from '../support/kernels.ts';
import type { OpCase } from '../support/op-case.ts';
import { runReference } from '../support/reference.ts';
import { fixed, samples, type TestTensor, uniform } from '../support/tensors.ts';
import { tensorsOf } from '../support/test-node.ts';

type DepthwiseOp = keyof typeof depthwise;
const OPS = Object.keys(depthwise) as DepthwiseOp[];

interface Size {
  readonly rows: number;
  readonly shape: readonly number[];
  readonly k: number;
}

/** Sizes beyond those of all devices. */
const SIZES: readonly Size[] = [
  { rows: 7, shape: [16, 16, 35], k: 5 }, // several groups and chunks, the last group not full
  { rows: 70, shape: [1, 3, 13], k: 5 }, // several samples a tile, the last tile not full
  { rows: 1, shape: [130, 65, 5], k: 5 }, // bands
  { rows: 2, shape: [150, 67, 4], k: 3 },
  { rows: 2, shape: [9, 130, 17], k: 8 },
  { rows: 1, shape: [3, 2, 1], k: 31 },
  { rows: 50, shape: [1, 1, 2100], k: 1 }, // more channels than a group takes
  { rows: 2, shape: [1, 3000, 20], k: 1 }, // rows that fill the scratch
];

function operands(op: DepthwiseOp, { rows, shape, k }: Size): KernelRun {
  const x = samples(rows, shape, uniform(1));
  const w = fixed([k, k, shape[2], 1], uniform(2));
  const dy = samples(rows, shape, uniform(3));
  if (op === 'depthwiseGradWeight') return { op, inputs: [x, dy], attrs: { weightShape: w.shape }, rows };
  return { op, inputs: op === 'depthwiseGrad' ? [dy, x, w] : [x, w], rows };
}

const machines = [
  { build: 'fma', machine: await KernelMachine.load('fma', 128) },
  { build: 'plain', machine: await KernelMachine.load('plain', 128) },
  { build: 'wide', machine: await KernelMachine.load('wide', 128) },
];

describe.each(machines)('$build', ({ machine }) => {
  function check(run: KernelRun): void {
    const expected = runReference(run.op, run.inputs, run.attrs, { rows: run.rows });
    const actual = machine.run(run, depthwise[run.op as DepthwiseOp]);
    const [input] = tensorsOf(run.inputs);
    const elements = input.data.length / input.shape[input.shape.length - 1];
    expected.forEach(({ data, spec }, i) => {
      // Entries of partials beyond the tiles are nobody's; the reference leaves them at zero, the kernels untouched.
      const partials = spec.shape[0] === 2 && i > 0;
      const values = partials ? actual[i].map((value, at) => (data[at] === 0 ? 0 : value)) : actual[i];
      const allowed = { absolute: 3e-6 * Math.max(1, Math.sqrt(elements)), relative: partials ? 1e-5 : 2e-6 };
      expectClose(values, data, allowed, `output ${i}`);
    });
  }

  for (const op of OPS) {
    const cases = opCases[op]().map((one): [string, OpCase] => [one.name, one]);
    test.each(cases)(`${op} %s`, (_name, one) => {
      check({ op, ...one });
      // The same with room for more rows: what is beyond must stay untouched.
      check({ op, ...one, capacity: one.rows + 1 });
    });
    test.each(SIZES)(`${op} $rows × $shape by $k`, (size) => {
      check(operands(op, size));
    });
    test(`${op} gives the same bits whatever the capacity`, () => {
      for (const size of SIZES.slice(0, 2)) {
        const run = operands(op, size);
        const [expected] = machine.run(run, depthwise[op]);
        for (const capacity of [size.rows + 1, 100]) expect(machine.run({ ...run, capacity }, depthwise[op])[0]).toEqual(expected);
      }
      // Rows so wide that a group has room for fewer channels than tasks would like to have.
      const run = operands(op, { rows: 1, shape: [12, 290, 32], k: 5 });
      expect(machine.run({ ...run, capacity: 48 }, depthwise[op])).toEqual(machine.run(run, depthwise[op]));
    });
    test(`${op} refuses what does not fit`, () => {
      for (const size of [
        { rows: 1, shape: [1, 5000, 1], k: 5 },
        { rows: 1, shape: [2, 2, 1], k: 33 },
      ]) {
        expect(() => machine.prepare(operands(op, size), depthwise[op])).toThrow(HybridError);
      }
    });
  }

  test('a normalized input gives the bits of normalize, then the op', () => {
    for (const { rows, shape, k } of SIZES.slice(0, 3)) {
      const x = samples(rows, shape, uniform(1));
      const affine = { scale: fixed([shape[2]], uniform(5, 0.5, 1.5)), shift: fixed([shape[2]], uniform(6)) };
      const [stored] = machine.run({ op: 'normalize', inputs: { x, ...affine }, rows }, batchnorm.normalize);
      const y = { ...x, data: Float64Array.from(stored) };
      for (const op of ['depthwise', 'depthwiseGradWeight'] as const) {
        const { inputs, attrs } = operands(op, { rows, shape, k });
        const [, other] = tensorsOf(inputs);
        const others = op === 'depthwise' ? { w: other } : { dy: other };
        const fused = { op, inputs: { x, ...others, ...affine }, attrs, rows };
        const unfused = { op, inputs: { x: y, ...others }, attrs, rows };
        expect(machine.run(fused, depthwise[op])).toEqual(machine.run(unfused, depthwise[op]));
      }
    }
  });

  test('gradients together have the bits of those by themselves', () => {
    for (const { rows, shape, k } of SIZES.slice(0, 5)) {
      const { inputs, attrs } = depthwiseGradCase({ rows, shape, k }, { normalize: true, bnGrad: true, residual: true, biasGrad: true });
      const { dy, x, w, activation, slope, alpha, kappa, derivative, residual, scale, shift } = inputs as Record<string, TestTensor>;
      const bnGrad: KernelRun = { op: 'bnGradApply', inputs: { dy, x: activation, scale: slope, alpha, kappa, derivative }, rows };
      const [stored] = machine.run(bnGrad, batchnorm.bnGradApply);
      const du = { ...dy, data: Float64Array.from(stored) };
      const [plain] = machine.run({ op: 'depthwiseGradInput', inputs: [du, w], rows }, depthwise.depthwiseGradInput);
      const dxPlain = { ...dy, data: Float64Array.from(plain) };
      const [dx] = machine.run({ op: 'add', inputs: [dxPlain, residual], rows }, elementwise.add);
      const dwRun: KernelRun = { op: 'depthwiseGradWeight', inputs: { x, dy: du, scale, shift }, attrs: { weightShape: w.shape }, rows };
      const [dw] = machine.run(dwRun, depthwise.depthwiseGradWeight);
      const fused = machine.run({ op: 'depthwiseGrad', inputs, attrs, rows }, depthwise.depthwiseGrad);
      expect(fused.slice(0, 2)).toEqual([dx, dw]);
      check({ op: 'depthwiseGrad', inputs, attrs, rows });
    }
  });

  test('statistics of all tiles', () => {
    for (const { rows, shape, k } of SIZES.slice(0, 3)) {
      const epilogue = { activation: 'gelu', derivative: true, stats: true };
      const inputs = [samples(rows, shape, uniform(1)), fixed([k, k, shape[2], 1], uniform(2)), fixed([shape[2]], uniform(4))];
      check({ op: 'depthwise', inputs, attrs: { epilogue }, rows });
    }
  });
});

test.each(OPS)('%s gives the same bits in the wide form', (op) => {
  const [fma, , wide] = machines;
  for (const size of SIZES) {
    const run = operands(op, size);
    expect(wide.machine.run(run, depthwise[op])).toEqual(fma.machine.run(run, depthwise[op]));
  }
});
