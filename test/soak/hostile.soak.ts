// Hostile input in full numbers; the seed is printed, and a failure names the input by it.

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import {
  attackArchives,
  attackCommandLines,
  attackConfigurations,
  attackImages,
  attackNpz,
  attackOnnx,
  attackPickles,
  attackSafetensors,
  attackTorch,
  checkedStatuses,
  hostileArgv,
} from '../support/hostile.ts';
import { tempFolder } from '../support/temp-folder.ts';

const newSeed = (): number => Math.floor(Math.random() * 2 ** 31);

it.each([
  ['safetensors files', 1_000_000, attackSafetensors],
  ['.npz files', 100_000, attackNpz],
  ['pickles', 1_000_000, attackPickles],
  ["PyTorch's files", 1_000_000, attackTorch],
  ['ONNX files', 200_000, attackOnnx],
  ['archives', 5000, attackArchives],
  ['images', 5000, attackImages],
  ['command lines', 50_000, attackCommandLines],
  ['configuration files', 50_000, attackConfigurations],
] as const)('%s', async (what, count, attack) => {
  const seed = newSeed();
  const before = process.memoryUsage.rss();
  const { accepted, refused, slowest } = await attack(count, seed);
  const grown = (process.memoryUsage.rss() - before) / 2 ** 20;
  process.stderr.write(
    `${what}, seed ${seed}: ${accepted} accepted, ${refused} refused, the slowest took ${slowest.toFixed(0)} ms, memory grew by ${grown.toFixed(0)} MiB\n`,
  );
  expect(refused).toBeGreaterThan(count / 10);
  expect(grown).toBeLessThan(1024);
});

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

it('500 command lines as processes', async () => {
  const cwd = tempFolder();
  const seed = newSeed();
  const tally = new Map<number | null, number>();
  for (let i = 0; i < 500; i++) {
    // The system itself refuses arguments with a zero in them.
    const argv = hostileArgv(seed + i).map((word) => word.replaceAll('\0', ''));
    const child = spawn(process.execPath, [MAIN, ...argv], { cwd, stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 });
    let stderr = '';
    child.stdout.resume();
    child.stderr.setEncoding('utf8').on('data', (text) => {
      stderr += text;
    });
    const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
    expect([...checkedStatuses], `${i} of seed ${seed}: ${JSON.stringify(argv)}: ${stderr}`).toContain(status);
    expect(status, stderr).not.toBe(1);
    tally.set(status, (tally.get(status) ?? 0) + 1);
  }
  process.stderr.write(`500 processes, seed ${seed}: statuses ${JSON.stringify([...tally])}\n`);
  expect(readdirSync(cwd)).toEqual([]);
});
