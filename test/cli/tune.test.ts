// hybrid tune: shows what is kept in the cache; without a GPU, or with one that is software, nothing is measured.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { tuneStore } from '../../app/tune.ts';
import { type TunedGpu, type TunedSite, writeTuneFile } from '../../gpu/host/tune-file.ts';
import { hasSwiftShader, swiftShaderChild } from '../support/swiftshader.ts';
import { tempFolder } from '../support/temp-folder.ts';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

const tune = (argv: string[], cache: string, env: Record<string, string> = {}, args: readonly string[] = []) =>
  spawnSync(process.execPath, [...args, MAIN, 'tune', ...argv], {
    encoding: 'utf8',
    env: { ...process.env, VK_ICD_FILENAMES: '/nowhere.json', XDG_CACHE_HOME: cache, ...env },
  });

const GPU: TunedGpu = {
  vendor: 'nvidia',
  architecture: 'ada',
  device: 'RTX 4070',
  description: 'driver 1',
  precision: 'f32',
  hybrid: '0.1.0',
};
const SITES = new Map<string, TunedSite>([
  [
    'conv 1×1, 32768×256×256, with sums',
    { choice: '128×64, 8×4 each', milliseconds: { '128×64, 8×4 each, prefetched': 0.5, '128×64, 8×4 each': 0.25 } },
  ],
  ['conv 2×2 by 2×2, 32768×12×256, with sums', { choice: '128×64, 8×4 each, prefetched', milliseconds: {} }],
]);

test.runIf(process.platform === 'linux')('shows what is kept, for people and as JSON; what cannot be read is left out', async () => {
  const cache = tempFolder();
  expect(tune([], cache)).toMatchObject({ status: 0, stderr: '', stdout: expect.stringMatching(/^No kernel has been measured/) });
  const folder = join(cache, 'hybrid', 'tune');
  await writeTuneFile(tuneStore(join(cache, 'hybrid')), GPU, SITES);
  writeFileSync(join(folder, 'broken.json'), '{');
  mkdirSync(join(folder, 'folder.json'));
  const { status, stdout, stderr } = tune([], cache);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const [title, ...rows] = stdout.trimEnd().split('\n');
  expect(title).toBe('RTX 4070 (driver 1), f32, hybrid 0.1.0');
  expect(rows.map((row) => row.trim().replaceAll(/ {2,}/g, ' | '))).toEqual([
    'conv 1×1, 32768×256×256, with sums | 128×64, 8×4 each | 128×64, 8×4 each, prefetched: 0.500 ms; → 128×64, 8×4 each: 0.250 ms',
    'conv 2×2 by 2×2, 32768×12×256, with sums | 128×64, 8×4 each, prefetched | not measured: the half second was over',
  ]);
  expect(JSON.parse(tune(['--json'], cache).stdout)).toEqual([{ gpu: GPU, sites: Object.fromEntries(SITES) }]);
});

test.runIf(process.platform === 'linux')('--renew needs a GPU', () => {
  const cache = tempFolder();
  expect(tune(['--renew'], cache)).toMatchObject({
    status: 3,
    stdout: '',
    stderr: expect.stringContaining('this machine offers no GPU to WebGPU'),
  });
  expect(existsSync(join(cache, 'hybrid', 'tune'))).toBe(false);
});

test.runIf(hasSwiftShader)('--renew does not race on software', () => {
  const cache = tempFolder();
  const { args, env } = swiftShaderChild();
  const { status, stderr } = tune(['--renew', '--arch', 'conv-pooling', '--batch', '2'], cache, env, args);
  expect(status).toBe(3);
  expect(stderr).toMatch(/the only GPU of this machine is swiftshader.* which is software/);
  expect(existsSync(join(cache, 'hybrid', 'tune'))).toBe(false);
});
