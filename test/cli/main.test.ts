// The executable as a process of its own: signals, pipes, kills. Needs dist (`npm run build`).

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RunFolder, type TrainEvent } from '../../runtime/index.ts';
import { tempFolder } from '../support/temp-folder.ts';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const data = mkdtempSync(join(tmpdir(), 'hybrid-test-data-'));

beforeAll(() => {
  const bytes = Uint8Array.from({ length: 80 * 3073 }, (_, i) => (i % 3073 === 0 ? (i / 3073) % 10 : Math.imul(i, 0x9e3779b1) >>> 24));
  writeFileSync(join(data, 'data_batch_1.bin'), bytes);
});
afterAll(() => rmSync(data, { recursive: true }));

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(argv: readonly string[], cwd: string): { child: ChildProcess; ended: Promise<Ended>; line(pattern: RegExp): Promise<void> } {
  const child = spawn(process.execPath, [MAIN, ...argv], { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  const ended = new Promise<Ended>((resolve) => child.on('close', (status) => resolve({ status, stdout, stderr })));
  const line = (pattern: RegExp) =>
    new Promise<void>((resolve, reject) => {
      const look = () => pattern.test(stdout) && resolve();
      child.stdout?.on('data', look);
      ended.then(() => reject(new Error(`ended before it said ${pattern}: ${stderr}`)));
      look();
    });
  return { child, ended, line };
}

/** Goes on until it is stopped. */
const ENDLESS = ['train', '--arch', 'convmixer', '--dim', '4', '--depth', '1', '--kernel', '3', '--patch', '8', '--data', data].concat([
  '--batch',
  '16',
  '--device',
  'reference',
  '--epochs',
  '1000000',
  '--patience',
  '0',
  '--name',
  'r',
  '--json',
]);

const eventsOf = (stdout: string): TrainEvent[] =>
  stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));

test('prints the version and the help', async () => {
  const cwd = tempFolder();
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  expect(await start(['--version'], cwd).ended).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
  const help = await start(['train', '--help'], cwd).ended;
  expect(help).toMatchObject({ status: 0, stderr: '' });
  expect(help.stdout).toContain('--weight-decay');
});

test('an error ends with its status', async () => {
  const { status, stdout, stderr } = await start(['train', '--lr', 'abc'], tempFolder()).ended;
  expect(status).toBe(2);
  expect(stdout).toBe('');
  expect(stderr).toMatch(/^error\[E_USAGE\]: .+\nhelp: .+\n$/);
});

test('a batch that does not fit in memory is refused with the largest that does', async () => {
  const cwd = tempFolder();
  const argv = ['train', '--device', 'wasm', '--dry-run', '--batch'];
  const { status, stderr } = await start([...argv, '40000'], cwd).ended;
  expect(status).toBe(9);
  expect(stderr).toMatch(/^error\[E_MEMORY\]: a batch of 40,?000 .*\nhelp: .*--batch \d+ .*\n$/m);
});

/** Where the tests themselves run under nohup, their children ignore it too; elsewhere than on Linux nothing is handled. */
const HANG_UP = /^SigIgn:.*[02468ace]$/m.test(process.platform === 'linux' ? readFileSync('/proc/self/status', 'utf8') : '');

describe.each([['SIGINT', 130], ['SIGTERM', 143], ...(HANG_UP ? ([['SIGHUP', 129]] as const) : [])] as const)('%s', (signal, expected) => {
  test(`saves and ends with ${expected}, soon`, async () => {
    const cwd = tempFolder();
    const { child, ended, line } = start(ENDLESS, cwd);
    await line(/"type":"step"[\s\S]*"type":"step"/); // some steps give way to newer ones before they are told
    const sent = performance.now();
    child.kill(signal);
    const { status, stdout, stderr } = await ended;
    expect(performance.now() - sent).toBeLessThan(3000);
    expect(status).toBe(expected);
    expect(stderr).toMatch(new RegExp(`^stopped by ${signal}: .*checkpoints.last\\nresume with: hybrid train --resume \\S+\\n$`));
    const events = eventsOf(stdout);
    expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'aborted' });
    expect(await (await RunFolder.open(join(cwd, 'runs', 'r'))).load('last')).not.toBeNull();
  });

  test('twice ends at once, with the checkpoint whole', async () => {
    const cwd = tempFolder();
    const { child, ended, line } = start(ENDLESS, cwd);
    await line(/"type":"checkpoint","kind":"last"/);
    child.kill(signal);
    child.kill(signal);
    expect((await ended).status).toBe(expected);
    expect(await (await RunFolder.open(join(cwd, 'runs', 'r'))).load('last')).not.toBeNull();
  });
});

test.skipIf(process.platform !== 'linux')('outlives its terminal under nohup', async () => {
  const child = spawn('nohup', [process.execPath, MAIN, ...ENDLESS], { cwd: tempFolder(), stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise((resolve) => child.on('close', resolve));
  const steps = () => new Promise<void>((resolve) => child.stdout?.once('data', () => resolve()));
  await steps();
  child.kill('SIGHUP');
  await steps();
  await steps();
  expect(child.exitCode).toBeNull();
  child.kill('SIGINT');
  expect(await ended).toBe(130);
});

test('ends quietly where the reader of its output goes away', async () => {
  const { child, ended, line } = start(ENDLESS, tempFolder());
  await line(/"type":"step"/);
  child.stdout?.destroy();
  const { status, stderr } = await ended;
  expect(status).toBe(141);
  expect(stderr).toBe('');
});

test('killed at any moment, the last checkpoint it told of is there, or a newer one', async () => {
  const cwd = tempFolder();
  for (let k = 0; k < 8; k++) {
    rmSync(join(cwd, 'runs'), { recursive: true, force: true });
    const { child, ended, line } = start(ENDLESS, cwd);
    await line(/"type":"checkpoint","kind":"last"/);
    await new Promise((resolve) => setTimeout(resolve, 40 * Math.random()));
    child.kill('SIGKILL');
    const events = eventsOf((await ended).stdout);
    const told = Math.max(...events.flatMap((event) => (event.type === 'checkpoint' && event.kind === 'last' ? [event.epoch] : [])));
    const checkpoint = await (await RunFolder.open(join(cwd, 'runs', 'r'))).load('last');
    expect(checkpoint?.progress.epoch).toBeGreaterThanOrEqual(told);
  }
});
