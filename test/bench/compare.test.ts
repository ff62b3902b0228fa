// bench compare with rivals that are made up: who is found, in which order they run, what the table says of them.

import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { compareTraining, findRivals, formatComparison, type Rival } from '../../bench/compare.ts';
import { cli } from '../support/cli.ts';
import { tempFolder } from '../support/temp-folder.ts';

/** An interpreter that has `modules`, and whose scripts print `result`. */
function fakePython(folder: string, name: string, modules: object, result = ''): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\nif [ "$1" = -c ]; then echo '${JSON.stringify(modules)}'; else echo noise; echo '${result}'; fi\n`);
  chmodSync(path, 0o755);
  return path;
}

const options = {
  device: 'wasm',
  networks: [{ name: 'convmixer', options: ['--arch', 'convmixer', '--dim', '8'] }],
  batch: 2,
  steps: 1,
  rounds: 2,
  revectorize: false,
} as const;

describe('rivals', () => {
  test('are found where they are, the first of each kind', async () => {
    const folder = tempFolder();
    const keras = fakePython(folder, 'one', { keras: true, tensorflow: true, torch: false });
    const both = fakePython(folder, 'two', { keras: true, tensorflow: true, torch: true });
    mkdirSync(join(folder, 'node_modules', '@jax-js', 'jax'), { recursive: true });
    writeFileSync(join(folder, 'node_modules', '@jax-js', 'jax', 'package.json'), '{}');
    const names = async (pythons: string[], npm = folder) => (await findRivals(pythons, npm)).map(({ name }) => name);
    expect(await names([keras, both])).toEqual(['Keras', 'PyTorch', 'jax-js']);
    const said: string[] = [];
    const found = await findRivals([join(folder, 'missing'), keras], tempFolder(), { onLine: (line) => said.push(line) });
    expect(found.map(({ name }) => name)).toEqual(['Keras']);
    expect(said).toEqual([expect.stringMatching(/missing cannot be asked what it has: .*ENOENT/)]);
    expect(await names([], tempFolder())).toEqual([]);
  });

  test('run in turn with hybrid; slow ones once, and one that fails is left out aloud', async () => {
    const order: string[] = [];
    const rival = (name: string, stepMs: number, more: Partial<Rival> = {}): Rival => ({
      name,
      measure: async ({ batch }) => {
        order.push(name);
        if (stepMs < 0) throw new Error('first line\nno memory');
        return [{ system: `${name} 1.0`, batch, stepMs }];
      },
      ...more,
    });
    const said: string[] = [];
    const rivals = [
      rival('slow', 1e6, { smallBatch: 1 }),
      rival('broken', -1),
      rival('quick', 1e-3),
      rival('other', 1, { knows: ({ name }) => name === 'conv-pooling' }),
    ];
    const result = await compareTraining({ ...options, rivals, onLine: (line) => said.push(line) });
    expect(order).toEqual(['slow', 'broken', 'quick', 'quick']);
    expect(said).toContainEqual('convmixer: broken failed and is left out: no memory');
    const [own, slow, quick] = result.rows;
    expect([own.system, slow.system, quick.system]).toEqual(['hybrid', 'slow 1.0', 'quick 1.0']);
    expect(own.hybridIsFasterBy).toBe(1);
    expect(slow).toMatchObject({ batch: 1, imagesPerSecond: 1e-3 });
    expect(slow.hybridIsFasterBy).toBeCloseTo(own.imagesPerSecond / 1e-3, 6);
    expect(quick.hybridIsFasterBy).toBeLessThan(1);
    expect(formatComparison(result)).toMatch(
      /^.+, \d+ cores?, Node v.+\n\n\| model .+\n\| --- .+\n\| convmixer \| hybrid \| .+ \| {2}\|\n\| convmixer \| slow 1.0, batch 1 \| 1000000 \| 0.001 \| .+× \|\n/,
    );
  });
});

test('the table has no number in powers of ten', () => {
  const row = { arch: 'a', system: 'hybrid', batch: 64, stepMs: 37.4, imagesPerSecond: 1711.2, hybridIsFasterBy: 1 };
  const table = formatComparison({ cpu: 'c', cores: 2, node: 'v24', device: 'wasm', batch: 64, steps: 3, rounds: 3, rows: [row] });
  expect(table).toContain('| a | hybrid | 37 | 1,710 |  |');
});

test('the command: rivals in their processes, the table on stdout', async () => {
  const folder = tempFolder();
  const result = JSON.stringify({ peer: 'keras 3 on tensorflow 2', batch: 2, stepMs: 1e7 });
  const python = fakePython(folder, 'python', { keras: true, tensorflow: true, torch: false }, result);
  const argv = [
    'bench',
    'compare',
    '--arch',
    'convmixer,conv-pooling',
    '--batch',
    '2',
    '--steps',
    '1',
    '--rounds',
    '1',
    '--no-revectorize',
    '--python',
    python,
  ];
  const { status, stdout, stderr } = await cli([...argv, '--json'], { cwd: folder });
  expect({ status, stderr }).toEqual({
    status: 0,
    stderr: expect.stringMatching(/^comparing with Keras\nconvmixer: hybrid \d+ ms a step of 2\n/),
  });
  const { rows } = JSON.parse(stdout);
  expect(rows.map(({ arch }: { arch: string }) => arch)).toEqual(['convmixer', 'convmixer', 'conv-pooling', 'conv-pooling']);
  rows.length = 2;
  expect(rows).toMatchObject([{ system: 'hybrid' }, { system: 'keras 3 on tensorflow 2', stepMs: 1e7, imagesPerSecond: 2e-4 }]);
  expect(rows[1].hybridIsFasterBy).toBeGreaterThan(1000);
  expect((await cli(['bench', 'compare', '--arch', 'convmixr', '--python', python], { cwd: folder })).stderr).toMatch(
    /did you mean convmixer\?/,
  );
  const refused = await cli(['bench', 'compare', '--device', 'gpu'], { cwd: folder });
  expect(refused).toMatchObject({ status: 2, stderr: expect.stringMatching(/--device is "?gpu"?.*\n.*webgpu/) });
});

test('the network of a file of Keras: hybrid trains it, rivals are given it; one that cannot be read is told before', async () => {
  const folder = tempFolder();
  const result = JSON.stringify({ peer: 'keras 3 on tensorflow 2', batch: 2, stepMs: 1e7 });
  const python = fakePython(folder, 'python', { keras: true, tensorflow: true, torch: true }, result);
  const file = fileURLToPath(new URL('../golden/keras/pooled.keras', import.meta.url));
  const argv = (model: string) => [
    'bench',
    'compare',
    '--model',
    model,
    '--batch',
    '2',
    '--steps',
    '1',
    '--rounds',
    '1',
    '--no-revectorize',
    '--json',
    '--python',
    python,
  ];
  const { status, stdout, stderr } = await cli(argv(file), { cwd: folder });
  expect({ status, stderr }).toMatchObject({ status: 0, stderr: expect.stringContaining('pooled: hybrid ') });
  expect(JSON.parse(stdout).rows).toMatchObject([
    { arch: 'pooled', system: 'hybrid' },
    { arch: 'pooled', stepMs: 1e7 },
  ]);
  const missing = await cli(argv('missing.keras'), { cwd: folder });
  expect(missing).toMatchObject({ status: 5, stderr: expect.stringMatching(/^error\[E_CHECKPOINT\]: there is neither missing\.keras/) });
  const timed = await cli(['bench', 'train', '--model', file, '--batch', '2', '--steps', '1', '--warmup', '1', '--json'], { cwd: folder });
  expect(JSON.parse(timed.stdout)).toMatchObject({ batch: 2, peakRssMiB: expect.any(Number) });
  const both = await cli(['bench', 'train', '--model', file, '--arch', 'convmixer'], { cwd: folder });
  expect(both).toMatchObject({ status: 2, stderr: expect.stringContaining('--model and --arch exclude each other') });
});
