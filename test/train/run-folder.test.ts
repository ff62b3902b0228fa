import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { RunFolder } from '../../app/run/run-folder.ts';
import { HybridError } from '../../runtime/base/errors.ts';
import { type Files, nodeFiles } from '../../runtime/base/files.ts';
import { readSafetensors } from '../../runtime/formats/safetensors.ts';
import type { Checkpoint } from '../../runtime/train/checkpoint.ts';
import { faultyFiles } from '../support/faulty-files.ts';
import { tempFolder } from '../support/temp-folder.ts';

/** Runs that the tests made: each holds its metrics file open until it is closed. */
const created: RunFolder[] = [];
async function createRun(options: Parameters<typeof RunFolder.create>[0]): Promise<RunFolder> {
  const run = await RunFolder.create(options);
  created.push(run);
  return run;
}
afterEach(async () => {
  for (const run of created.splice(0)) await run.close().catch(() => {}); // some tests have closed theirs
});

const config = { arch: 'convmixer', lr: 0.002 };

/** A checkpoint whose every part tells which one it is. */
function checkpoint(mark: number): Checkpoint {
  return {
    weights: new Map([['layers/dense/vars/0', { shape: [2, 2], data: Float32Array.of(mark, 1, 2, 3) }]]),
    optimizer: new Map([
      ['optimizer/vars/0', { shape: [1], data: Float32Array.of(100 + mark) }],
      ['optimizer/vars/2', { shape: [2, 2], data: Float32Array.of(0, 0, 0, mark) }],
    ]),
    progress: { epoch: mark, seed: '42' },
    graph: { text: `{"graph":${mark}}`, digest: `digest-${mark}` },
  };
}

async function epochOf(location: string, files: Files = nodeFiles): Promise<unknown> {
  return (await (await RunFolder.open(location, files)).load('last'))?.progress.epoch;
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(HybridError);
  return (error as HybridError).code;
}

describe('creating', () => {
  test('writes the configuration and names the folder after architecture and time', async () => {
    const out = join(tempFolder(), 'deep', 'runs');
    const run = await createRun({ out, config });
    expect(run.location).toMatch(/deep.runs.convmixer-\d{4}-\d\d-\d\d-\d{6}$/);
    expect(JSON.parse(readFileSync(join(run.location, 'config.json'), 'utf8'))).toEqual(config);
    await run.close();
  });

  test('never reuses a folder', async () => {
    const out = tempFolder();
    mkdirSync(join(out, 'a-2'));
    const runs = await Promise.all([1, 2, 3].map(() => createRun({ out, name: 'a', config })));
    expect(runs.map(({ location }) => location).sort()).toEqual(['a', 'a-3', 'a-4'].map((name) => join(out, name)));
    expect(readdirSync(join(out, 'a-2'))).toEqual([]);
    for (const run of runs) await run.close();
  });

  test.each(['', '.', '..', 'a/b', '../up', 'a\\b', 'a\nb', 'x'.repeat(201)])('refuses the name %j', async (name) => {
    expect(await codeOf(createRun({ out: tempFolder(), name, config }))).toBe('E_USAGE');
  });

  test('leaves nothing behind where any write fails', async () => {
    let failures = 0;
    for (;;) {
      const out = tempFolder();
      const files = faultyFiles(nodeFiles, { failAt: failures + 1, keepFailing: true });
      const error = await createRun({ out, name: 'a', config, files }).then(
        () => null,
        (reason) => reason,
      );
      if (!error) break;
      failures++;
      expect(error.code).toBe('E_DISK');
      expect(error.message).toContain(out);
      expect(readdirSync(out).filter((name) => readdirSync(join(out, name)).length > 0)).toEqual([]);
    }
    expect(failures).toBeGreaterThan(5);
  });
});

test('metrics are one JSON line an event', async () => {
  const run = await createRun({ out: tempFolder(), config });
  await run.log({ type: 'epoch', epoch: 1 });
  await run.log({ type: 'end', text: 'two\nlines' });
  await run.close();
  const lines = readFileSync(join(run.location, 'metrics.jsonl'), 'utf8').trimEnd().split('\n');
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    { type: 'epoch', epoch: 1 },
    { type: 'end', text: 'two\nlines' },
  ]);
});

describe('checkpoints', () => {
  test('come back as they were saved, best apart from last', async () => {
    const run = await createRun({ out: tempFolder(), config });
    expect(await run.load('last')).toBeNull();
    expect(await run.save('last', checkpoint(1))).toBe(join(run.location, 'checkpoints', 'last'));
    await run.save('best', checkpoint(2));
    await run.save('last', checkpoint(3));
    await run.close();
    const opened = await RunFolder.open(run.location);
    expect(opened.config).toEqual(config);
    expect(await opened.load('last')).toEqual(checkpoint(3));
    expect(await opened.load('best')).toEqual(checkpoint(2));
    expect(readdirSync(join(run.location, 'checkpoints'))).toEqual(['best', 'last']);
  });

  test('hold the step count as an integer, and in the weights what an evaluation needs', async () => {
    const run = await createRun({ out: tempFolder(), config });
    const folder = await run.save('best', checkpoint(7));
    await run.close();
    const read = (name: string) => readSafetensors(readFileSync(join(folder, name)));
    expect(read('optimizer.safetensors').tensors.get('optimizer/vars/0')?.data).toEqual(BigInt64Array.of(107n));
    const { metadata } = read('model.safetensors');
    expect(metadata.get('graph')).toBe('digest-7');
    expect(JSON.parse(metadata.get('config') as string)).toEqual(config);
  });

  test('hold the state at the call, whatever the arrays become', async () => {
    const run = await createRun({ out: tempFolder(), config });
    const changing = checkpoint(1);
    const saving = run.save('last', changing);
    changing.weights.get('layers/dense/vars/0')?.data.fill(99);
    await saving;
    await run.close();
    expect(await run.load('last')).toEqual(checkpoint(1));
  });

  test('are whole after short writes', async () => {
    const files = faultyFiles(nodeFiles, { maxWrite: 7 });
    const run = await createRun({ out: tempFolder(), config, files });
    await run.save('last', checkpoint(5));
    await run.close();
    expect(await epochOf(run.location)).toBe(5);
  });

  test.each([
    ['once', false],
    ['from then on', true],
  ])('stay the previous ones where the n-th call fails %s', async (_, keepFailing) => {
    for (const before of [1, undefined]) {
      let succeeded = false;
      for (let failAt = 1; !succeeded; failAt++) {
        const run = await createRun({ out: tempFolder(), name: 'r', config });
        await run.close();
        if (before) await run.save('last', checkpoint(before));
        const files = faultyFiles(nodeFiles, { failAt, keepFailing });
        const faulty = await RunFolder.open(run.location, files);
        try {
          await faulty.save('last', checkpoint(2));
          succeeded = files.calls.length < failAt;
          expect(await epochOf(run.location)).toBe(2);
        } catch (error) {
          expect((error as HybridError).code).toBe('E_DISK');
          expect((error as HybridError).message).toMatch(/r.checkpoints.last.*[\d,]+ bytes are needed/);
          expect(await epochOf(run.location)).toBe(before);
          // The disk has space again: the next save works and tidies up.
          await run.save('last', checkpoint(3));
          expect(await epochOf(run.location)).toBe(3);
          expect(readdirSync(join(run.location, 'checkpoints'))).toEqual(['last']);
        }
      }
    }
  });

  test('are the old or the new after a crash at any call', async () => {
    const seen = new Set<unknown>();
    for (let calls = 0, crashed = true; crashed; calls++) {
      const run = await createRun({ out: tempFolder(), name: 'r', config });
      await run.close();
      await run.save('last', checkpoint(1));
      const saving = (await RunFolder.open(run.location, crashAfter(calls))).save('last', checkpoint(2));
      crashed = await saving.then(
        () => false,
        () => true,
      );
      const epoch = await epochOf(run.location);
      expect([1, 2]).toContain(epoch);
      seen.add(epoch);
      await run.save('last', checkpoint(3));
      expect(await epochOf(run.location)).toBe(3);
    }
    expect(seen).toEqual(new Set([1, 2]));
  });

  test('are refused when a file or the marker is cut, altered or missing', async () => {
    const run = await createRun({ out: tempFolder(), config });
    await run.close();
    const folder = await run.save('last', checkpoint(1));
    expect(readdirSync(folder)).toHaveLength(5);
    for (const name of readdirSync(folder)) {
      const path = join(folder, name);
      const original = readFileSync(path);
      for (const damage of [original.subarray(0, original.length >> 1), Buffer.alloc(0), flip(original), null]) {
        if (damage) writeFileSync(path, damage);
        else rmSync(path);
        expect(await codeOf(run.load('last'))).toBe('E_CHECKPOINT');
      }
      writeFileSync(path, original);
    }
    expect(await epochOf(run.location)).toBe(1);
  });

  test('fall back to the copy aside where the newest is damaged', async () => {
    const run = await createRun({ out: tempFolder(), config });
    await run.close();
    const folder = await run.save('last', checkpoint(1));
    await nodeFiles.rename(folder, `${folder}.old`);
    expect(await epochOf(run.location)).toBe(1);
    mkdirSync(folder);
    writeFileSync(join(folder, 'model.safetensors'), 'half');
    expect(await epochOf(run.location)).toBe(1);
  });

  test('of a later format are refused by number', async () => {
    const run = await createRun({ out: tempFolder(), config });
    await run.close();
    const folder = await run.save('last', checkpoint(1));
    const state = readFileSync(join(folder, 'state.json'), 'utf8').replace('"format": 1', '"format": 2');
    writeFileSync(join(folder, 'state.json'), state);
    const { createHash } = await import('node:crypto');
    const marker = JSON.parse(readFileSync(join(folder, 'COMPLETE'), 'utf8'));
    marker['state.json'] = createHash('sha256').update(state).digest('hex');
    writeFileSync(join(folder, 'COMPLETE'), JSON.stringify(marker));
    await expect(run.load('last')).rejects.toThrow('its format is version 2, and this program reads version 1');
  });
});

test('opening what is no run folder says so', async () => {
  const folder = tempFolder();
  expect(await codeOf(RunFolder.open(folder))).toBe('E_CHECKPOINT');
  expect(await codeOf(RunFolder.open(join(folder, 'missing')))).toBe('E_CHECKPOINT');
  writeFileSync(join(folder, 'config.json'), '[1]');
  expect(await codeOf(RunFolder.open(folder))).toBe('E_CHECKPOINT');
});

function flip(bytes: Buffer): Buffer {
  const flipped = Buffer.from(bytes);
  flipped[flipped.length >> 1] ^= 1;
  return flipped;
}

/** The real files up to some number of changes; then nothing has an effect any more, as in a process that was killed. */
function crashAfter(calls: number): Files {
  let left = calls;
  const change = () => {
    if (left-- <= 0) throw new Error('crashed');
  };
  return {
    ...nodeFiles,
    async open(path, flags) {
      change();
      const file = await nodeFiles.open(path, flags);
      return {
        path,
        async write(bytes) {
          change();
          return file.write(bytes);
        },
        async sync() {
          change();
          return file.sync();
        },
        close: () => file.close(),
      };
    },
    async rename(from, to) {
      change();
      return nodeFiles.rename(from, to);
    },
    async mkdir(path) {
      change();
      return nodeFiles.mkdir(path);
    },
    async remove(path) {
      change();
      return nodeFiles.remove(path);
    },
    async syncFolder(path) {
      change();
      return nodeFiles.syncFolder(path);
    },
  };
}
