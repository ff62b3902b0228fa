// hybrid doctor: on a machine as it is, as JSON, and as a table for bug reports.

import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { MachineReport } from '../../runtime/entries/tools.ts';

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
