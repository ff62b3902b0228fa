// `hybrid train --resume`: finds the run, goes on where it stopped, or says why not and leaves everything as it was.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { readSafetensors } from '../../runtime/entries/formats.ts';
import { type Files, nodeFiles } from '../../runtime/entries/internal.ts';
import { tinyTraining, writeCifar10 } from '../support/cifar10-folder.ts';
import { type CliResult, cli } from '../support/cli.ts';
import { tempFolder } from '../support/temp-folder.ts';

let cwd: string;
beforeEach(() => {
  cwd = tempFolder();
  mkdirSync(join(cwd, 'images'));
  writeCifar10(join(cwd, 'images'));
});

const begin = (argv: readonly string[], io: { files?: Files; signal?: AbortSignal } = {}): Promise<CliResult> =>
  cli(['train', ...tinyTraining('images', 'wasm'), '--threads', '1', '--quiet', '--no-figures', ...argv], { cwd, ...io });
const resume = (...argv: string[]): Promise<CliResult> => cli(['train', '--no-figures', '--resume', ...argv], { cwd });

/** A run that was stopped after its first epoch, before its last one. */
async function interrupted(name: string): Promise<string> {
  const controller = new AbortController();
  const files: Files = {
    ...nodeFiles,
    // The first save; the loop waits for it before it comes to the second.
    open(path, flags) {
      if (path.endsWith(join('last.new', 'COMPLETE'))) controller.abort('SIGINT');
      return nodeFiles.open(path, flags);
    },
  };
  const { status } = await begin(['--epochs', '4', '--name', name], { files, signal: controller.signal });
  expect(status).toBe(130);
  return join(cwd, 'runs', name);
}

const metrics = (run: string): Record<string, unknown>[] =>
  readFileSync(join(run, 'metrics.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

/** SHA-256 over the tensors of the last state. */
function digest(run: string): string {
  const hash = createHash('sha256');
  for (const file of ['model', 'optimizer']) {
    const { tensors } = readSafetensors(readFileSync(join(run, 'checkpoints', 'last', `${file}.safetensors`)));
    for (const [name, { data }] of tensors) hash.update(name).update(new Uint8Array(data.buffer));
  }
  return hash.digest('hex');
}

/** Every file of a folder with its contents. */
function contents(folder: string): Map<string, string> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return new Map(names.map((entry) => [join(entry.parentPath, entry.name), readFileSync(join(entry.parentPath, entry.name), 'base64')]));
}

test('goes on to the same end as an uninterrupted run, and its folder tells of one run', async () => {
  const run = await interrupted('cut');
  await begin(['--epochs', '4', '--name', 'whole']);
  const whole = join(cwd, 'runs', 'whole');
  const told = metrics(run).length;
  appendFileSync(join(run, 'metrics.jsonl'), '{"type":"step","epoch":4,"step":1}\n{"type":"epo');
  const { status, stdout, stderr } = await resume(join('runs', 'cut'), '--threads', '2');
  expect(stderr).toMatch(/^resumed: continues after epoch [123], step \d$/m);
  expect(status).toBe(0);
  expect(digest(run)).toBe(digest(whole));
  const epochs = (folder: string) =>
    metrics(folder)
      .filter(({ type }) => type === 'epoch')
      .map(({ epoch, train, validation, lr }) => ({ epoch, train, validation, lr }));
  expect(epochs(run)).toEqual(epochs(whole));
  expect(metrics(run).length).toBeGreaterThan(told);
  expect(metrics(run).filter(({ type }) => type === 'end')).toHaveLength(1);
  expect(metrics(run).filter(({ type }) => type === 'resume')).toHaveLength(1);
  expect(stdout).toMatch(/^test accuracy .*\nbest weights of epoch \d of 4: .*\nrun folder runs.cut\n$/);
  expect(existsSync(join(run, 'lock.json'))).toBe(false);
});

test('without a name takes the run in which something was saved last', async () => {
  const older = await interrupted('a');
  await interrupted('b');
  mkdirSync(join(cwd, 'runs', 'c'));
  utimesSync(join(older, 'checkpoints'), new Date(0), new Date(0));
  expect((await resume('--quiet')).stdout).toContain(join('runs', 'b'));
  expect((await resume('a', '--quiet')).stdout).toContain(join('runs', 'a'));
});

test('--epochs extends a run that was complete', async () => {
  await begin(['--epochs', '2', '--name', 'r']);
  await begin(['--epochs', '4', '--name', 'whole']);
  const done = await resume(join('runs', 'r'));
  expect(done.stdout).toContain('best weights of epoch');
  expect(done.stderr).toContain('All 2 epochs are complete; only the test remains.');
  expect(await resume(join('runs', 'r'), '--epochs', '1')).toMatchObject({ status: 2 });
  expect(await resume(join('runs', 'r'), '--epochs', '4', '--quiet')).toMatchObject({ status: 0 });
  expect(digest(join(cwd, 'runs', 'r'))).toBe(digest(join(cwd, 'runs', 'whole')));
  expect(JSON.parse(readFileSync(join(cwd, 'runs', 'r', 'config.json'), 'utf8')).epochs).toBe(4);
});

describe('is refused, and nothing is changed,', () => {
  test('with another model, whose differences are named', async () => {
    const run = await interrupted('r');
    const before = contents(run);
    const { status, stderr } = await resume('r', '--dim', '8', '--patch', '4');
    expect(stderr).toMatch(
      /error\[E_CHECKPOINT\]: the run was started with another model: dim is 8, but was 4; patch is 4, but was 8\nhelp: .*\n$/,
    );
    expect(status).toBe(5);
    expect(contents(run)).toEqual(before);
    expect((await resume('none')).stderr).toMatch(/^error\[E_CHECKPOINT\]: there is neither none nor runs.none\n/);
    expect((await resume('runs/none')).stderr).toMatch(/^error\[E_CHECKPOINT\]: there is no runs.none\n/);
  });

  test('with other settings, which can be allowed', async () => {
    const run = await interrupted('r');
    const before = contents(run);
    const refused = await resume('--lr', '0.5', '--seed', '3', '--val-fraction', '0.2');
    expect(refused.status).toBe(5);
    expect(refused.stderr).toMatch(
      /^error\[E_CHECKPOINT\]: the run was started with other settings: --lr is 0\.5, but was 0\.002; --seed is 3, but was 0; data is .*; validation is 16 images.*, but was 8 images.*\nhelp: .*--allow-changed lr,seed,data,validation\..*\n$/m,
    );
    expect(contents(run)).toEqual(before);
    expect((await resume('--lr', '0.5', '--allow-changed', 'lr', '--quiet')).status).toBe(0);
    expect(JSON.parse(readFileSync(join(run, 'config.json'), 'utf8')).lr).toBe(0.5);
  });

  test('where another process is at work in the folder', async () => {
    const run = await interrupted('r');
    const lock = join(run, 'lock.json');
    const owner = { pid: process.ppid, host: hostname(), began: '', token: 'x' };
    writeFileSync(lock, JSON.stringify(owner));
    const before = contents(run);
    const refused = await resume();
    expect(refused.status).toBe(8);
    expect(refused.stderr).toMatch(new RegExp(`^error\\[E_LOCKED\\]: process ${process.ppid} is using the run folder .*\\nhelp: .*\\n$`));
    expect(contents(run)).toEqual(before);
    writeFileSync(lock, JSON.stringify({ ...owner, host: 'elsewhere' }));
    expect((await resume()).stderr).toContain('on elsewhere is using');
    // A process that is gone, and one that began at another time than the lock says.
    const { pid } = spawnSync(process.execPath, ['--version']);
    for (const stale of [
      { ...owner, pid },
      { ...owner, began: '1' },
    ]) {
      writeFileSync(lock, JSON.stringify(stale));
      writeFileSync(join(run, 'config.json.0011aabb.tmp'), 'half');
      expect((await resume('--quiet')).status).toBe(0);
      expect(readdirSync(run).filter((name) => /tmp|lock/.test(name))).toEqual([]);
    }
  });

  test.skipIf(process.platform === 'win32').each(['metrics.jsonl', 'checkpoints', join('checkpoints', 'last')])(
    'where %s is a link',
    async (name) => {
      const run = await interrupted('r');
      renameSync(join(run, name), join(cwd, 'elsewhere'));
      symlinkSync(join(cwd, 'elsewhere'), join(run, name));
      const refused = await resume(run);
      expect(refused.status).toBe(5);
      expect(refused.stderr).toMatch(/is a symbolic link/);
    },
  );

  test('where there is nothing to go on from', async () => {
    expect((await resume()).stderr).toMatch(/^error\[E_CHECKPOINT\]: there is no run with a checkpoint in runs\nhelp: .*\n$/);
    expect((await resume('nowhere')).stderr).toMatch(/there is neither nowhere nor runs.nowhere/);
    const run = await interrupted('r');
    rmSync(join(run, 'checkpoints'), { recursive: true });
    expect((await resume('r')).stderr).toMatch(/has no checkpoint to resume from/);
  });

  test('by the folder of a checkpoint that is not the last', async () => {
    await begin(['--epochs', '2', '--name', 'r', '--keep-every', '1']);
    const refused = await resume(join('runs', 'r', 'checkpoints', 'epoch-0001'));
    expect([refused.status, refused.stdout]).toEqual([2, '']);
    expect(refused.stderr).toMatch(
      /epoch-0001 is not the last checkpoint of its run.*\nhelp: Resume with `--resume runs.r`, or .*`--init runs.r.checkpoints.epoch-0001.model\.safetensors`/,
    );
  });

  test('with options that make no sense together', async () => {
    for (const option of [['-c', 'x.yaml'], ['--dry-run'], ['--name', 'x']]) {
      expect(await resume('runs', ...option)).toMatchObject({ status: 2, stdout: '' });
    }
  });
});

test('by the folder of its last checkpoint, or of its checkpoints', async () => {
  for (const folder of ['checkpoints', join('checkpoints', 'last')]) {
    const run = await interrupted('r');
    expect((await resume(join(run, folder), '--quiet')).status).toBe(0);
    rmSync(run, { recursive: true });
  }
});

test('a damaged last state gives way to an older one, aloud', async () => {
  const run = join(cwd, 'runs', 'r');
  await begin(['--epochs', '2', '--name', 'r', '--keep-every', '1']);
  expect(readdirSync(join(run, 'checkpoints'))).toEqual(['best', 'epoch-0001', 'epoch-0002', 'last']);
  await begin(['--epochs', '4', '--name', 'whole']);
  for (const name of ['last', 'best']) {
    const file = join(run, 'checkpoints', name, 'model.safetensors');
    const bytes = readFileSync(file);
    bytes[bytes.length - 1] ^= 1;
    writeFileSync(file, bytes);
  }
  const { status, stderr } = await resume('r', '--epochs', '4');
  expect(stderr).toMatch(/^warning: the checkpoint .*last cannot be used: model\.safetensors has changed since it was written$/m);
  expect(stderr).toMatch(/^warning: resuming from .*epoch-0002, an older checkpoint that is intact$/m);
  expect(status).toBe(0);
  expect(digest(run)).toBe(digest(join(cwd, 'runs', 'whole')));
});

test('--checkpoint-every saves within the epoch', async () => {
  await begin(['--epochs', '1', '--name', 'r', '--checkpoint-every', '2']);
  const saved = metrics(join(cwd, 'runs', 'r')).filter(({ type, kind }) => type === 'checkpoint' && kind === 'last');
  expect(saved).toHaveLength(2);
  expect((await begin(['--checkpoint-every', '2h'])).stderr).toMatch(/"2h", but must be a number of steps, or of minutes/);
});
