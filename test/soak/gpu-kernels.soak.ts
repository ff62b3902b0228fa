// Every case of every kernel of the webgpu device, without and with workgroup memory, on a software adapter: minutes of compiling.

import { afterAll, beforeAll, describe, it } from 'vitest';
import type { KernelOpName } from '../../runtime/ops/index.ts';
import { opCases } from '../support/cases.ts';
import { checkDispatches } from '../support/check-dispatches.ts';
import { DispatchRunner } from '../support/dispatch-runner.ts';
import { hasSwiftShader } from '../support/swiftshader.ts';

describe.runIf(hasSwiftShader)('kernels on SwiftShader', () => {
  let runner: DispatchRunner;
  beforeAll(async () => {
    runner = await DispatchRunner.open();
  });
  afterAll(() => runner?.close());

  const features = { f16: false, subgroups: false, subgroupMatrix: false } as const;
  for (const op of Object.keys(opCases) as KernelOpName[]) {
    it.each([false, true])(`${op}, barriers: %s`, async (barriers) => {
      for (const one of opCases[op]())
        await checkDispatches(runner, op, one, { capacity: one.rows + 1, change: { features: { ...features, barriers } } });
    });
  }
});
