// Kernels of the webgpu device against the reference loops: the comparison that the suite and the soak share.

import { mapNamed, type Named } from '../../runtime/ir/signature.ts';
import type { KernelOpName } from '../../runtime/ops/index.ts';
import { tolerancesOf, updateTolerancesOf } from './cases.ts';
import { expectClose, type Tolerance } from './close.ts';
import { type DispatchRunner, isHalf, type RunOptions } from './dispatch-runner.ts';
import { fromHalf, toHalf } from './half.ts';
import type { OpCase } from './op-case.ts';
import { runReference } from './reference.ts';
import { copy, type TestTensor } from './tensors.ts';

/** What storing a result as f16 does to it besides: rounding, to nearest or towards zero, and the steps between the smallest numbers. */
const HALF: Required<Tolerance> = { absolute: 2 ** -24, relative: 2 ** -10 };

/** Runs a case and compares outputs and updates with the reference. With `halves` both begin with inputs that f16 can hold. */
export async function checkDispatches(runner: DispatchRunner, op: KernelOpName, given: OpCase, options: RunOptions): Promise<void> {
  const half = (data: TestTensor['data']) => Float64Array.from(data, (value) => fromHalf(toHalf(value)));
  const rounded = (tensor: TestTensor): TestTensor => (isHalf(tensor.spec) ? { ...tensor, data: half(tensor.data) } : tensor);
  const { inputs } = given;
  const halved = Array.isArray(inputs) ? inputs.map(rounded) : mapNamed(inputs as Named<TestTensor>, rounded);
  const one = options.halves ? { ...given, inputs: halved } : given;
  const updates = one.updates?.map(copy);
  const expected = runReference(op, one.inputs, one.attrs, { rows: one.rows, step: one.step, updates });
  const actual = await runner.run(op, one, options);
  const name = `${op} ${one.name}, ${JSON.stringify(options)}`;
  for (const [i, { data, spec }] of expected.entries()) {
    // Entries of partials beyond the tiles are nobody's.
    const partials = i > 0 && spec.perSample && spec.shape.length === 2 && spec.shape[0] === 2;
    const found = partials ? actual.outputs[i].map((value, at) => (data[at] === 0 ? 0 : value)) : actual.outputs[i];
    const { absolute = 0, relative = 0 } = tolerancesOf(op).gpu;
    const stored = options.halves && isHalf(spec) ? HALF : { absolute: 0, relative: 0 };
    expectClose(found, data, { absolute: absolute + stored.absolute, relative: relative + stored.relative }, `${name}: output ${i}`);
  }
  for (const [i, { data }] of (updates ?? []).entries()) {
    expectClose(actual.updates[i], data, updateTolerancesOf(op).gpu, `${name}: update ${i}`);
  }
}
