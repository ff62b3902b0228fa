// A report of a GPU to send to the makers of this package: whether it computes right in each tier of precision, how fast its kernels are beside its
// own bounds, and what a training step takes. Nothing of it tells whose machine it is: no paths, no names of hosts or users, no command line.

import { trainingGraphs } from '../runtime/entries/graph.ts';
import { abortError } from '../runtime/entries/internal.ts';
import { initialize } from '../runtime/entries/layers.ts';
import { examineMachine, formatSelfTest, type MachineReport } from '../runtime/entries/tools.ts';
import { ARCHITECTURES, buildModel, type Device, HybridError, type Model, openDevice } from '../runtime/index.ts';
import { benchKernels, type KernelBenchResult } from './kernels.ts';
import { benchTrain, HYPER, madeUpBatch, type TrainBenchResult } from './train.ts';

type Architecture = (typeof ARCHITECTURES)[number];

export interface GpuReportOptions {
  /** Measures a software adapter as well. */
  readonly software?: boolean;
  readonly onLine?: (line: string) => void;
  readonly signal?: AbortSignal;
}

/** Of one tier of precision. What could not be measured says why in its place. */
export interface TierReport {
  readonly precision: string;
  /** What the kernels are made for, and by which driver. */
  readonly arithmetic?: string;
  /** Losses of three steps of a small network with equal weights and images, here and on the CPU in f32. */
  readonly losses?: { readonly gpu: readonly number[]; readonly cpu: readonly number[] };
  readonly kernels?: KernelBenchResult;
  readonly steps: readonly TrainBenchResult[];
  readonly problems: readonly string[];
}

export interface GpuReport {
  readonly format: 'hybrid-gpu-report 1';
  readonly machine: Omit<MachineReport, 'nodeFlags'>;
  readonly batch: number;
  readonly tiers: readonly TierReport[];
}

const MODELS: readonly Architecture[] = ARCHITECTURES.filter((arch) => /^conv(mixer-2|-)/.test(arch));

/** What is measured: images a step, steps that are timed of each network, after two that are not, and networks, of whose first the kernels are timed one by one. */
interface Work {
  readonly batch: number;
  readonly steps: number;
  readonly archs: readonly Architecture[];
}
const OF_GPU: Work = { batch: 128, steps: 10, archs: MODELS };
/** As much as a software adapter does in a minute. */
const OF_SOFTWARE: Work = { batch: 2, steps: 1, archs: ['conv-pooling'] };

const STEPS_OF_LOSSES = 3;

/** Takes some two minutes on a GPU. Throws E_ENVIRONMENT where there is none. */
export async function measureGpu(options: GpuReportOptions): Promise<GpuReport> {
  const { software, signal, onLine } = options;
  onLine?.('self-tests');
  const { nodeFlags: _, ...machine } = await examineMachine({ signal });
  const { adapter } = machine.webgpu;
  if (!adapter || (adapter.software && !software)) {
    throw new HybridError(
      'E_ENVIRONMENT',
      adapter ? `the only GPU of this machine is ${adapter.name}, which is software` : 'this machine offers no GPU to WebGPU',
      adapter ? 'Give --software to measure it all the same.' : 'Look at `hybrid doctor` for what is missing.',
    );
  }
  const work = adapter.software ? OF_SOFTWARE : OF_GPU;
  const cpu = await openDevice('wasm');
  try {
    const expected = await losses(cpu);
    const tiers: TierReport[] = [];
    for (const precision of adapter.precisions) tiers.push(await measureTier(precision, expected, work, options));
    return { format: 'hybrid-gpu-report 1', machine, batch: work.batch, tiers };
  } finally {
    await cpu.close();
  }
}

async function measureTier(
  precision: 'f32' | 'f16' | 'f16x3',
  cpu: readonly number[],
  { batch, steps, archs }: Work,
  { onLine, signal }: GpuReportOptions,
): Promise<TierReport> {
  const problems: string[] = [];
  const times: TrainBenchResult[] = [];
  /** A measurement that fails leaves the others. */
  const attempt = async <T>(what: string, measure: () => Promise<T>): Promise<T | undefined> => {
    if (signal?.aborted) throw abortError(signal);
    onLine?.(`${precision}: ${what}`);
    try {
      return await measure();
    } catch (error) {
      if (!(error instanceof HybridError)) throw error;
      problems.push(`${what}: ${error.code}, ${error.message}`);
      return undefined;
    }
  };
  const device = await attempt('opening the device', () => openDevice('webgpu', { precision }));
  if (!device) return { precision, steps: times, problems };
  try {
    const gpu = await attempt('losses beside the CPU', () => losses(device));
    const model = (arch: Architecture): Model => buildModel(arch, { input: [32, 32, 3], classes: 10 });
    const kernels = await attempt(`kernels of ${archs[0]}`, () => benchKernels({ device, model: model(archs[0]), batch, steps, signal }));
    for (const arch of archs) {
      const result = await attempt(`steps of ${arch}`, () => benchTrain({ device, model: model(arch), batch, steps, warmup: 2, signal }));
      if (result) times.push(result);
    }
    return { precision, arithmetic: device.arithmetic, ...(gpu && { losses: { gpu, cpu } }), kernels, steps: times, problems };
  } finally {
    await device.close();
  }
}

/** Of the first steps of a small ConvMixer on made-up images. */
async function losses(device: Device): Promise<number[]> {
  const model = buildModel('convmixer', { input: [16, 16, 3], classes: 10, dim: 64, depth: 2 });
  const capacity = 16;
  const executable = await device.compile(trainingGraphs(model), { capacity, seed: 0n, programs: ['train'] });
  try {
    for (const [name, values] of initialize(model, 0n)) await executable.write(name, values);
    const input = madeUpBatch(model, capacity);
    const found: number[] = [];
    // A step whose gradient overflows f16 changes the scale alone, and is done again.
    for (let left = 30; found.length < STEPS_OF_LOSSES && left > 0; left--) {
      const [{ loss }, { overflow }] = await Promise.all([executable.gradient(input), executable.update(HYPER)]);
      if (overflow === undefined) found.push(loss);
    }
    return found;
  } finally {
    await executable.close();
  }
}

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
const cells = (tag: 'th' | 'td', row: readonly string[]): string =>
  `<tr>${row.map((cell) => `<${tag}>${escaped(cell)}</${tag}>`).join('')}</tr>`;
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  rows.length === 0 ? '' : `<div class="wide"><table>${cells('th', head)}${rows.map((row) => cells('td', row)).join('')}</table></div>`;
const plain = (value: number): string => value.toLocaleString('en-US', { maximumSignificantDigits: 3 });

/** One page for people, which holds the report as JSON too. */
export function gpuReportPage(report: GpuReport): string {
  const { machine, tiers, batch } = report;
  const { adapter, selfTest, tiers: tested } = machine.webgpu;
  const verdict = (result: typeof selfTest | undefined): string =>
    result ? `${result.passed ? 'passed' : 'FAILED'}: ${formatSelfTest(result)}` : 'not run';
  const about = [
    ['GPU', adapter?.name ?? 'none'],
    ['vendor, architecture', [adapter?.vendor, adapter?.architecture].filter(Boolean).join(', ')],
    ['subgroup matrices', adapter?.subgroupMatrices.join(', ') || 'none'],
    ['self-test, f32', verdict(selfTest)],
    ...Object.entries(tested).map(([tier, result]) => [`self-test, ${tier}`, verdict(result)]),
    ['hybrid, Node, package webgpu', `${machine.hybrid}, ${machine.node}, ${machine.webgpuPackage ?? 'none'}`],
    ['system, CPU', `${machine.system}, ${machine.cpu}`],
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escaped(adapter?.name ?? 'GPU')}, measured by hybrid</title>
<style>:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse;margin:.5rem 0}th,td{padding:.2rem .8rem .2rem 0;text-align:left;border-bottom:1px solid #8884;white-space:nowrap}.wide{overflow-x:auto}pre{white-space:pre-wrap;overflow-wrap:anywhere}</style></head><body>
<h1>${escaped(adapter?.name ?? 'GPU')}</h1>
<p>Measured by <code>hybrid doctor --gpu-report</code>, batch ${batch}. No file path, host or user name is in this page.</p>
${table(['', ''], about)}
${tiers.map((tier) => tierSection(tier)).join('\n')}
<h2>Everything, as JSON</h2><details><summary>for machines</summary><pre>${escaped(JSON.stringify(report, null, 1))}</pre></details>
<script type="application/json" id="report">${JSON.stringify(report).replaceAll('<', '\\u003c')}</script>
</body></html>
`;
}

function tierSection({ precision, arithmetic, losses: found, kernels, steps, problems }: TierReport): string {
  const off = found?.gpu.map((loss, i) => Math.abs(loss - found.cpu[i]) / Math.abs(found.cpu[i])).reduce((a, b) => Math.max(a, b), 0);
  const bounds =
    kernels &&
    `bounds ${plain(kernels.bounds.gflops)} GFLOP/s, ${plain(kernels.bounds.gbytes)} GB/s; a step ${plain(kernels.stepMs)} ms, its kernels ${plain(kernels.kernelsMs)} ms`;
  return `<h2>${precision}</h2>
${arithmetic ? `<p>${escaped(arithmetic)}</p>` : ''}
${problems.map((problem) => `<p><strong>${escaped(problem)}</strong></p>`).join('')}
${found ? `<p>Losses of three steps: ${found.gpu.map((loss) => loss.toFixed(5)).join(', ')}; on the CPU ${found.cpu.map((loss) => loss.toFixed(5)).join(', ')} (at most ${(off ?? 0).toExponential(1)} off)</p>` : ''}
${table(
  ['network', 'ms a step', 'images/s'],
  steps.map(({ arch, stepMs, imagesPerSecond }) => [arch, plain(stepMs.median), plain(imagesPerSecond)]),
)}
${
  kernels
    ? `<p>Kernels of ${escaped(kernels.arch)}: ${bounds}</p>${table(
        ['phase', 'op', 'shape', 'nodes', 'ms', 'GFLOP/s', 'GB/s', 'of bound'],
        kernels.rows.map((row) => [
          row.phase,
          row.op,
          row.shape,
          `${row.nodes}`,
          plain(row.ms),
          plain(row.gflops),
          plain(row.gbytes),
          `${(100 * row.ofBound).toFixed(0)} %`,
        ]),
      )}`
    : ''
}`;
}
