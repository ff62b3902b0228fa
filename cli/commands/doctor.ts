// hybrid doctor: what this machine has, what `--device auto` makes of it, and whether both devices compute right; --gpu-report measures the GPU.

import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { nodeFiles, writeAtomically } from '../../runtime/entries/internal.ts';
import { examineMachine, formatBytes, formatSelfTest, type MachineReport } from '../../runtime/entries/tools.ts';
import { HybridError } from '../../runtime/index.ts';
import type { CliIo } from '../io.ts';
import { count, Progress } from '../progress.ts';
import { factTable } from '../table.ts';

export async function doctorCommand(command: Command, io: CliIo): Promise<number> {
  const { json, markdown, gpuReport, software } = command.opts<{
    json?: boolean;
    markdown?: boolean;
    gpuReport?: string;
    software?: boolean;
  }>();
  if (software && gpuReport === undefined)
    throw new HybridError('E_USAGE', '--software is for --gpu-report', 'Give --gpu-report FILE too, or omit --software.');
  if (gpuReport !== undefined) return writeGpuReport(gpuReport, software === true, json === true, io);
  const report = await examineMachine({ v8Flags: true, signal: io.signal });
  io.stdout.write(json ? `${JSON.stringify(report)}\n` : markdown ? formatMarkdown(report) : factTable(rowsOf(report), io.stdout));
  return 0;
}

async function writeGpuReport(name: string, software: boolean, json: boolean, io: CliIo): Promise<number> {
  const { gpuReportPage, measureGpu } = await import('../../bench/gpu-report.ts');
  const path = resolve(io.cwd, /\.html?$/i.test(name) ? name : `${name}.html`);
  // Before two minutes of measuring, not after them.
  const folder = dirname(path);
  const found = await (io.files ?? nodeFiles).stat(folder).catch(() => null);
  if (!found) throw new HybridError('E_DISK', `there is no folder ${folder}`, 'Create it, or name a file in another one.');
  const progress = new Progress(io);
  const report = await measureGpu({ software, signal: io.signal, onLine: (line) => progress.line(line) });
  const data = path.replace(/\.html?$/i, '.json');
  await writeAtomically(io.files ?? nodeFiles, path, [Buffer.from(gpuReportPage(report))]);
  await writeAtomically(io.files ?? nodeFiles, data, [Buffer.from(`${JSON.stringify(report)}\n`)]);
  io.stdout.write(json ? `${JSON.stringify(report)}\n` : `${path}\n${data}\n`);
  return 0;
}

type Rows = readonly (readonly [what: string, found: string])[];

function rowsOf(report: MachineReport): Rows {
  const { wasm, webgpu, auto, usableCores, memory } = report;
  return [
    ['hybrid', `${report.hybrid}, Node ${report.node} (V8 ${report.v8}), ${report.system}`],
    ['CPU', `${report.cpu}, ${count(usableCores, 'core')}, ${formatBytes(memory)} of memory`],
    ['wasm', wasm.description],
    ['wasm self-test', verdict(wasm.selfTest)],
    ['webgpu package', report.webgpuPackage ?? 'not installed: `npm install webgpu@0.6.2`'],
    ...adapterRows(webgpu),
    ['auto', `${auto.device}: ${auto.reason}`],
  ];
}

function adapterRows({ adapter, selfTest, tiers }: MachineReport['webgpu']): Rows {
  if (!adapter) return [['GPU', 'none']];
  const { name, vendor, architecture, software, features, limits, subgroupMatrices, precisions } = adapter;
  const mebibytes = (limit: string) => `${limit} ${Math.floor(limits[limit] / 2 ** 20)} MiB`;
  const kibibytes = (limit: string) => `${limit} ${limits[limit] / 1024} KiB`;
  const numbers = ['maxStorageBuffersPerShaderStage', 'maxComputeInvocationsPerWorkgroup'].map((name) => `${name} ${limits[name]}`);
  return [
    ['GPU', `${name} (${[vendor, architecture].filter(Boolean).join(', ') || 'vendor unknown'})`],
    ...(software ? ([['warning', 'this is a software renderer: it computes on the CPU']] as const) : []),
    ['features', features.filter((name) => !name.startsWith('texture-')).join(', ')],
    ['subgroup matrices', subgroupMatrices.join(', ') || 'none'],
    [
      'limits',
      [mebibytes('maxBufferSize'), mebibytes('maxStorageBufferBindingSize'), kibibytes('maxComputeWorkgroupStorageSize'), ...numbers].join(
        ', ',
      ),
    ],
    ['precisions', `${precisions.join(', ')} (auto: f32)`],
    ['webgpu self-test', selfTest ? verdict(selfTest) : 'could not run'],
    ...Object.entries(tiers).map(([tier, result]) => [`${tier} self-test`, result ? verdict(result) : 'could not run'] as const),
  ];
}

const verdict = (result: MachineReport['wasm']['selfTest']): string =>
  `${result.passed ? 'passed' : 'FAILED'}: ${formatSelfTest(result)}; ${(result.ms / 1000).toFixed(1)} s`;

function formatMarkdown(report: MachineReport): string {
  const cell = (text: string) => text.replaceAll('|', '\\|');
  return ['| | |', '| --- | --- |', ...rowsOf(report).map(([what, found]) => `| ${what} | ${cell(found)} |`), ''].join('\n');
}
