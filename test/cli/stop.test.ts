// Ctrl-C in commands other than train: they end with the status of the signal, and say nothing.

import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { nodeFiles } from '../../runtime/entries/internal.ts';
import { tinyTraining, writeCifar10 } from '../support/cifar10-folder.ts';
import { cli } from '../support/cli.ts';
import { tempFolder } from '../support/temp-folder.ts';

const TINY = ['--arch', 'convmixer', '--dim', '4', '--depth', '1', '--kernel', '3', '--patch', '8', '--batch', '4'];

test.each([
  [['bench', 'data', '--images', '64', '--workers', '1', '--rows', '64']],
  [['bench', 'kernels', ...TINY, '--device', 'wasm']],
  [['bench', 'train', ...TINY, '--device', 'wasm']],
  [['bench', ...TINY]],
  [['doctor']],
  [['data', 'verify', 'synthetic']],
])('%j', async (argv) => {
  for (const [reason, status] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    expect(await cli([...argv, '--json'], { signal: AbortSignal.abort(reason) })).toEqual({ status, stdout: '', stderr: '' });
  }
});

test('eval and visualize end after the stage in which it came', async () => {
  const cwd = tempFolder();
  mkdirSync(join(cwd, 'images'));
  writeCifar10(join(cwd, 'images'));
  const argv = ['train', ...tinyTraining('images', 'reference'), '--no-figures', '--quiet', '--epochs', '1', '--name', 'r'];
  expect((await cli(argv, { cwd })).status).toBe(0);
  const before = readdirSync(join(cwd, 'runs', 'r'));
  for (const command of [
    ['eval', 'r'],
    ['visualize', 'r', '--figures', 'curves'],
  ]) {
    const controller = new AbortController();
    const files = {
      ...nodeFiles,
      readInto(path: string, target: Uint8Array) {
        controller.abort('SIGINT'); // while the data is read
        return nodeFiles.readInto(path, target);
      },
    };
    const result = await cli([...command, '--device', 'reference', '--json'], { cwd, files, signal: controller.signal });
    expect(result).toEqual({ status: 130, stdout: '', stderr: '' });
  }
  expect(readdirSync(join(cwd, 'runs', 'r'))).toEqual(before);
});
