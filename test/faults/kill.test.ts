// Case 1 and 17: processes that are killed. What was told to be saved is there, and a run that goes on is the run that was not killed. Needs dist.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { readSafetensors } from '../../runtime/entries/formats.ts';
import { tinyTraining, writeCifar10 } from '../support/cifar10-folder.ts';
import { killWhileSaving } from '../support/kill.ts';
import { tempFolder } from '../support/temp-folder.ts';

test('killed while an 8 MiB state is saved as fast as it can: the newest loadable state is not older than the last one told', async () => {
  const { kills, saves } = await killWhileSaving(5, tempFolder(), Math.random);
  expect(saves).toBeGreaterThanOrEqual(kills);
});

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** Runs the command line; `onLine` may end it. */
function hybrid(argv: readonly string[], cwd: string, onLine?: (line: string, kill: () => void) => void): Promise<number | null> {
  const child = spawn(process.execPath, [MAIN, ...argv], { cwd, stdio: ['ignore', 'pipe', 'inherit'] });
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onLine?.(line, () => child.kill('SIGKILL'));
  });
  return new Promise((resolve) => child.on('close', resolve));
}

/** SHA-256 of the parameters, by name. */
function parametersOf(run: string): string {
  const { tensors } = readSafetensors(readFileSync(join(run, 'checkpoints', 'last', 'model.safetensors')));
  const hash = createHash('sha256');
  for (const [name, { data }] of tensors) hash.update(name).update(new Uint8Array(data.buffer));
  return hash.digest('hex');
}

test('four epochs in one go are two, a kill and two more, with other numbers of threads', async () => {
  const cwd = tempFolder();
  mkdirSync(join(cwd, 'images'));
  writeCifar10(join(cwd, 'images'));
  const argv = ['train', ...tinyTraining('images', 'wasm'), '--epochs', '4', '--json'];
  expect(await hybrid([...argv, '--name', 'whole', '--threads', '2'], cwd)).toBe(0);
  const whole = parametersOf(join(cwd, 'runs', 'whole'));
  for (const [before, after] of [
    ['1', '3'],
    ['3', '1'],
  ]) {
    const name = `cut-${before}`;
    const killed = await hybrid([...argv, '--name', name, '--threads', before, '--checkpoint-every', '1'], cwd, (line, kill) => {
      if (/"type":"checkpoint","kind":"last","epoch":2/.test(line)) kill();
    });
    expect(killed === null || killed === 0).toBe(true); // it may have been faster than the kill
    expect(await hybrid(['train', '--resume', name, '--threads', after, '--json'], cwd)).toBe(0);
    expect(parametersOf(join(cwd, 'runs', name))).toBe(whole);
  }
});
