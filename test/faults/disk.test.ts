// What a disk can do to a checkpoint: lose its power, be full, fail a call, be read-only. The old state or the new one is there, whole, and
// no failure is silent.

import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { RunFolder } from '../../app/run/run-folder.ts';
import type { HybridError } from '../../runtime/base/errors.ts';
import { nodeFiles } from '../../runtime/base/files.ts';
import { philox4x32 } from '../../runtime/base/philox.ts';
import { markedCheckpoint, markOf } from '../support/checkpoints.ts';
import { CrashDisk, type Names, type Unsynced } from '../support/crash-disk.ts';
import { hybridError } from '../support/expect-error.ts';
import { faultyFiles } from '../support/faulty-files.ts';
import { tempFolder } from '../support/temp-folder.ts';

const config = { arch: 'convmixer' };
/** 1,200 bytes a tensor: more than two sectors, the last one short. */
const FLOATS = 300;

const open: RunFolder[] = [];
afterEach(async () => {
  for (const run of open.splice(0)) await run.close().catch(() => {}); // some disks are without power
});
async function create(options: Parameters<typeof RunFolder.create>[0]): Promise<RunFolder> {
  const run = await RunFolder.create(options);
  open.push(run);
  return run;
}

function randomOf(seed: number): () => number {
  const words = new Uint32Array(4);
  let draws = 0;
  return () => {
    philox4x32([seed, 0], [draws++, 0, 0, 0], words);
    return words[0] / 2 ** 32;
  };
}

const CRASHES = (['kept', 'dropped', 'zeroed', 'torn'] as const).flatMap((data: Unsynced) =>
  (['all', 'none', 'some'] as const).map((names: Names) => ({ data, names })),
);

describe('case 2: the power fails', () => {
  test('after any operation of a save, with unsynced data lost, zeroed or torn: the old state or the new, and the new once the save was told', async () => {
    const seen = new Set<number>();
    for (let operations = 0, told = false; !told; operations++) {
      const disk = new CrashDisk();
      const run = await create({ out: '/out', name: 'r', config, files: disk });
      await run.save('last', markedCheckpoint(1, FLOATS));
      await run.save('last', markedCheckpoint(2, FLOATS));
      disk.failAfter(operations);
      told = await run.save('last', markedCheckpoint(3, FLOATS)).then(
        () => true,
        () => false,
      );
      for (const [k, crash] of CRASHES.entries()) {
        for (let repeat = 0; repeat < (crash.names === 'some' || crash.data === 'torn' ? 4 : 1); repeat++) {
          const after = disk.afterCrash({ ...crash, random: randomOf(1000 * operations + 10 * k + repeat) });
          const found = await (await RunFolder.open('/out/r', after)).load('last');
          const mark = found && markOf(found);
          expect(told ? [3] : [2, 3], `after ${operations} operations, ${JSON.stringify(crash)}`).toContain(mark);
          seen.add(mark as number);
          // The run that goes on saves again, whatever lies about.
          const next = await RunFolder.open('/out/r', after);
          await next.save('last', markedCheckpoint(4, FLOATS));
          expect(markOf((await next.load('last')) as never)).toBe(4);
        }
      }
    }
    expect(seen).toEqual(new Set([2, 3]));
  });

  test('after any operation of the first save: nothing, or the new state; never half of it', async () => {
    for (let operations = 0, told = false; !told; operations++) {
      const disk = new CrashDisk();
      const run = await create({ out: '/out', name: 'r', config, files: disk });
      disk.failAfter(operations);
      told = await run.save('best', markedCheckpoint(1, FLOATS)).then(
        () => true,
        () => false,
      );
      for (const [k, crash] of CRASHES.entries()) {
        const after = disk.afterCrash({ ...crash, random: randomOf(operations * 100 + k) });
        const opened = await RunFolder.open('/out/r', after);
        const found = await opened.load('best').catch((error) => {
          expect(error).toMatchObject({ code: 'E_CHECKPOINT' });
          return null;
        });
        if (found) expect(markOf(found)).toBe(1);
        else expect(told).toBe(false);
      }
    }
  });
});

describe('case 4: the n-th call fails', () => {
  test.each([
    ['EIO', false],
    ['ENOSPC', true],
    ['EMFILE', false],
  ])('with %s (and all after it: %s), reads included: an error, or the new state is there', async (code, keepFailing) => {
    let failures = 0;
    for (let failAt = 1, done = false; !done; failAt++) {
      const run = await create({ out: tempFolder(), name: 'r', config });
      await run.save('last', markedCheckpoint(1));
      const files = faultyFiles(nodeFiles, { failAt, keepFailing, code, reads: true });
      let saved = true;
      try {
        // Opening is part of it: its calls fail as well.
        await (await RunFolder.open(run.location, files)).save('last', markedCheckpoint(2));
      } catch (error) {
        saved = false;
        failures++;
        expect(['E_DISK', 'E_CHECKPOINT']).toContain((error as HybridError).code);
      }
      done = files.calls.length < failAt;
      expect(markOf((await run.load('last')) as never)).toBe(saved ? 2 : 1);
    }
    expect(failures).toBeGreaterThan(20);
  });
});

test('case 5: an fsync that fails is not tried again: the file goes, and the save fails', async () => {
  const run = await create({ out: tempFolder(), name: 'r', config });
  await run.save('last', markedCheckpoint(1));
  let syncs = 0;
  const files = {
    ...nodeFiles,
    async open(path: string, flags: 'w' | 'wx' | 'a') {
      const file = await nodeFiles.open(path, flags);
      // As Linux does it: the first call reports the error, a second one would say that all is well.
      const sync = async () => {
        if (++syncs === 2) throw Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO' });
        await file.sync();
      };
      return { path, write: (bytes: Uint8Array) => file.write(bytes), sync, close: () => file.close() };
    },
  };
  const error = await hybridError('E_DISK', (await RunFolder.open(run.location, files)).save('last', markedCheckpoint(2)));
  expect(error.message).toMatch(/the disk reports an error \(EIO\)/);
  expect(syncs).toBe(2);
  expect(readdirSync(join(run.location, 'checkpoints'))).toEqual(['last']);
  expect(markOf((await run.load('last')) as never)).toBe(1);
});

describe('case 6: a place that cannot be written', () => {
  test.skipIf(process.platform === 'win32' || process.getuid?.() === 0)('a read-only folder is told before the first step', async () => {
    const out = tempFolder();
    chmodSync(out, 0o500);
    const error = await hybridError('E_DISK', create({ out, name: 'r', config }));
    expect(error.message).toMatch(/permission is denied \(EACCES\)/);
    chmodSync(out, 0o700);
  });

  test.each(['EACCES', 'EROFS', 'EMFILE'])('%s at the first call is told before the first step', async (code) => {
    const error = await hybridError(
      'E_DISK',
      create({ out: tempFolder(), name: 'r', config, files: faultyFiles(nodeFiles, { failAt: 1, code }) }),
    );
    expect(error.message).toContain(code);
  });

  test('a file where the folder of the runs should be', async () => {
    const folder = tempFolder();
    writeFileSync(join(folder, 'runs'), '');
    const error = await hybridError('E_DISK', create({ out: join(folder, 'runs'), name: 'r', config }));
    expect(error.message).toMatch(/cannot write .*runs/);
  });

  test('a file where the checkpoint should be gives way', async () => {
    const run = await create({ out: tempFolder(), name: 'r', config });
    mkdirSync(join(run.location, 'checkpoints'), { recursive: true });
    writeFileSync(join(run.location, 'checkpoints', 'last'), 'a file');
    await run.save('last', markedCheckpoint(1));
    expect(markOf((await run.load('last')) as never)).toBe(1);
  });

  test.skipIf(process.platform === 'win32')('a link in the folder of a run is refused', async () => {
    const run = await create({ out: tempFolder(), name: 'r', config });
    await run.save('last', markedCheckpoint(1));
    await run.close();
    symlinkSync(tempFolder(), join(run.location, 'checkpoints', 'best'));
    const error = await hybridError('E_CHECKPOINT', RunFolder.reopen(run.location));
    expect(error.message).toMatch(/best is a symbolic link/);
    expect(readdirSync(run.location)).not.toContain('lock.json');
  });
});

describe('case 3: a disk that fills up', () => {
  const script = fileURLToPath(new URL('../support/fill-disk.sh', import.meta.url));
  const allowed = process.platform === 'linux' && spawnSync('unshare', ['-rm', 'true']).status === 0;
  if (!allowed) process.stderr.write('no user namespaces here: the full disk is only simulated (case 4)\n');

  test.skipIf(!allowed)('during a save: the old checkpoint is intact, and the message names the bytes', () => {
    const main = fileURLToPath(new URL('../support/fill-disk.mjs', import.meta.url));
    const told = execFileSync('unshare', ['-rm', 'bash', script, process.execPath, main, tempFolder()], { encoding: 'utf8' });
    const { code, message, before, after, left } = JSON.parse(told);
    expect(code).toBe('E_DISK');
    expect(message).toMatch(/cannot write .*: the disk is full \(ENOSPC\); 8,38\d,\d\d\d bytes are needed/);
    expect(after).toBe(before);
    expect(left).toEqual(['last']);
  });
});
