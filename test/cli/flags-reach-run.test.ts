// Flags do not only parse: each reaches the run with its own value. What a run was trained with is in its checkpoint.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readSafetensors } from '../../runtime/entries/formats.ts';
import { writeCifar10 } from '../support/cifar10-folder.ts';
import { cli } from '../support/cli.ts';
import { tempFolder } from '../support/temp-folder.ts';

const MODEL = ['--arch', 'convmixer', '--dim', '4', '--depth', '1', '--kernel', '3', '--patch', '8'];

/** A run of one epoch in a folder of its own. */
async function run(...flags: string[]) {
  const cwd = tempFolder();
  writeCifar10(cwd);
  const common = ['--data', '.', '--limit', '60', '--batch', '16', '--epochs', '1', '--name', 'r', '--no-figures'];
  const result = await cli(['train', ...MODEL, ...common, ...(flags.includes('--device') ? [] : ['--device', 'reference']), ...flags], {
    cwd,
  });
  const bytes = (...path: string[]) => readFileSync(join(cwd, 'runs', 'r', ...path));
  return { ...result, bytes, file: (...path: string[]) => bytes(...path).toString() };
}

test('what decides the bits of a run', async () => {
  const { status, file, bytes } = await run(
    ...['--weight-decay', '0.07', '--recalibrate-bn', '3', '--bn-momentum', '0.25', '--dropout', '0.375', '--lr', '0.011'],
    ...['--patience', '5', '--seed', '77', '--augment', 'flip', '--schedule', 'cosine', '--no-shuffle'],
  );
  expect(status).toBe(0);
  const state = JSON.parse(file('checkpoints', 'last', 'state.json'));
  expect(state.progress.settings).toMatchObject({
    ...{ 'weight-decay': '0.07', 'recalibrate-bn': '3', 'bn-momentum': '0.25', lr: '0.011', patience: '5', seed: '77', batch: '16' },
    ...{ augment: 'crop 0, flip true', shuffle: 'false', schedule: 'cosine' },
  });
  const { metadata } = readSafetensors(bytes('checkpoints', 'last', 'model.safetensors'));
  expect(JSON.parse(metadata.get('hybrid') as string).architecture).toEqual({
    ...{ arch: 'convmixer', input: [32, 32, 3], classes: 10, dropout: 0.375 },
    ...{ dim: 4, depth: 1, kernel: 3, patch: 8 },
  });
});

describe('--on-nan', () => {
  test('skip: steps are left out, as many as are allowed', async () => {
    const { status, stderr } = await run('--lr', '1e30', '--on-nan', 'skip');
    expect(stderr).toMatch(/Skipped \(1 in a row/);
    expect([0, 6]).toContain(status);
  });
  test('rollback: the run resumes from the state before', async () => {
    const { stderr } = await run('--lr', '1e30', '--on-nan', 'rollback');
    expect(stderr).toMatch(/Back to the state after step 0 of epoch 1, with 0\.5 times the learning rate/);
  });
  test('stop, the default: neither', async () => {
    const { stderr } = await run('--lr', '1e30');
    expect(stderr).toMatch(/error\[E_DIVERGED\]/);
    expect(stderr).not.toMatch(/Skipped|Back to the state/);
  });
});

test('--data-on-device on: a device that cannot have the images refuses, and off does not ask it', async () => {
  expect((await run('--data-on-device', 'on')).stderr).toMatch(/error\[E_USAGE\]: the training images cannot be stored on the device/);
  expect(await run('--data-on-device', 'off')).toMatchObject({ status: 0 });
});

test('--threads and --no-revectorize: the device that the run has', async () => {
  const { file } = await run('--device', 'wasm', '--threads', '3', '--no-revectorize');
  const [{ device }] = JSON.parse(file('environment.json'));
  expect(device.description).toMatch(/3 threads/);
  expect(device.description).not.toContain('revectorized');
});
