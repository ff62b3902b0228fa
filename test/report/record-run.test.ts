// A run that a program records has what one of the command line has: metrics, environment, report, figures, and the crash where it comes to one.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { recordRun } from '../../app/run/record-run.ts';
import { RunFolder } from '../../app/run/run-folder.ts';
import { abortError } from '../../runtime/base/errors.ts';
import type { Batch, BatchMetrics, Device, Executable, RunOptions } from '../../runtime/device.ts';
import { ForwardingExecutable } from '../../runtime/forwarding.ts';
import { openReferenceDevice } from '../../runtime/reference.ts';
import type { TrainEvent, TrainOptions } from '../../runtime/train/events.ts';
import { train } from '../../runtime/train/run.ts';
import { hybridError } from '../support/expect-error.ts';
import { smallModel, smallOptions } from '../support/runs.ts';
import { tempFolder } from '../support/temp-folder.ts';

const device = openReferenceDevice();
afterAll(() => device.close());

/** Its steps end only by being stopped. */
class Never extends ForwardingExecutable {
  protected readonly target: Executable;

  constructor(target: Executable) {
    super();
    this.target = target;
  }

  override gradient(_: Batch, { signal }: RunOptions = {}): Promise<BatchMetrics> {
    return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(abortError(signal))));
  }
}

const create = (name: string) => RunFolder.create({ out: tempFolder(), name, config: { arch: 'mine' } });
const options = (folder: RunFolder, changes: Partial<TrainOptions> = {}) => ({ ...smallOptions({ device, ...changes }), store: folder });
const linesOf = (folder: RunFolder): TrainEvent[] =>
  readFileSync(join(folder.location, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

test('a whole run leaves metrics, environment, report, figures and checkpoints', async () => {
  const folder = await create('whole');
  const given = options(folder);
  const told: string[] = [];
  const order: string[] = [];
  const { result, saved, isKept } = await recordRun(train(given), folder, {
    ...{ device, choice: 'asked for', figures: { ...given, model: smallModel }, tensorboard: true },
    onEvent: ({ type }) => told.push(type),
    onResult: ({ reason }) => order.push(reason),
    onStatus: (text) => order.push(`${text}`),
  });
  await folder.close();
  expect(result).toMatchObject({ reason: 'completed', epochs: 2, run: folder.location });
  expect({ kind: saved?.kind, isKept }).toEqual({ kind: 'last', isKept: true });
  expect(linesOf(folder).map(({ type }) => type)).toEqual(told);
  expect(told.filter((type) => type === 'epoch')).toHaveLength(2);
  expect(order.slice(0, 3)).toEqual(['null', 'completed', 'drawing figures']);
  const environment = JSON.parse(readFileSync(join(folder.location, 'environment.json'), 'utf8'));
  expect(environment).toMatchObject([{ selfTest: { passed: true } }]);
  expect(JSON.stringify(environment)).toContain('asked for');
  expect(readFileSync(join(folder.location, 'report.html'), 'utf8')).toContain('<svg');
  expect(readdirSync(join(folder.location, 'figures'))).toContain('curves.png');
  expect(readdirSync(folder.location).some((name) => name.startsWith('events.out.tfevents'))).toBe(true);
  expect(readdirSync(join(folder.location, 'checkpoints')).sort()).toEqual(['best', 'last']);
  expect(existsSync(join(folder.location, 'lock.json'))).toBe(false);
});

test('a run that goes on continues its metrics, with the configuration of now', async () => {
  const folder = await create('resumed');
  await recordRun(train(options(folder, { epochs: 1 })), folder, { device });
  await folder.close();
  const again = await RunFolder.reopen(folder.location);
  const resume = (await again.newest())?.checkpoint;
  await recordRun(train(options(again, { resume })), again, { device, resume, config: { arch: 'mine', epochs: 2 } });
  await again.close();
  const lines = linesOf(folder);
  expect(lines.flatMap((event) => (event.type === 'epoch' ? [event.epoch] : []))).toEqual([1, 2]);
  expect(lines.filter(({ type }) => type === 'start')).toHaveLength(2);
  expect(JSON.parse(readFileSync(join(folder.location, 'config.json'), 'utf8'))).toEqual({ arch: 'mine', epochs: 2 });
  expect(JSON.parse(readFileSync(join(folder.location, 'environment.json'), 'utf8'))).toHaveLength(2);
});

test('without figures the report compares with guessing, on the images that were measured', async () => {
  const folder = await create('bare');
  const given = options(folder);
  await recordRun(train(given), folder, { device, measured: given });
  await folder.close();
  const page = readFileSync(join(folder.location, 'report.html'), 'utf8');
  expect(page).toMatch(/answering &quot;[^&]*&quot; for every image gives|answering "[^"]*" for every image gives/);
  expect(existsSync(join(folder.location, 'figures'))).toBe(false);
});

test('a run that fails leaves crash.json and a report that says so', async () => {
  const folder = await create('failed');
  const error = await hybridError('E_DIVERGED', recordRun(train(options(folder, { learningRate: 1e200 })), folder, { device }));
  await folder.close();
  expect(JSON.parse(readFileSync(join(folder.location, 'crash.json'), 'utf8')).error).toMatchObject({ code: 'E_DIVERGED' });
  expect(readFileSync(join(folder.location, 'report.html'), 'utf8')).toContain(error.message.slice(0, 20));
});

test('a run that cannot begin leaves no folder, and one that is stopped before its first step neither', async () => {
  const wrong = await create('wrong');
  await hybridError('E_USAGE', recordRun(train(options(wrong, { batch: 0 })), wrong, { device }));
  await wrong.close();
  expect(existsSync(wrong.location)).toBe(false);

  const stopped = await create('stopped');
  const controller = new AbortController();
  const never: Device = {
    ...device,
    compile: async (graphs, about) => new Never(await device.compile(graphs, about)),
  };
  const run = train(options(stopped, { device: never, signal: controller.signal }));
  const { result, saved, isKept } = await recordRun(run, stopped, { device, onEvent: () => controller.abort() });
  await stopped.close();
  expect({ reason: result.reason, saved, isKept }).toEqual({ reason: 'aborted', saved: null, isKept: false });
  expect(existsSync(stopped.location)).toBe(false);
});

test('a disk that refuses the metrics ends the run with it', async () => {
  const folder = await create('full');
  const refuse = new Proxy(folder, {
    get(target, key) {
      if (key === 'addEnvironment') return () => Promise.reject(new Error('full'));
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const run = train(options(folder, { epochs: 500 }));
  await expect(recordRun(run, refuse, { device })).rejects.toThrow('full');
  expect((await run.result).reason).toBe('aborted');
  await folder.close();
});
