// Ctrl-C in commands other than train: they end with the status of the signal, and say nothing.

import { expect, test } from 'vitest';
import { cli } from '../support/cli.ts';

const TINY = ['--arch', 'convmixer', '--dim', '4', '--depth', '1', '--kernel', '3', '--patch', '8', '--batch', '4'];

test.each([
  [['bench', 'data', '--images', '64', '--workers', '1', '--rows', '64']],
  [['bench', 'kernels', ...TINY, '--device', 'wasm']],
  [['bench', 'train', ...TINY, '--device', 'wasm']],
  [['bench', ...TINY]],
])('%j', async (argv) => {
  for (const [reason, status] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    expect(await cli([...argv, '--json'], { signal: AbortSignal.abort(reason) })).toEqual({ status, stdout: '', stderr: '' });
  }
});
