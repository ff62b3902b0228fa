// What surrounds a run: other processes in its folder, a host program with its own troubles, odd machines. Cases 10, 27, 39, 43. Needs dist.

import { spawn, spawnSync } from 'node:child_process';
import { getEventListeners } from 'node:events';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { RunFolder } from '../../app/run/run-folder.ts';
import { train } from '../../runtime/train/run.ts';
import { markOf } from '../support/checkpoints.ts';
import { tinyTraining, writeCifar10 } from '../support/cifar10-folder.ts';
import { hybridError } from '../support/expect-error.ts';
import { digestOf, MemoryStore, ofType, runPart, smallOptions } from '../support/runs.ts';
import { tempFolder } from '../support/temp-folder.ts';

const support = (name: string): string => fileURLToPath(new URL(`../support/${name}`, import.meta.url));
const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

describe('case 10: two runs in one folder', () => {
  test('the second is refused and told the process; when that is killed, the folder is free', async () => {
    const path = join(tempFolder(), 'r');
    const child = spawn(process.execPath, [support('save-endlessly.mjs'), path, '1'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = new Promise((resolve) => child.on('close', resolve));
    await new Promise((resolve) => child.stdout.once('data', resolve));
    const error = await hybridError('E_LOCKED', RunFolder.reopen(path));
    expect(error.message).toMatch(new RegExp(`^process ${child.pid} is using the run folder .*r$`));
    child.kill('SIGKILL');
    await ended;
    const run = await RunFolder.reopen(path);
    await hybridError('E_LOCKED', RunFolder.reopen(path)); // one process, two runs
    expect(markOf((await run.load('last')) as never)).toBeGreaterThan(0);
    await run.close();
    await (await RunFolder.reopen(path)).close();
  });

  test('of many that find a stale lock at once, one gets it', async () => {
    const run = await RunFolder.create({ out: tempFolder(), name: 'r', config: {} });
    await run.close();
    const { pid } = spawnSync(process.execPath, ['--version']);
    writeFileSync(join(run.location, 'lock.json'), JSON.stringify({ pid, host: hostname(), began: '1', token: 't' }));
    const taken = await Promise.allSettled(Array.from({ length: 12 }, () => RunFolder.reopen(run.location)));
    const winners = taken.filter(({ status }) => status === 'fulfilled');
    expect(winners).toHaveLength(1);
    for (const each of taken) if (each.status === 'fulfilled') await each.value.close();
    expect(readdirSync(run.location).filter((name) => /lock|tmp/.test(name))).toEqual([]);
  });
});

interface Told {
  readonly digest: string;
  readonly reason: string;
  readonly ticks: number;
}

function libraryRun(options: object, flags: readonly string[] = []): Told {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [...flags, support('library-run.mjs'), JSON.stringify({ out: tempFolder(), ...options })],
    { encoding: 'utf8', timeout: 60_000 },
  );
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return JSON.parse(stdout);
}

describe('an embedding program', () => {
  test('case 27: that blocks its event loop again and again, and has a small heap, trains to the same bits', () => {
    const told = libraryRun({ busy: 50, epochs: 1 }, ['--max-old-space-size=32']);
    expect(told).toMatchObject({ digest: libraryRun({ epochs: 1 }).digest, reason: 'completed' });
    expect(told.ticks).toBeGreaterThan(3);
  });

  test('case 39: whose Object.prototype somebody has written to trains to the same bits', () => {
    // Not `signal` and `resume`, over which Node itself stumbles: they are below.
    const names = ['filename', 'workerData', 'type', 'init', 'onNan', 'allowChanged', 'checkpointEvery', 'keepEvery', 'steps'];
    const options = ['withoutRules', 'stallSeconds', 'files', 'name', 'revectorize', 'v8Flags', 'warmup', 'programs'];
    expect(libraryRun({ pollute: [...names, ...options] })).toMatchObject({
      digest: libraryRun({}).digest,
      reason: 'completed',
    });
  });
});

test('case 39: options are read as they were given, at the call', async () => {
  const written = { signal: AbortSignal.abort(), resume: {}, init: new Map(), store: {}, onNan: 'skip', steps: 1 };
  const clean = () => {
    for (const name of Object.keys(written)) delete (Object.prototype as Record<string, unknown>)[name];
  };
  try {
    for (const [name, value] of Object.entries(written)) {
      Object.defineProperty(Object.prototype, name, { value, configurable: true, writable: true });
    }
    const run = train(smallOptions({ epochs: 1 }));
    clean();
    await expect(run.result).resolves.toMatchObject({ reason: 'completed', run: null });
  } finally {
    clean();
  }
});

describe('case 43: odd surroundings', () => {
  test.skipIf(process.platform === 'win32')(
    'time zone, locale, umask, a long path with spaces and letters of all kinds: the same numbers, and only --out is written',
    () => {
      const base = tempFolder();
      writeCifar10(base);
      const cwd = join(base, 'ein Ordner mit Lücken', '目录 🦊', 'x'.repeat(180));
      mkdirSync(cwd, { recursive: true });
      const home = join(base, 'home');
      writeFileSync(home, 'a file: nothing can be written below it');
      const run = (env: Record<string, string>, umask: string) => {
        const argv = ['train', ...tinyTraining(base, 'wasm'), '--epochs', '1', '--json', '--name', 'ä b'];
        const { status, stdout, stderr } = spawnSync('sh', ['-c', `umask ${umask}; exec "$@"`, 'sh', process.execPath, MAIN, ...argv], {
          cwd,
          encoding: 'utf8',
          env: { PATH: process.env.PATH, HOME: home, TMPDIR: join(base, 'no such folder'), ...env },
        });
        expect(stderr).toBe('');
        expect(status).toBe(0);
        return stdout
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line))
          .find(({ type }) => type === 'end');
      };
      const plain = run({ TZ: 'UTC', LANG: 'C' }, '022');
      const odd = run({ TZ: 'Pacific/Kiritimati', LANG: 'tr_TR.UTF-8', LC_ALL: 'ar_EG.UTF-8' }, '077');
      expect(odd.test).toEqual(plain.test);
      expect(odd.best).toEqual(plain.best);
      expect(readdirSync(cwd)).toEqual(['runs']);
      expect(readdirSync(join(cwd, 'runs'))).toEqual(['ä b', 'ä b-2']);
      expect(readdirSync(base).sort()).toEqual(['data_batch_1.bin', 'ein Ordner mit Lücken', 'home', 'test_batch.bin']);
      expect(statSync(join(cwd, 'runs', 'ä b-2', 'config.json')).mode & 0o77).toBe(0);
    },
  );

  afterEach(() => {
    vi.useRealTimers();
  });

  test('a clock that jumps to and fro changes nothing: intervals are measured with one that cannot', async () => {
    const part = async () => {
      const store = new MemoryStore();
      const { events } = await runPart(smallOptions({ store }));
      return { digest: digestOf((await store.load('last')) as never), events };
    };
    const plain = await part();
    vi.useFakeTimers({ toFake: ['Date'] });
    let jumps = 0;
    const jump = setInterval(() => vi.setSystemTime(jumps++ % 2 ? 0 : 4e12), 1);
    const jumpy = await part();
    clearInterval(jump);
    expect(jumpy.digest).toBe(plain.digest);
    for (const { seconds, imagesPerSecond } of ofType(jumpy.events, 'epoch')) {
      expect(seconds).toBeGreaterThan(0);
      expect(seconds).toBeLessThan(600);
      expect(imagesPerSecond).toBeGreaterThan(0);
    }
  });

  test('no interval of a run is measured by the wall clock', () => {
    const root = fileURLToPath(new URL('../../runtime/train/', import.meta.url));
    const users = readdirSync(root).filter((file) => /Date\.now|new Date\(/.test(readFileSync(join(root, file), 'utf8')));
    // Names of folders, times in reports, the age of a lock: there it is meant.
    for (const file of users) expect(['environment.ts', 'run-folder.ts', 'run-lock.ts']).toContain(file);
  });

  test.skipIf(process.platform === 'win32' || process.getuid?.() === 0)('a working folder that cannot be written', () => {
    const cwd = tempFolder();
    chmodSync(cwd, 0o500);
    const { status, stderr } = spawnSync(process.execPath, [MAIN, 'train', '--data', 'synthetic', '--epochs', '1'], {
      cwd,
      encoding: 'utf8',
    });
    chmodSync(cwd, 0o700);
    expect(status).toBe(10);
    expect(stderr).toMatch(/^error\[E_DISK\]: cannot write .*permission is denied/m);
  });
});

test('50 runs on one signal leave no listener on it', async () => {
  const controller = new AbortController();
  for (let run = 0; run < 50; run++) {
    const options = smallOptions({ signal: controller.signal, epochs: 1, validation: null, test: null });
    await runPart(options);
  }
  expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
});
