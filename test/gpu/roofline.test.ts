// What a training step costs on a GPU, counted without one: bytes that its dispatches read and write, operations, and the least time that
// both take on three classes of GPU. Numbers change only when kernels or fusion do; then they are to be looked at.

import { describe, expect, it } from 'vitest';
import { lowerings } from '../../gpu/lowering/index.ts';
import type { Lowering, Operand } from '../../gpu/lowering/lowering.ts';
import { mergeNodes } from '../../gpu/lowering/merge.ts';
import { storages, storedBytes } from '../../gpu/lowering/storage.ts';
import { gpuOps } from '../../gpu/ops/index.ts';
import { compileGraph, trainingGraph } from '../../runtime/compile/compile.ts';
import type { Precision } from '../../runtime/device.ts';
import { costOf } from '../../runtime/ir/define-op.ts';
import { byteLength, type Graph, type StateKind } from '../../runtime/ir/graph.ts';
import { buildModel, type ModelOptions } from '../../runtime/model/architectures.ts';
import { buildForward } from '../../runtime/model/build-graph.ts';

const BATCH = 128;
const MODEL: ModelOptions = { input: [32, 32, 3], classes: 10 };

/** Streaming bandwidth and f32 multiply-adds as their makers promise them: what no kernel can beat. */
const GPUS = {
  'data centre (H200)': { bytesPerSecond: 4.8e12, flopsPerSecond: 67e12 },
  'desktop (RTX 4070)': { bytesPerSecond: 504e9, flopsPerSecond: 29.1e12 },
  'laptop (Apple M3)': { bytesPerSecond: 100e9, flopsPerSecond: 3.5e12 },
};

interface Work {
  readonly bytes: number;
  readonly flops: number;
}

const training = (arch: string, options: Partial<ModelOptions> = {}): Graph =>
  mergeNodes(compileGraph(trainingGraph(buildForward(buildModel(arch, { ...MODEL, ...options }), 'train', { loss: true }))));

/** Each operand of each dispatch once, and the operations of each node. */
function workOf(graph: Graph, precision: Precision = 'f32'): Work {
  const storage = storages(graph, precision);
  const ofState = (kind: StateKind) => graph.values.reduce((sum, { state, spec }) => sum + (state === kind ? byteLength(spec, 1) : 0), 0);
  const [ofParameters, ofStatistics] = [ofState('parameter'), ofState('statistic')];
  let bytes = 0;
  let flops = 0;
  for (const node of graph.nodes) {
    if (node.op === 'reshape') continue;
    const scratch: number[] = [];
    const dispatches = ((lowerings as Readonly<Record<string, unknown>>)[node.op] as Lowering)(node as never, {
      capacity: BATCH,
      precision,
      limits: { workgroupStorage: 32768, invocations: 256, storageBuffers: 16 },
      features: { f16: false, subgroups: false, subgroupMatrix: false, barriers: true },
      spec: (id) => graph.values[id].spec,
      storage,
      scratch: (size) => ({ scratch: scratch.push(size) - 1 }),
    });
    const size = (operand: Operand): number => {
      if ('scratch' in operand) return scratch[operand.scratch];
      if ('value' in operand) return storedBytes(graph.values[operand.value].spec, storage(operand.value), BATCH);
      return operand.range === 'statistics' || operand.range === 'batchStatistics' ? ofStatistics : ofParameters;
    };
    for (const { bindings } of dispatches) {
      const operands = new Map(bindings.map(({ operand }) => [JSON.stringify(operand), operand]));
      bytes += [...operands.values()].reduce((sum, operand) => sum + size(operand), 0);
    }
    flops += costOf(gpuOps[node.op], node, (id) => graph.values[id].spec, BATCH).flops;
  }
  return { bytes, flops };
}

describe('a training step at batch 128, f32', () => {
  // Depthwise 3, its normalisation with the residual 3, pointwise 3; backward: GELU and normalisation 4, both gradients of the pointwise
  // convolution 3 and 2, the depthwise one's 5. The rest are partial sums and weights.
  it('looks at an activation tensor 23 times for each ConvMixer block', () => {
    const [deep, shallow] = [8, 4].map((depth) => workOf(training('convmixer', { dim: 256, depth, kernel: 5, patch: 2 })));
    const tensor = BATCH * 16 * 16 * 256 * 4;
    const passes = (deep.bytes - shallow.bytes) / 4 / tensor;
    expect(passes).toBeCloseTo(23.84, 1);
  });

  it('moves and computes what it did', () => {
    const counted = Object.fromEntries(
      ['convmixer-256-8', 'conv-pooling', 'convmixer-2stage-flatten', 'convmixer-2stage', 'convmixer-256-8-block-residual'].map((arch) => {
        const { bytes, flops } = workOf(training(arch));
        const least = Object.fromEntries(
          Object.entries(GPUS).map(([name, gpu]) => [
            name,
            `${(1e3 * Math.max(bytes / gpu.bytesPerSecond, flops / gpu.flopsPerSecond)).toFixed(1)} ms`,
          ]),
        );
        return [arch, { gigabytes: (bytes / 1e9).toFixed(1), gigaflops: (flops / 1e9).toFixed(0), least }];
      }),
    );
    expect(counted).toMatchInlineSnapshot(`
      {
        "conv-pooling": {
          "gigabytes": "1.7",
          "gigaflops": "118",
          "least": {
            "data centre (H200)": "1.8 ms",
            "desktop (RTX 4070)": "4.1 ms",
            "laptop (Apple M3)": "33.8 ms",
          },
        },
        "convmixer-256-8": {
          "gigabytes": "6.8",
          "gigaflops": "114",
          "least": {
            "data centre (H200)": "1.7 ms",
            "desktop (RTX 4070)": "13.6 ms",
            "laptop (Apple M3)": "68.4 ms",
          },
        },
        "convmixer-256-8-block-residual": {
          "gigabytes": "8.2",
          "gigaflops": "115",
          "least": {
            "data centre (H200)": "1.7 ms",
            "desktop (RTX 4070)": "16.2 ms",
            "laptop (Apple M3)": "81.8 ms",
          },
        },
        "convmixer-2stage": {
          "gigabytes": "5.6",
          "gigaflops": "137",
          "least": {
            "data centre (H200)": "2.1 ms",
            "desktop (RTX 4070)": "11.2 ms",
            "laptop (Apple M3)": "56.3 ms",
          },
        },
        "convmixer-2stage-flatten": {
          "gigabytes": "6.0",
          "gigaflops": "144",
          "least": {
            "data centre (H200)": "2.2 ms",
            "desktop (RTX 4070)": "11.9 ms",
            "laptop (Apple M3)": "59.9 ms",
          },
        },
      }
    `);
  });
});
