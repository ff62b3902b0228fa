// The kernels of every op, of all its cases, compiled as GPUs get them (workgroup memory, barriers, the maker's profile) for the adapter that this
// machine has, in f32 and f16: of a GPU, or of a stub of one, for which a driver's real compiler works though nothing runs (docs/gpu.md). Which driver
// that is, is up to the environment (VK_ICD_FILENAMES).

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kernelOptions } from '../../gpu/host/adapter.ts';
import { describeGpu } from '../../gpu/host/auto.ts';
import { acquireInstance } from '../../gpu/host/binding.ts';
import { Gpu } from '../../gpu/host/gpu.ts';
import { Pipelines } from '../../gpu/host/pipelines.ts';
import { lowerings } from '../../gpu/lowering/index.ts';
import type { Dispatch, Lowering, LoweringContext } from '../../gpu/lowering/lowering.ts';
import { plainStorage } from '../../gpu/lowering/storage.ts';
import { gpuOps } from '../../gpu/ops/index.ts';
import type { TensorSpec } from '../../runtime/ir/graph.ts';
import { opCases } from '../support/cases.ts';
import { isHalf } from '../support/dispatch-runner.ts';
import { testNode } from '../support/test-node.ts';

const adapter = await describeGpu();

describe.each((adapter?.precisions ?? []).filter((precision) => precision !== 'f16x3'))('%s', (precision) => {
  let gpu: Gpu;
  let pipelines: Pipelines;
  let options: ReturnType<typeof kernelOptions>;
  let kernels = 0;
  let release = (): void => {};
  beforeAll(async () => {
    const instance = await acquireInstance({ precision });
    release = () => instance.release();
    gpu = await Gpu.open(instance.gpu, { precision });
    pipelines = new Pipelines(gpu);
    options = kernelOptions(gpu.device, { ...gpu.adapter, software: false }, precision);
  });
  afterAll(() => {
    process.stderr.write(`${gpu.adapter.name}, ${precision}: ${kernels} kernels of ${Object.keys(opCases).length} ops\n`);
    gpu.close();
    release();
  });

  it.each(Object.entries(opCases))('%s', async (op, cases) => {
    const found = new Map<string, Dispatch>();
    for (const { rows, inputs, attrs, updates = [] } of cases()) {
      const { node, specs } = testNode(op, inputs, attrs, updates, gpuOps);
      let scratch = 0;
      const context: LoweringContext = {
        ...{ ...options, capacity: rows, precision, spec: (id) => specs[id] as TensorSpec },
        storage: (id) => (precision === 'f16' && isHalf(specs[id] as TensorSpec) ? 'f16' : plainStorage({ spec: specs[id] as TensorSpec })),
        scratch: () => ({ scratch: scratch++ }),
      };
      const lower = (lowerings as Readonly<Record<string, unknown>>)[op] as Lowering;
      for (const dispatch of lower(node as never, context)) found.set(dispatch.code, dispatch);
    }
    for (const dispatch of found.values()) expect(await pipelines.pipeline(dispatch, `${dispatch.kernel} of ${op}`)).toBeDefined();
    kernels += found.size;
  });
});
