import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RunRecord, seedGroups } from '../../runtime/entries/runs.ts';
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
  mkdirSync(join(cwd, 'config'));
  writeFileSync(join(cwd, 'config', 'config.json'), '{}');
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
  expect(stderr).toMatch(/^warning: damaged is skipped: .*config\.json is not a JSON object\n$/);
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
    [['compare', 'first'], 2, /runs compare needs at least two runs, got one/],
    [['list', '--sort', 'size'], 2, /--sort is "size"/],
    [['compare', 'first', 'second', '--figure', 'x.gif'], 2, /--figure is "x.gif"/],
    [['compare', ...Array<string>(9).fill('first'), '--figure', 'x.svg'], 2, /--figure draws at most 8 runs, and these are 9/],
    [['delete', 'none'], 5, /there is neither none nor runs.none/],
    [['delete', 'no run'], 5, /no run is not a run folder/],
    [['delete', 'config'], 5, /config is not a run folder: it has neither metrics\.jsonl nor checkpoints/],
    [['delete', 'third'], 8, /another machine/],
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

test('compare: curves as a picture, every epoch as a table, and what seeds come to', async () => {
  const config = { arch: 'convmixer', batch: 100, lr: 0.002 };
  for (const seed of [0, 1]) writeRun(`seed-${seed}`, { ...config, seed, name: `seed-${seed}` }, events());
  const files = ['--figure', 'curves.svg', '--csv', 'epochs.csv'];
  const { status, stdout, stderr } = await runs('compare', 'seed-0', 'seed-1', 'second', ...files);
  expect([status, stderr]).toEqual([0, 'wrote curves.svg\nwrote epochs.csv\n']);
  expect(stdout).toMatch(
    /^runs that differ in their seed alone +validation accuracy +test accuracy\nseed-0, seed-1 +54\.00 % ± 0\.00 % \(2\) +54\.32 % ± 0\.00 % \(2\)$/m,
  );
  expect(readFileSync(join(cwd, 'curves.svg'), 'utf8')).toMatch(/^<svg /);
  const lines = readFileSync(join(cwd, 'epochs.csv'), 'utf8').trimEnd().split('\n');
  expect(lines).toHaveLength(1 + 3 + 3 + 2);
  expect(lines[0]).toBe('run,epoch,train_loss,train_accuracy,validation_loss,validation_accuracy,lr,images_per_second,seconds');
  expect(lines[3]).toMatch(/^seed-0,3,0\.6\d+,0\.6\d+,0\.7\d+,0\.54,0\.002,/);
  const json = JSON.parse((await runs('compare', 'seed-0', 'seed-1', 'second', '--json')).stdout);
  expect(json.seeds).toEqual([{ runs: ['seed-0', 'seed-1'], validation: { mean: 0.54, deviation: 0, count: 2 }, test: expect.anything() }]);
  // Runs of one seed, or with other settings, are no measure of what the seed does.
  expect((await runs('compare', 'seed-0', 'second')).stdout).not.toContain('seed alone');
  for (const name of ['seed-0', 'seed-1']) rmSync(join(cwd, 'runs', name), { recursive: true });
});

test('the deviation is that of a sample', () => {
  const run = (seed: number, accuracy: number): RunRecord => {
    const list = events().map((event) => (event.type === 'end' ? { ...event, test: { loss: 1, accuracy } } : event));
    return RunRecord.from(`r${seed}`, { arch: 'convmixer', seed }, list);
  };
  const [group] = seedGroups([run(0, 0.5), run(1, 0.6), run(2, 0.7)]);
  expect(group.test).toEqual({ mean: expect.closeTo(0.6, 12), deviation: expect.closeTo(0.1, 12), count: 3 });
});

test('delete: the runs that are named, and nothing else; all or none', async () => {
  for (const name of ['old', 'old-2', 'kept']) writeRun(name, { arch: 'convmixer', name: 'old' }, events());
  expect((await runs('delete', 'old', 'none')).status).toBe(5);
  expect(existsSync(join(cwd, 'runs', 'old'))).toBe(true);
  // A link to a run is not the run.
  symlinkSync(join(cwd, 'runs', 'kept'), join(cwd, 'runs', 'link'));
  expect((await runs('delete', 'link')).stderr).toMatch(/link is a symbolic link/);
  expect(await runs('delete', 'old')).toEqual({ status: 0, stdout: `deleted ${join('runs', 'old')}\n`, stderr: '' });
  expect(['old', 'old-2', 'kept'].map((name) => existsSync(join(cwd, 'runs', name)))).toEqual([false, true, true]);
  expect(JSON.parse((await runs('delete', 'old-2', 'kept', '--json')).stdout).deleted).toHaveLength(2);
  rmSync(join(cwd, 'runs', 'link'));
});

test('a folder of pictures that is called as a run is does not hide the run', async () => {
  writeRun('photos', { arch: 'convmixer', name: 'photos', lr: 1 }, events());
  mkdirSync(join(cwd, 'photos', 'cat'), { recursive: true });
  expect(JSON.parse((await runs('show', 'photos', '--json')).stdout).name).toBe('photos');
  rmSync(join(cwd, 'runs', 'photos'), { recursive: true });
  // Without such a run the folder is what is meant, and is none.
  expect((await runs('show', 'photos')).stderr).toContain('photos is not a run folder');
  rmSync(join(cwd, 'photos'), { recursive: true });
});

test('a name that several runs were given is that of the newest', async () => {
  writeRun('again', { arch: 'convmixer', name: 'again', lr: 1 }, events());
  for (const [name, given] of [
    ['again-2', 'again'],
    ['again-10', 'again'],
    ['again-11', 'again-11'],
  ])
    writeRun(name, { name: given }, events({ epochs: 1 }));
  const { stdout, stderr } = await runs('show', 'again', '--json');
  expect(JSON.parse(stdout).name).toBe('again-10');
  expect(stderr).toBe(`again is the run ${join('runs', 'again-10')}, the newest of that name; the first one is ${join('runs', 'again')}\n`);
  for (const path of [join('runs', 'again'), join(cwd, 'runs', 'again')])
    expect(JSON.parse((await runs('show', path, '--json')).stdout).name).toBe('again');
  for (const name of ['again', 'again-2', 'again-10', 'again-11']) rmSync(join(cwd, 'runs', name), { recursive: true });
});
