// Convolutions whose products go to matrix units, of all shapes that these have: sizes that hurt, and what tests say of the results.

import { expect } from 'vitest';
import type { MatrixUnit } from '../../gpu/kernels/matrices.ts';
import type { LoweringContext } from '../../gpu/lowering/lowering.ts';
import type { KernelOpName } from '../../runtime/ops/index.ts';
import type { DispatchRunner } from './dispatch-runner.ts';
import { attrsOf, type Epilogue, type OpCase } from './op-case.ts';
import { runReference } from './reference.ts';
import { fixed, samples, uniform } from './tensors.ts';
import { tensorsOf } from './test-node.ts';

/** Of sums of some dozens to some hundreds of products: rounding to 11 bits of both factors; and that of f32. Both twice what is seen. */
const ERROR = { f32: 6e-7, f16: 5e-4, f16x3: 6e-7 };

/** √(Σ(actual − expected)² / Σ expected²), without what the reference leaves zero: entries of partials that are nobody's. */
function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [difference, size] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    if (expected[i] === 0) continue;
    difference += (actual[i] - expected[i]) ** 2;
    size += expected[i] ** 2;
  }
  return Math.sqrt(difference / size);
}

function conv(rows: number, xShape: readonly number[], wShape: readonly number[], epilogue: Epilogue, stride = 1): OpCase {
  const inputs = [samples(rows, xShape, uniform(1)), fixed(wShape, uniform(2)), fixed(wShape.slice(-1), uniform(4))];
  const padding = stride === 1 ? 'same' : 'valid';
  return { name: '', rows, inputs: inputs.slice(0, epilogue.bias ? 3 : 2), attrs: { stride, padding, epilogue: attrsOf(epilogue) } };
}

/** The same with a smaller x. */
function scaled({ inputs, ...one }: OpCase, factor: number): OpCase {
  const [x, ...rest] = tensorsOf(inputs);
  return { ...one, inputs: [samples(one.rows, x.spec.shape, (i) => factor * x.data[i]), ...rest] };
}

function gradient(of: 'input' | 'weight', rows: number, xShape: readonly number[], wShape: readonly number[], stride = 1): OpCase {
  const { inputs: given } = conv(rows, xShape, wShape, {}, stride);
  const attrs = { stride, padding: stride === 1 ? 'same' : 'valid' };
  const inputs = tensorsOf(given);
  const [y] = runReference('conv', inputs, attrs);
  const dy = samples(rows, y.spec.shape, uniform(3));
  return of === 'input'
    ? { name: '', rows, inputs: [dy, inputs[1]], attrs: { ...attrs, inputShape: xShape } }
    : { name: '', rows, inputs: [inputs[0], dy], attrs: { ...attrs, weightShape: wShape } };
}

export interface MatrixCase {
  readonly name: string;
  readonly op: KernelOpName;
  /** The kernel that it is about. */
  readonly kernel: string;
  readonly make: () => OpCase;
}

const named = (name: string, op: KernelOpName, make: () => OpCase, kernel: string = op): MatrixCase => ({ name, op, kernel, make });
const GELU: Epilogue = { bias: true, activation: 'gelu', derivative: true, stats: true };
const RELU: Epilogue = { bias: true, activation: 'relu', stats: true };

export const MATRIX_CASES: readonly MatrixCase[] = [
  named('statistics of tiles of several blocks', 'conv', () => conv(2, [13, 11, 67], [1, 1, 67, 68], GELU)),
  named('256 products of numbers that f16 cannot tell well', 'conv', () => scaled(conv(3, [5, 7, 256], [1, 1, 256, 37], {}), 2 ** -12)),
  named('several chunks', 'convGradWeight', () => gradient('weight', 5, [20, 20, 64], [1, 1, 64, 67])),
  named('windows, columns that come in no fours', 'conv', () => conv(3, [5, 7, 15], [3, 3, 15, 37], RELU)),
  named('one pixel after a stride', 'conv', () => conv(1, [3, 2, 33], [2, 2, 33, 32], { bias: true }, 2)),
  named('windows', 'convGradInput', () => gradient('input', 2, [6, 5, 34], [3, 3, 34, 35])),
  named('patches and what they leave', 'convGradInput', () => gradient('input', 3, [5, 4, 9], [2, 2, 9, 131], 2), 'convGradInputPatches'),
  named('windows, channels that come in no fours', 'convGradWeight', () => gradient('weight', 3, [7, 6, 9], [3, 3, 9, 53])),
];

/** Runs a case by a matrix unit, at capacity and below it, and compares it with the reference. */
export async function checkMatrices(
  runner: DispatchRunner,
  { op, kernel, make }: MatrixCase,
  precision: 'f32' | 'f16' | 'f16x3',
  unit: MatrixUnit,
  limits: LoweringContext['limits'] = runner.context(1).limits,
): Promise<void> {
  const one = make();
  const expected = runReference(op, one.inputs, one.attrs, { rows: one.rows });
  const change = { precision, limits, features: { f16: false, subgroups: false, subgroupMatrix: unit, barriers: true } };
  const { outputs, kernels } = await runner.run(op, one, { change });
  expect(kernels).toContain(`${kernel}, ${unit.component === 'f32' ? 'f32 matrices' : precision}`);
  for (const [i, { data }] of expected.entries()) expect(relativeError(outputs[i], data), `output ${i}`).toBeLessThan(ERROR[precision]);
  const spare = await runner.run(op, one, { change, capacity: one.rows + 3 });
  expect(spare.outputs).toEqual(outputs);
}
