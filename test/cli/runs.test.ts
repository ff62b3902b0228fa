import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TrainEvent } from '../../runtime/index.ts';
import { cli } from '../support/cli.ts';
import { events, stepEvent } from '../support/run-events.ts';
import { tempFolder } from '../support/temp-folder.ts';

const cwd = mkdtempSync(join(tmpdir(), 'hybrid-test-'));
afterAll(() => rmSync(cwd, { recursive: true }));

function writeRun(name: string, config: object, list: readonly TrainEvent[], { time = '2031-05-09T10:00:00.000Z', torn = '' } = {}): void {
  const folder = join(cwd, 'runs', name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  writeFileSync(join(folder, 'metrics.jsonl'), list.map((event) => `${JSON.stringify(event)}\n`).join('') + torn);
  writeFileSync(join(folder, 'environment.json'), JSON.stringify([{ time, cpu: 'Some Processor', node: 'v20.19.0' }]));
}

beforeAll(() => {
  const config = { arch: 'convmixer', batch: 100, lr: 0.002, seed: 0 };
  writeRun('first', config, events());
  writeRun('second', { ...config, lr: 0.01 }, events({ epochs: 2, end: false }), { time: '2031-05-10T10:00:00.000Z', torn: '{"type":"st' });
  writeRun('third', config, [], { time: '2031-05-08T10:00:00.000Z' });
  mkdirSync(join(cwd, 'runs', 'no run'));
  mkdirSync(join(cwd, 'runs', 'damaged'));
  writeFileSync(join(cwd, 'runs', 'damaged', 'config.json'), '[');
  // Locks: of a process on another machine, which may be alive, and of one on this machine that is gone.
  writeFileSync(join(cwd, 'runs', 'third', 'lock.json'), '{"pid":4194303,"host":"another machine","began":"1","token":"x"}');
  writeFileSync(join(cwd, 'runs', 'second', 'lock.json'), JSON.stringify({ pid: 2 ** 30, host: hostname(), began: '1', token: 'x' }));
});

const runs = (...argv: string[]) => cli(['runs', ...argv], { cwd });

test('list: a line a run, the newest first; what is no run is passed over', async () => {
  const { status, stdout, stderr } = await runs('list');
  expect(status, stderr).toBe(0);
  const lines = stdout.trimEnd().split('\n');
  expect(lines.map((line) => line.split(' ')[0])).toEqual(['run', 'second', 'first', 'third']);
  expect(lines[1]).toMatch(/^second {2}convmixer +unfinished +2031-05-10 10:00 +2 +36\.00 % +– +195 +0:05$/);
  expect(lines[2]).toMatch(/^first +convmixer +completed +2031-05-09 10:00 +3 +54\.00 % +54\.32 % +195 +0:08$/);
  expect(lines[3]).toMatch(/ running .* 0 +– +– +– +0:00$/);
});

test.each([
  ['accuracy', ['first', 'second', 'third']],
  ['loss', ['first', 'second', 'third']],
  ['name', ['first', 'second', 'third']],
  ['date', ['second', 'first', 'third']],
])('list --sort %s --json', async (sort, names) => {
  const { stdout } = await runs('list', '--sort', sort, '--json');
  expect(JSON.parse(stdout).map(({ name }: { name: string }) => name)).toEqual(names);
});

test('list: a run that cannot be read is left out aloud', async () => {
  const metrics = join(cwd, 'runs', 'damaged', 'metrics.jsonl');
  writeFileSync(metrics, '');
  const { status, stdout, stderr } = await runs('list', '--json');
  rmSync(metrics);
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toHaveLength(3);
  expect(stderr).toMatch(/^warning: damaged is left out: .*config\.json is not a JSON object\n$/);
});

test('list without runs says so, not on stdout', async () => {
  expect(await cli(['runs', 'list'], { cwd: tempFolder() })).toEqual({ status: 0, stdout: '', stderr: 'there are no runs in runs\n' });
});

test('show: results, where the time went, settings, epochs; by name or path', async () => {
  const { status, stdout } = await runs('show', 'first');
  expect(status).toBe(0);
  expect(stdout).toContain('test        accuracy 54.32 %, loss 0.9000\n');
  expect(stdout).toContain('0:08: computing 72.0 %, data wait 8.0 %, validation 20.0 %');
  expect(stdout).toMatch(/^device {6}two threads; Some Processor$/m);
  expect(stdout).toMatch(/^3 \* +0\.6667 +60\.00 % +0\.7333 +54\.00 % +0\.002 +195 +10\.0 % +0:03$/m);
  expect((await runs('show', join('runs', 'first'))).stdout).toBe(stdout);
  const json = JSON.parse((await runs('show', 'first', '--json')).stdout);
  expect(json).toMatchObject({ state: 'completed', config: { lr: 0.002 }, timeShares: { dataWait: expect.closeTo(0.6) } });
});

test('compare: results beside each other, and only the settings that differ', async () => {
  const { stdout } = await runs('compare', 'first', 'second');
  expect(stdout).toMatch(/^lr +0\.002 +0\.01$/m);
  expect(stdout).toMatch(/^test accuracy +54\.32 % +–$/m);
  expect(stdout).not.toMatch(/^(seed|batch|arch)/m);
  expect(JSON.parse((await runs('compare', 'first', 'second', '--json')).stdout).settings).toEqual({ lr: [0.002, 0.01] });
});

describe('what is wrong is one sentence with a remedy', () => {
  test.each([
    [['show', 'none'], 5, /there is neither none nor runs.none/],
    [['show', 'no run'], 5, /no run is not a run folder/],
    [['show', 'damaged'], 5, /config.json is not a JSON object/],
    [['compare', 'first'], 2, /one run has nothing to be compared with/],
    [['list', '--sort', 'size'], 2, /--sort is "size"/],
    [[], 2, /runs needs the name of one of its commands: list, show, compare/],
  ] as const)('%s', async (argv, status, message) => {
    const result = await runs(...argv);
    expect(result.status).toBe(status);
    expect(result.stderr).toMatch(message);
    expect(result.stdout).toBe('');
  });
});

test('a run that failed says with what, until it is gone on with', async () => {
  const crash = (time: string) => {
    const error = { name: 'HybridError', code: 'E_DIVERGED', message: 'the loss is NaN', remedy: 'Lower the rate.' };
    writeFileSync(join(cwd, 'runs', 'failed', 'crash.json'), JSON.stringify({ time, error, events: [] }));
  };
  writeRun('failed', { batch: 100 }, events({ epochs: 1, end: false }));
  crash('2031-05-09T10:07:00.000Z');
  expect((await runs('show', 'failed')).stdout).toMatch(/^run +failed \(failed\)\nerror +E_DIVERGED: the loss is NaN\n/);
  expect(JSON.parse((await runs('show', 'failed', '--json')).stdout)).toMatchObject({
    state: 'failed',
    error: { code: 'E_DIVERGED', message: 'the loss is NaN' },
  });
  crash('2031-05-09T09:59:00.000Z'); // before the time at which the run was begun last
  expect((await runs('show', 'failed')).stdout).toMatch(/^run +failed \(unfinished\)\nfolder/);
  writeRun('failed', { batch: 100 }, events());
  crash('2031-05-09T10:07:00.000Z');
  expect((await runs('show', 'failed')).stdout).toMatch(/^run +failed \(completed\)\nfolder/);
  writeFileSync(join(cwd, 'runs', 'failed', 'crash.json'), '{');
  expect((await runs('show', 'failed')).status).toBe(0);
  rmSync(join(cwd, 'runs', 'failed'), { recursive: true });
});

test('a run that was rolled back shows what it did last', async () => {
  const list = events({ epochs: 2, end: false });
  writeRun('rolled', { batch: 100 }, [...list, { type: 'resume', reason: 'rolled back', epoch: 2, step: 2 }, stepEvent(2, 3)]);
  expect(JSON.parse((await runs('show', 'rolled', '--json')).stdout).epochs).toBe(1);
});
