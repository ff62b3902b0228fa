// Times every kernel of a training step beside the machine's own bounds: where the time goes, and how far each kernel is from
// what this machine can do.

import { type KernelTime, trainingGraphs } from '../runtime/entries/graph.ts';
import { abortError } from '../runtime/entries/internal.ts';
import { initialize } from '../runtime/entries/layers.ts';
import { type Device, HybridError, type Model } from '../runtime/index.ts';
import { HYPER, madeUpBatch, median } from './train.ts';

export interface KernelBenchOptions {
  readonly device: Device;
  readonly model: Model;
  readonly batch: number;
  /** Steps that are timed, at least 1; the median counts. */
  readonly steps: number;
  readonly signal?: AbortSignal;
}

/** All nodes of one op, phase and shapes. */
export interface KernelRow {
  readonly phase: string;
  readonly op: string;
  /** Shape of the first per-sample operand of one row, as in `16×16×256`. */
  readonly shape: string;
  readonly nodes: number;
  readonly ms: number;
  /** Of the multiply-adds and other operations that the op asks for, however the kernel gets its result. */
  readonly gflops: number;
  /** Of the bytes that must move at least. */
  readonly gbytes: number;
  /** The larger of the two as a share of the machine's bound. */
  readonly ofBound: number;
}

export interface KernelBenchResult {
  readonly arch: string;
  readonly device: string;
  readonly batch: number;
  readonly threads: number;
  readonly bounds: {
    readonly gflops: number;
    /** Of the operations of the multiply-add loop, such as `256-bit`; empty: the device does not say. */
    readonly width: string;
    readonly narrower?: { readonly gflops: number; readonly width: string };
    readonly gbytes: number;
  };
  readonly rows: readonly KernelRow[];
  readonly stepMs: number;
  /** Sum of the kernels; what is left of the step is starting runs and hearing of their end. */
  readonly kernelsMs: number;
  readonly step: { readonly gflops: number; readonly ofBound: number; readonly imagesPerSecond: number };
}

export async function benchKernels({ device, model, batch, steps, signal }: KernelBenchOptions): Promise<KernelBenchResult> {
  const executable = await device.compile(trainingGraphs(model), { capacity: batch, seed: 0n, programs: ['train'] });
  try {
    if (!executable.profile || !device.bounds) {
      throw new HybridError('E_USAGE', `the ${device.name} device does not time its kernels`, 'Use --device wasm.');
    }
    for (const [name, values] of initialize(model, 0n)) await executable.write(name, values);
    const input = madeUpBatch(model, batch);
    const runs: (readonly KernelTime[])[] = [];
    const stepTimes: number[] = [];
    for (let step = 0; step <= steps; step++) {
      if (signal?.aborted) throw abortError(signal);
      const begin = performance.now();
      const times = await executable.profile(input, HYPER);
      // The first step touches memory for the first time.
      if (step === 0) continue;
      runs.push(times);
      stepTimes.push(performance.now() - begin);
    }
    const { flopsPerSecond, width = '', narrower, bytesPerSecond } = await device.bounds();
    const bounds = {
      gflops: flopsPerSecond / 1e9,
      width,
      ...(narrower && { narrower: { gflops: narrower.flopsPerSecond / 1e9, width: narrower.width } }),
      gbytes: bytesPerSecond / 1e9,
    };
    const rows = rowsOf(runs, bounds);
    const stepMs = median(stepTimes);
    const flops = rows.reduce((sum, { gflops, ms }) => sum + gflops * ms, 0);
    const kernelsMs = rows.reduce((sum, { ms }) => sum + ms, 0);
    return {
      arch: model.arch,
      device: device.description,
      batch,
      threads: device.threads,
      bounds,
      rows,
      stepMs,
      kernelsMs,
      step: { gflops: flops / stepMs, ofBound: flops / stepMs / bounds.gflops, imagesPerSecond: (1000 * batch) / stepMs },
    };
  } finally {
    await executable.close();
  }
}

function rowsOf(runs: readonly (readonly KernelTime[])[], bounds: KernelBenchResult['bounds']): KernelRow[] {
  interface Sum {
    phase: string;
    op: string;
    shape: string;
    nodes: Set<unknown>;
    ms: number;
    flops: number;
    bytes: number;
  }
  const sums = new Map<string, Sum>();
  for (const [i, { node, inputs, cost }] of runs[0].entries()) {
    const { phase, op } = node;
    const shape = (inputs.find(({ perSample }) => perSample) ?? inputs[0])?.shape.join('×') ?? '';
    const key = `${phase} ${op} ${shape}`;
    const sum = sums.get(key) ?? { phase, op, shape, nodes: new Set(), ms: 0, flops: 0, bytes: 0 };
    sums.set(key, sum);
    sum.ms += median(runs.map((run) => run[i].ms));
    // A node is one or several calls; its cost counts once.
    if (sum.nodes.has(node)) continue;
    sum.nodes.add(node);
    sum.flops += cost.flops;
    sum.bytes += cost.bytes;
  }
  return [...sums.values()]
    .map(({ phase, op, shape, nodes, ms, flops, bytes }) => {
      const gflops = flops / ms / 1e6;
      const gbytes = bytes / ms / 1e6;
      return { phase, op, shape, nodes: nodes.size, ms, gflops, gbytes, ofBound: Math.max(gflops / bounds.gflops, gbytes / bounds.gbytes) };
    })
    .sort((a, b) => b.ms - a.ms);
}

/** The table that people read. */
export function formatKernels({ arch, device, batch, bounds, rows, stepMs, kernelsMs, step }: KernelBenchResult): string {
  const cells = [
    ['phase', 'op', 'shape', 'nodes', 'ms', 'share', 'GFLOP/s', 'GB/s', 'of bound'],
    ...rows.map((row) => [
      row.phase,
      row.op,
      row.shape,
      `${row.nodes}`,
      row.ms.toFixed(1),
      `${((100 * row.ms) / kernelsMs).toFixed(1)} %`,
      row.gflops.toFixed(1),
      row.gbytes.toFixed(1),
      `${(100 * row.ofBound).toFixed(0)} %`,
    ]),
  ];
  const widths = cells[0].map((_, column) => cells.reduce((most, row) => Math.max(most, row[column].length), 0));
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => (i < 3 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join('  ')
      .trimEnd();
  const loop = `${bounds.width && `${bounds.width} `}multiply-add loop`;
  const narrower = bounds.narrower ? ` (${bounds.narrower.gflops.toFixed(1)} in a ${bounds.narrower.width} one)` : '';
  return [
    `${arch}, batch ${batch}, ${device}`,
    `bounds: ${bounds.gflops.toFixed(1)} GFLOP/s in a ${loop}${narrower}, ${bounds.gbytes.toFixed(1)} GB/s in a copy`,
    '',
    ...cells.map(line),
    '',
    `step ${stepMs.toFixed(1)} ms, kernels ${kernelsMs.toFixed(1)} ms, between them ${(stepMs - kernelsMs).toFixed(1)} ms`,
    `${step.imagesPerSecond.toFixed(1)} images/s, ${step.gflops.toFixed(1)} GFLOP/s, ${(100 * step.ofBound).toFixed(0)} % of the ${loop}`,
    '',
  ].join('\n');
}
