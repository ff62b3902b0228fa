// hybrid doctor: on a machine as it is, as JSON, and as a table for bug reports.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, homedir, hostname } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { GpuReport } from '../../bench/gpu-report.ts';
import type { MachineReport } from '../../runtime/entries/tools.ts';
import { hasSwiftShader, swiftShaderChild } from '../support/swiftshader.ts';
import { tempFolder } from '../support/temp-folder.ts';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

const doctor = (argv: string[], env: Record<string, string> = {}) =>
  spawnSync(process.execPath, [MAIN, 'doctor', ...argv], {
    encoding: 'utf8',
    env: { ...process.env, VK_ICD_FILENAMES: '/nowhere.json', ...env },
  });

test('--json tells everything, and says nothing else', () => {
  const { status, stdout, stderr } = doctor(['--json']);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const report = JSON.parse(stdout) as MachineReport;
  expect(report).toMatchObject({
    node: process.version,
    system: expect.stringContaining(process.arch),
    usableCores: availableParallelism(),
    webgpuPackage: '0.6.2',
    wasm: { description: expect.stringMatching(/WebAssembly/), selfTest: { passed: true } },
    webgpu: { adapter: null, selfTest: null },
    auto: { device: 'wasm', reason: expect.stringMatching(/^this machine offers no GPU to WebGPU/) },
  });
});

test('--markdown is a table', () => {
  const { status, stdout } = doctor(['--markdown']);
  expect(status).toBe(0);
  const lines = stdout.trimEnd().split('\n');
  expect(lines.slice(0, 2)).toEqual(['| | |', '| --- | --- |']);
  for (const line of lines.slice(2)) expect(line).toMatch(/^\| [\w -]+ \| .+ \|$/);
  expect(stdout).toMatch(/^\| auto \| wasm: /m);
});

test('--gpu-report into a folder that there is not is refused before anything is measured; --software belongs to it', () => {
  const { status, stderr } = doctor(['--gpu-report', join(tempFolder(), 'missing', 'report')]);
  expect(status).toBe(10);
  expect(stderr).toMatch(/there is no folder .*missing/);
  expect(stderr).not.toContain('self-tests');
  expect(doctor(['--software'])).toMatchObject({ status: 2, stderr: expect.stringContaining('--software is for --gpu-report') });
});

test('--gpu-report without a GPU says so and writes nothing', () => {
  const { status, stdout, stderr } = doctor(['--gpu-report', join(tempFolder(), 'report')]);
  expect({ status, stdout }).toEqual({ status: 3, stdout: '' });
  expect(stderr).toMatch(/this machine offers no GPU to WebGPU[\s\S]*hybrid doctor/);
});

test.runIf(hasSwiftShader)('--gpu-report measures tiers, losses, kernels and steps, and tells of nobody', () => {
  const folder = tempFolder();
  const { args, env } = swiftShaderChild();
  const run = (argv: string[]) =>
    spawnSync(process.execPath, [...args, MAIN, 'doctor', ...argv], { encoding: 'utf8', cwd: folder, env: { ...process.env, ...env } });
  const refused = run(['--gpu-report', 'report']);
  expect(refused.stderr).toMatch(/which is software[\s\S]*--software/);
  const { status, stdout, stderr } = run(['--gpu-report', 'report', '--software']);
  expect(status, stderr).toBe(0);
  expect(stdout).toBe(`${join(folder, 'report.html')}\n${join(folder, 'report.json')}\n`);
  const text = readFileSync(join(folder, 'report.json'), 'utf8');
  const report = JSON.parse(text) as GpuReport;
  expect(report).toMatchObject({
    format: 'hybrid-gpu-report 1',
    machine: { webgpu: { adapter: { software: true }, selfTest: { passed: true } } },
  });
  const [tier] = report.tiers;
  expect(tier).toMatchObject({ precision: 'f32', problems: [] });
  expect(tier.losses?.gpu).toHaveLength(3);
  for (const [i, loss] of (tier.losses?.gpu ?? []).entries()) expect(loss).toBeCloseTo(tier.losses?.cpu[i] as number, 4);
  expect(tier.losses?.gpu[2]).not.toBe(tier.losses?.gpu[0]);
  expect(tier.kernels?.rows.length).toBeGreaterThan(10);
  expect(tier.steps).toEqual([expect.objectContaining({ arch: 'conv-pooling', batch: 2 })]);
  const page = readFileSync(join(folder, 'report.html'), 'utf8');
  expect(page).toContain('conv-pooling');
  expect(JSON.parse((/<script type="application\/json" id="report">(.*)<\/script>/.exec(page) as RegExpExecArray)[1])).toEqual(report);
  for (const secret of [folder, homedir(), hostname(), process.execPath]) expect(page).not.toContain(secret);
});
