import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { CliIo } from '../../cli/io.ts';
import { readSafetensors } from '../../runtime/entries/formats.ts';
import { type Files, nodeFiles } from '../../runtime/entries/internal.ts';
import type { TrainEvent } from '../../runtime/index.ts';
import { writeCifar10 } from '../support/cifar10-folder.ts';
import { type CliResult, cli } from '../support/cli.ts';
import { faultyFiles } from '../support/faulty-files.ts';
import { tempFolder } from '../support/temp-folder.ts';

/** A moment's worth of training: a tiny model on a few images, on the device that needs no build. */
const TINY = ['--arch', 'convmixer', '--dim', '4', '--depth', '1', '--kernel', '3', '--patch', '8'];
const folder = mkdtempSync(join(tmpdir(), 'hybrid-test-data-'));
const PLAIN = [...TINY, '--data', folder, '--limit', '60', '--batch', '16', '--device', 'reference', '--bn-momentum', '0.5'];
const SMALL = [...PLAIN, '--no-figures'];

/** 80 images for training and 20 for the test, in CIFAR-10's format. */
beforeAll(() => {
  writeCifar10(folder);
});
afterAll(() => rmSync(folder, { recursive: true }));

const train = (argv: readonly string[], io?: Partial<CliIo>): Promise<CliResult> => cli(['train', ...SMALL, ...argv], io);

const eventsOf = (lines: string): TrainEvent[] =>
  lines
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

describe('a run', () => {
  test('keeps its word: result on stdout, progress on stderr, everything in the run folder', async () => {
    const cwd = tempFolder();
    const { status, stdout, stderr } = await train(['--epochs', '2', '--name', 'first'], { cwd });
    expect(stderr).not.toMatch(/error/);
    expect(status).toBe(0);
    expect(stdout).toMatch(
      /^test accuracy \d+\.\d\d %, loss \d.*\(CIFAR-10 test set, 20 images\)\nbest weights of epoch [12] of 2: validation loss .*\nrun folder runs.first\n$/,
    );
    expect(stdout + stderr).not.toContain('\x1b');
    expect(stderr).toMatch(/limited to the first 60 training, 8 validation and 20 test images/);
    expect(stderr).toMatch(/^epoch 1\/2 .* \*best .*images\/s.*\n(?!.*val_loss improved)/m);

    const run = join(cwd, 'runs', 'first');
    expect(readdirSync(run).sort()).toEqual(['checkpoints', 'config.json', 'environment.json', 'metrics.jsonl', 'report.html']);
    const [environment] = JSON.parse(readFileSync(join(run, 'environment.json'), 'utf8'));
    expect(environment).toMatchObject({ node: process.version, selfTest: { passed: true, tensor: expect.any(String) } });
    const events = eventsOf(readFileSync(join(run, 'metrics.jsonl'), 'utf8'));
    expect(events[0]).toMatchObject({
      type: 'start',
      schema: 1,
      trainImages: 60,
      validationImages: 8,
      testImages: 20,
      stepsPerEpoch: 4,
    });
    expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'completed', epochs: 2 });
    const weights = readSafetensors(readFileSync(join(run, 'checkpoints', 'best', 'model.safetensors')));
    expect(weights.tensors.get('layers/conv2d/vars/0')?.shape).toEqual([8, 8, 3, 4]);
    const optimizer = readSafetensors(readFileSync(join(run, 'checkpoints', 'last', 'optimizer.safetensors')));
    expect(Number(optimizer.tensors.get('optimizer/vars/0')?.data[0])).toBe(8);
  });

  test('is the same again from its own configuration, under another name', async () => {
    const cwd = tempFolder();
    await train(['--epochs', '1', '--seed', '7', '--name', 'a', '--quiet'], { cwd });
    const again = await cli(['train', '-c', join('runs', 'a', 'config.json'), '--quiet'], { cwd });
    expect(again).toMatchObject({ status: 0, stderr: '' });
    expect(again.stdout).toContain('run folder runs/a-2'.replace('/', join('a', 'b')[1]));
    const weights = (name: string) => readFileSync(join(cwd, 'runs', name, 'checkpoints', 'last', 'model.safetensors'));
    const last = (name: string) => readSafetensors(weights(name)).tensors;
    expect(last('a-2')).toEqual(last('a'));
    const config = (name: string) => JSON.parse(readFileSync(join(cwd, 'runs', name, 'config.json'), 'utf8'));
    expect(config('a-2')).toEqual(config('a'));
  });

  test('with --json is one event a line, and nothing else anywhere', async () => {
    const { status, stdout, stderr } = await train(['--epochs', '1', '--json']);
    expect(status).toBe(0);
    expect(stderr).toBe('');
    const events = eventsOf(stdout);
    const of = <T extends TrainEvent['type']>(type: T) =>
      events.filter((event) => event.type === type) as Extract<TrainEvent, { type: T }>[];
    expect(events[0]).toMatchObject({ type: 'start', schema: 1 });
    expect(of('step')[0]).toMatchObject({ epoch: 1, step: expect.any(Number), loss: expect.any(Number), lr: 0.002 });
    const [epoch] = of('epoch');
    expect(epoch.validation?.accuracy).toBeLessThanOrEqual(1);
    expect(Object.keys(epoch)).toEqual(expect.arrayContaining(['epoch', 'train', 'validation', 'imagesPerSecond', 'seconds', 'best']));
    const [end] = of('end');
    expect(end.test?.accuracy).toBeGreaterThanOrEqual(0);
    expect(existsSync(end.run as string)).toBe(true);
    // Whose and when: also where several runs write to one stream.
    for (const event of events as unknown as Record<string, string>[]) {
      expect(event.runId).toBe(basename(end.run as string));
      expect(new Date(event.time).toISOString()).toBe(event.time);
    }
  });

  test('with --quiet says only the result', async () => {
    const { stdout, stderr } = await train(['--epochs', '1', '--quiet']);
    expect(stderr).toBe('');
    expect(stdout.split('\n')).toHaveLength(4);
  });

  test('without validation watches the training loss', async () => {
    const { status, stdout, stderr } = await train([
      '--epochs',
      '1',
      '--val-fraction',
      '0',
      '--no-shuffle',
      '--augment',
      'none',
      '--schedule',
      'cosine',
    ]);
    expect(status).toBe(0);
    expect(stdout).toContain('training loss');
    expect(stderr).toMatch(/^epoch 1\/1 {2}loss \S+ acc \S+ {2}\d:\d\d \*best/m);
  });

  test('on a terminal redraws a line and leaves none behind', async () => {
    let written = '';
    const terminal = { isTTY: true, columns: 100, write: (text: string) => void (written += text) };
    expect((await train(['--epochs', '1'], { stderr: terminal })).status).toBe(0);
    expect(written).toContain('\repoch 1/1 ');
    expect(written.split('\x1b[J').at(-1)).not.toContain('left');
  });
});

describe('figures at the end', () => {
  const figured = (argv: readonly string[], io?: Partial<CliIo>) => cli(['train', ...PLAIN, '--epochs', '1', '--name', 'r', ...argv], io);

  test('are files and parts of the page, which needs nothing from outside', async () => {
    const cwd = tempFolder();
    const { status, stderr } = await figured(['--tensorboard'], { cwd });
    expect(status).toBe(0);
    expect(stderr).not.toMatch(/warning: (?!4 steps are too few|There is no validation image of 2 of 10|\d+ test images are)/);
    const run = join(cwd, 'runs', 'r');
    expect(readdirSync(join(run, 'figures'))).toEqual([
      'augmented.png',
      'confusion.png',
      'curves.png',
      'depthwise-block-1.png',
      'feature-maps.png',
      'misclassified.png',
      'patch-embedding.png',
      'samples.png',
    ]);
    const page = readFileSync(join(run, 'report.html'), 'utf8');
    expect(page).toContain('Confusion matrix');
    expect(page).not.toMatch(/<script|http-equiv="refresh"|(src|href)="(?!data:)/);
    const tensorboard = readdirSync(run).filter((name) => name.includes('tfevents'));
    expect(tensorboard).toHaveLength(1);
    expect(readFileSync(join(run, tensorboard[0])).includes('figures/confusion')).toBe(true);
  });

  test('that cannot be written are a warning, and the run is a success', async () => {
    const cwd = tempFolder();
    const files: Files = {
      ...nodeFiles,
      mkdir: (path) => (path.endsWith('figures') ? Promise.reject(new Error('no figures today')) : nodeFiles.mkdir(path)),
    };
    const { status, stdout, stderr } = await figured([], { cwd, files });
    expect(status).toBe(0);
    expect(stdout).toContain('test accuracy');
    expect(stderr).toContain('warning: figures are missing: no figures today');
    expect(readFileSync(join(cwd, 'runs', 'r', 'report.html'), 'utf8')).toContain('completed');
  });
});

test('without a network `auto` trains on the built-in set, says so loudly, and keeps that in its configuration', async () => {
  const cwd = tempFolder();
  const argv = [
    'train',
    ...TINY,
    '--data-url',
    'http://127.0.0.1:1/none.tar.gz',
    '--limit',
    '20',
    '--epochs',
    '1',
    '--device',
    'reference',
    '--name',
    'r',
    '--quiet',
  ];
  const cache = process.env.XDG_CACHE_HOME;
  process.env.XDG_CACHE_HOME = join(cwd, 'cache');
  onTestFinished(() => {
    if (cache === undefined) delete process.env.XDG_CACHE_HOME;
    else process.env.XDG_CACHE_HOME = cache;
  });
  const { status, stdout, stderr } = await cli(argv, { cwd });
  expect(status).toBe(0);
  expect(stderr).toContain('*** NOT CIFAR-10 ***');
  expect(stdout).toContain('(synthetic test set');
  expect(JSON.parse(readFileSync(join(cwd, 'runs', 'r', 'config.json'), 'utf8')).data).toBe('synthetic');

  const strict = await cli([...argv, '--data', 'cifar10'], { cwd });
  expect(strict.status).toBe(4);
  expect(strict.stderr).toMatch(/^error\[E_NETWORK\]: .+\nhelp: .+\n$/);
});

describe('eval', () => {
  test('measures a run and a file of it as the training did, and another start goes on from there', async () => {
    const cwd = tempFolder();
    const { stdout } = await train(['--epochs', '1', '--name', 'r', '--json'], { cwd });
    const end = eventsOf(stdout).at(-1) as Extract<TrainEvent, { type: 'end' }>;
    const file = join('runs', 'r', 'checkpoints', 'best', 'model.safetensors');
    for (const path of [join('runs', 'r'), file]) {
      const result = await cli(['eval', path, '--device', 'reference', '--json'], { cwd });
      expect(result).toMatchObject({ status: 0, stderr: '' });
      const { loss, accuracy, perClass, confusion, images } = JSON.parse(result.stdout);
      expect({ loss, accuracy }).toEqual(end.test);
      expect(images).toBe(20);
      expect(perClass).toHaveLength(10);
      expect(confusion.flat().reduce((a: number, b: number) => a + b)).toBe(20);
    }
    const text = await cli(['eval', join('runs', 'r'), '--device', 'reference'], { cwd });
    expect(text.stdout).toMatch(/airplane +\d+\.\d\d % of 2\n(.*\n)+accuracy \d+\.\d\d %, loss .*20 images\)\n$/);
    expect((await train(['--epochs', '1', '--init', file, '--quiet'], { cwd })).status).toBe(0);
  });

  test('refuses weights that were trained in another graph', async () => {
    const cwd = tempFolder();
    await train(['--epochs', '1', '--name', 'r', '--quiet'], { cwd });
    const result = await cli(['eval', join('runs', 'r'), '--device', 'reference', '--patch', '4'], { cwd });
    expect(result.status).toBe(5);
    expect(result.stderr).toMatch(
      /^error\[E_CHECKPOINT\]: the weights in .* were trained in another graph than that of convmixer: patch is 4, but was 8\nhelp: .+\n$/,
    );
  });

  test('refuses a damaged checkpoint', async () => {
    const cwd = tempFolder();
    await train(['--epochs', '1', '--name', 'r', '--quiet'], { cwd });
    const path = join(cwd, 'runs', 'r', 'checkpoints', 'best', 'model.safetensors');
    const bytes = readFileSync(path);
    bytes[bytes.length - 1] ^= 1;
    writeFileSync(path, bytes);
    const result = await cli(['eval', join('runs', 'r'), '--device', 'reference'], { cwd });
    expect(result.status).toBe(5);
    expect(result.stderr).toMatch(/model\.safetensors has changed since it was written\nhelp: /);
  });
});

describe('what goes wrong', () => {
  test('a loss that is not finite stops the run and keeps what there was', async () => {
    const cwd = tempFolder();
    const result = await train(['--lr', '1e30', '--epochs', '3', '--name', 'r'], { cwd });
    expect(result.status).toBe(6);
    expect(result.stderr).toMatch(/error\[E_DIVERGED\]: (after )?epoch \d, step \d+.*learning rate 1e\+30.*\nhelp: .+\n$/);
    const run = join(cwd, 'runs', 'r');
    const crash = JSON.parse(readFileSync(join(run, 'crash.json'), 'utf8'));
    expect(crash.error).toMatchObject({ name: 'HybridError', code: 'E_DIVERGED', stack: expect.stringContaining('divergence') });
    expect(crash.events.length).toBeGreaterThan(0);
    const [environment] = JSON.parse(readFileSync(join(run, 'environment.json'), 'utf8'));
    expect(environment).toMatchObject({ node: process.version, device: { name: 'reference', arithmetic: 'doubles' } });
    expect(JSON.stringify([crash, environment])).not.toContain(process.env.PATH);
  });

  test('a disk that fills up at any call: one sentence, the old checkpoints whole', async () => {
    const calls = await countCalls(['--epochs', '2', '--quiet']);
    expect(calls).toBeGreaterThan(60);
    for (let failAt = 1; failAt <= calls; failAt += 7) {
      const cwd = tempFolder();
      const files = faultyFiles(nodeFiles, { failAt, keepFailing: true });
      const result = await train(['--epochs', '2', '--quiet', '--name', 'r'], { cwd, files });
      // How many steps are logged depends on time: those that nobody has read yet give way to newer ones.
      if (files.calls.length < failAt) continue;
      // The very last thing that is written is the report: without it a run is a success.
      const whole = failAt > calls - 15 && result.status === 0;
      if (whole) expect(result.stderr).toMatch(/^(warning: report.html can no longer be written: .*\n)?$/);
      else expect(result.status).toBe(10);
      if (!whole)
        expect(result.stderr).toMatch(
          /^(warning: .*\n)*error\[E_DISK\]: cannot write .*the disk is full \(ENOSPC\)(; [\d,]+ bytes are needed)?\nhelp: Free some space .*\n$/,
        );
      const evaluation = await cli(['eval', join('runs', 'r'), '--device', 'reference', '--limit', '10', '--json'], { cwd });
      expect([0, 5]).toContain(evaluation.status);
      if (existsSync(join(cwd, 'runs', 'r', 'checkpoints', 'best'))) expect(evaluation.status).toBe(0);
    }
  });

  test('an existing run is never touched', async () => {
    const cwd = tempFolder();
    mkdirSync(join(cwd, 'runs', 'r'), { recursive: true });
    writeFileSync(join(cwd, 'runs', 'r', 'config.json'), 'mine');
    await train(['--epochs', '1', '--quiet', '--name', 'r'], { cwd });
    expect(readFileSync(join(cwd, 'runs', 'r', 'config.json'), 'utf8')).toBe('mine');
    expect(readdirSync(join(cwd, 'runs')).sort()).toEqual(['r', 'r-2']);
  });
});

describe('a timeline that cannot be written', () => {
  const full = (path: string): Files => ({
    ...nodeFiles,
    async open(at, flags) {
      const file = await nodeFiles.open(at, flags);
      if (!at.endsWith(path)) return file;
      const write = async () => {
        throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
      };
      return { path: at, write, sync: () => file.sync(), close: () => file.close() };
    },
  });

  test('is a warning', async () => {
    const { status, stderr } = await train(['--epochs', '1', '--quiet', '--trace', 't.json'], { files: full('t.json') });
    expect(status).toBe(0);
    expect(stderr).toMatch(/^warning: the timeline t.json is incomplete: .*\n$/);
  });

  test('does not hide the error of the run', async () => {
    const { status, stderr } = await train(['--epochs', '1', '--quiet', '--trace', 't.json'], { files: full('.json') });
    expect(status).toBe(10);
    expect(stderr).toMatch(/^warning: the timeline t.json .*\nerror\[E_DISK\]: .*(lock|config)\.json/);
  });
});

describe('stopping', () => {
  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ])('by %s saves the state after the last completed step and returns %i', async (reason, status) => {
    const cwd = tempFolder();
    const controller = new AbortController();
    const files = abortAt('step', 3, () => controller.abort(reason));
    const result = await train(['--epochs', '1000', '--name', 'r'], { cwd, files, signal: controller.signal });
    expect(result.status).toBe(status);
    expect(result.stdout).toBe('');
    expect(result.stderr).toMatch(
      new RegExp(`stopped by ${reason}: .* in runs.r.checkpoints.last\\nresume with: hybrid train --resume runs.r\\n$`),
    );
    const events = eventsOf(readFileSync(join(cwd, 'runs', 'r', 'metrics.jsonl'), 'utf8'));
    expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'aborted', test: null });
    const last = join(cwd, 'runs', 'r', 'checkpoints', 'last');
    const { epoch, step } = JSON.parse(readFileSync(join(last, 'state.json'), 'utf8')).progress;
    const count = readSafetensors(readFileSync(join(last, 'optimizer.safetensors'))).tensors.get('optimizer/vars/0')?.data[0];
    expect(Number(count)).toBe((epoch - 1) * 4 + step);
    expect((await cli(['eval', join('runs', 'r'), '--device', 'reference', '--limit', '10', '--json'], { cwd })).status).toBe(0);
  });

  test('before the first step leaves no run folder', async () => {
    const cwd = tempFolder();
    const result = await train(['--epochs', '1', '--name', 'r'], { cwd, signal: AbortSignal.abort('SIGINT') });
    expect(result.status).toBe(130);
    expect(existsSync(join(cwd, 'runs', 'r'))).toBe(false);
  });

  test('within the first step leaves no run folder, and says so', async () => {
    const cwd = tempFolder();
    const controller = new AbortController();
    const files = abortAt('start', 1, () => controller.abort('SIGINT'));
    const large = ['--device', 'wasm', '--dim', '128', '--depth', '8', '--patch', '1']; // whose first step takes long
    const result = await train([...large, '--epochs', '1', '--name', 'r'], { cwd, files, signal: controller.signal });
    expect(result.status).toBe(130);
    expect(result.stderr).toMatch(/stopped by SIGINT: no step was completed; runs.r was removed\n$/);
    expect(existsSync(join(cwd, 'runs', 'r'))).toBe(false);
  });
});

test('--dry-run tells the plan, fetches nothing and writes nothing', async () => {
  const cwd = tempFolder();
  const argv = ['train', ...TINY, '--data', 'auto', '--batch', '16', '--device', 'reference', '--dry-run'];
  const { status, stdout } = await cli(argv, { cwd });
  expect(status).toBe(0);
  expect(stdout).toMatch(/images +45,000 training, 5,000 validation, 10,000 test/);
  expect(stdout).toMatch(
    /^recipe +script\nrate +0\.002 \(adamw\), times 0\.5 after 2 epochs without improvement\nearly end +after 4 epochs without improvement\naugmentation +\S/m,
  );
  expect(stdout).toMatch(/memory .* of at most /);
  expect(stdout).toMatch(/time +about /);
  expect(readdirSync(cwd)).toEqual([]);
  const plan = JSON.parse((await cli([...argv, '--json'], { cwd })).stdout);
  expect(plan).toMatchObject({ type: 'plan', arch: 'convmixer', batch: 16, stepsPerEpoch: 2813, recipe: 'script', lr: 0.002, patience: 4 });
  expect(plan.estimatedSeconds).toBeGreaterThan(0);
});

test('bench train ends with its one line of JSON, with exactly the documented keys', async () => {
  const argv = ['bench', 'train', ...TINY, '--batch', '4', '--device', 'reference', '--steps', '3', '--warmup', '1'];
  const { status, stdout } = await cli([...argv, '--json']);
  expect(status).toBe(0);
  const result = JSON.parse(stdout.trimEnd().split('\n').at(-1) as string);
  expect(Object.keys(result)).toEqual([
    'arch',
    'device',
    'batch',
    'threads',
    'stepMs',
    'imagesPerSecond',
    'firstStepSeconds',
    'peakRssMiB',
  ]);
  expect(result).toMatchObject({ arch: 'convmixer', device: 'reference', batch: 4, threads: 1 });
  const { median, min, max } = result.stepMs;
  expect(min).toBeLessThanOrEqual(median);
  expect(median).toBeLessThanOrEqual(max);
  expect(result.imagesPerSecond).toBeCloseTo(4000 / median, 6);
  expect((await cli(argv)).stdout).toMatch(/step .* ms .* images\/s, first step after .* MiB\n$/);
});

async function countCalls(argv: readonly string[]): Promise<number> {
  const files = faultyFiles(nodeFiles, {});
  expect((await train(argv, { files })).status).toBe(0);
  return files.calls.length;
}

/** The real files; `abort` is called once the metrics tell of that many steps. */
function abortAt(type: 'start' | 'step', count: number, abort: () => void): Files {
  let seen = 0;
  return {
    ...nodeFiles,
    async open(path, flags) {
      const file = await nodeFiles.open(path, flags);
      if (!path.endsWith('metrics.jsonl')) return file;
      return {
        path,
        write(bytes) {
          if (new TextDecoder().decode(bytes).startsWith(`{"type":"${type}"`) && ++seen === count) abort();
          return file.write(bytes);
        },
        sync: () => file.sync(),
        close: () => file.close(),
      };
    },
  };
}
