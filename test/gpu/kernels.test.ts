// Every kernel of the webgpu device against the reference loops, at sizes that hurt, on a software adapter.

import { afterAll, beforeAll, describe, it } from 'vitest';
import type { KernelOpName } from '../../runtime/ops/index.ts';
import { type OpCase, opCases } from '../support/cases.ts';
import { expectClose, type Tolerance } from '../support/close.ts';
import { DispatchRunner } from '../support/dispatch-runner.ts';
import { runReference } from '../support/reference.ts';
import { hasSwiftShader } from '../support/swiftshader.ts';
import { copy } from '../support/tensors.ts';

/** One rounding, or none: nothing else happens to an element. */
const EXACT: Tolerance = { relative: 1.2e-7 };
const TOLERANCES: Partial<Record<KernelOpName, Tolerance>> = {
  rescale: EXACT,
  add: EXACT,
  bias: EXACT,
  relu: EXACT,
  reluGrad: EXACT,
  dropout: EXACT,
  maxPool: EXACT,
  maxPoolGrad: EXACT,
  globalAvgPoolGrad: EXACT,
  finiteCheck: EXACT,
  countStep: EXACT,
  softmaxCrossEntropyGrad: { absolute: 1e-9, relative: 3e-6 },
};
/** What rounding does to sums of up to some hundred products of numbers of about 1, in f32 throughout. */
const ROUNDING: Tolerance = { absolute: 1e-5, relative: 5e-6 };

describe.runIf(hasSwiftShader)('kernels on SwiftShader', () => {
  let runner: DispatchRunner;
  beforeAll(async () => {
    runner = await DispatchRunner.open();
  });
  afterAll(() => runner?.close());

  async function check(op: KernelOpName, one: OpCase, options: Parameters<DispatchRunner['run']>[2] = {}): Promise<void> {
    const updates = one.updates?.map(copy);
    const expected = runReference(op, one.inputs, one.attrs, { rows: one.rows, step: one.step, updates });
    const actual = await runner.run(op, one, options);
    for (const [i, { data, spec }] of expected.entries()) {
      // Entries of partials beyond the tiles are nobody's.
      const partials = i > 0 && spec.perSample && spec.shape.length === 2 && spec.shape[0] === 2;
      const found = partials ? actual.outputs[i].map((value, at) => (data[at] === 0 ? 0 : value)) : actual.outputs[i];
      expectClose(found, data, TOLERANCES[op] ?? ROUNDING, `output ${i}`);
    }
    for (const [i, { data }] of (updates ?? []).entries()) {
      expectClose(actual.updates[i], data, { absolute: 1e-7, relative: 1e-6 }, `update ${i}`);
    }
  }

  for (const op of Object.keys(opCases) as KernelOpName[]) {
    it(`${op}: all cases`, async () => {
      for (const one of opCases[op]()) {
        // At capacity and below it.
        for (const capacity of [one.rows, one.rows + 3]) {
          await check(op, one, { capacity }).catch((error: Error) => {
            error.message = `${one.name}, capacity ${capacity}: ${error.message}`;
            throw error;
          });
        }
      }
    });
  }
});
