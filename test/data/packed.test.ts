import { createHash } from 'node:crypto';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openPacked, type PackOptions, writePacked } from '../../app/sources/packed.ts';
import { nodeFiles } from '../../runtime/base/files.ts';
import type { Dataset, PartName } from '../../runtime/data/dataset.ts';
import { DataPipeline } from '../../runtime/data/pipeline.ts';
import { readSafetensors } from '../../runtime/formats/safetensors.ts';
import { hybridError } from '../support/expect-error.ts';
import { faultyFiles } from '../support/faulty-files.ts';
import { tempFolder } from '../support/temp-folder.ts';

const SHAPE = [2, 3, 1] as const;
const LABELS = new Map<PartName, Int32Array>([
  ['train', Int32Array.of(0, 1, 2, 1, 0)],
  ['test', Int32Array.of(2, 2)],
]);
const PIXELS = Uint8Array.from({ length: 7 * 6 }, (_, i) => i * 5);

async function pack(options: Partial<PackOptions> = {}) {
  const path = join(tempFolder(), 'set.safetensors');
  await writePacked({
    files: nodeFiles,
    path,
    shape: SHAPE,
    classes: ['a', 'b', 'c'],
    name: 'things',
    labels: LABELS,
    async *images() {
      yield PIXELS.subarray(0, 10);
      yield PIXELS.subarray(10);
    },
    ...options,
  });
  return path;
}

function all(dataset: Dataset): number[] {
  const out = new Uint8Array(dataset.size * 6);
  dataset.read(
    Array.from({ length: dataset.size }, (_, i) => i),
    out,
  );
  return [...out];
}

describe('packed files', () => {
  test.each([
    ['in memory', 1000],
    ['on the disk', 41],
  ])('come back as they were, %s', async (_, memoryBudget) => {
    const path = await pack({ metadata: new Map([['key', 'k']]) });
    const { train, validation, test: held, metadata } = await openPacked(path, { memoryBudget });
    expect([train.name, train.shape, train.classes, [...train.labels]]).toEqual([
      'things training set',
      [2, 3, 1],
      ['a', 'b', 'c'],
      [0, 1, 2, 1, 0],
    ]);
    expect([held?.name, [...(held?.labels ?? [])], validation, metadata.get('key')]).toEqual(['things test set', [2, 2], null, 'k']);
    expect(all(train)).toEqual([...PIXELS.subarray(0, 30)]);
    expect(all(held as Dataset)).toEqual([...PIXELS.subarray(30)]);
    expect(train.images?.kind).toBe(memoryBudget > 42 ? 'shared' : 'module');
  });

  test('are safetensors that any reader understands', async () => {
    const { tensors } = readSafetensors(readFileSync(await pack()));
    expect([...tensors].map(([name, { shape }]) => [name, shape])).toEqual([
      ['train.labels', [5]],
      ['test.labels', [2]],
      ['train.images', [5, 2, 3, 1]],
      ['test.images', [2, 2, 3, 1]],
      ['sha256', [32]],
    ]);
    expect(tensors.get('test.images')?.data).toEqual(PIXELS.slice(30));
  });

  test('every changed byte and every cut is found', async () => {
    const path = await pack();
    const good = readFileSync(path);
    for (let at = 0; at < good.length; at++) {
      const bytes = Buffer.from(good);
      bytes[at] ^= 0x20;
      writeFileSync(path, bytes);
      await hybridError('E_DATA', openPacked(path, { memoryBudget: at % 2 === 0 ? 1000 : 0 }));
    }
    for (let length = 0; length < good.length; length += 7) {
      writeFileSync(path, good);
      truncateSync(path, length);
      await hybridError('E_DATA', openPacked(path, { memoryBudget: 1000 }));
    }
    writeFileSync(path, good);
    await openPacked(path, { memoryBudget: 0 });
  });

  test('what is well hashed but no set of images is refused all the same', async () => {
    const bad = async (options: Partial<PackOptions>, message: RegExp): Promise<void> => {
      expect((await hybridError('E_DATA', openPacked(await pack(options), { memoryBudget: 1000 }))).message).toMatch(message);
    };
    await bad(
      { labels: new Map([...LABELS, ['train', Int32Array.of(0, 1, 3, 1, 0)]]) },
      /image 2 of its train part has the label 3 of 3 classes/,
    );
    await bad({ labels: new Map([...LABELS, ['train', Int32Array.of(0, 1, -1, 1, 0)]]) }, /label -1/);
    await bad({ classes: [] }, /class names/);
    await bad({ labels: new Map([['test', new Int32Array(7)]]) }, /its tensors/);
    await bad({ metadata: new Map([['format', 'other']]) }, /another version/);
    const weights = join(tempFolder(), 'model.safetensors');
    writeFileSync(weights, Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('{}')]));
    expect((await hybridError('E_DATA', openPacked(weights, { memoryBudget: 1 }))).message).toContain('holds no images');
    await hybridError('E_DATA', openPacked(tempFolder(), { memoryBudget: 1 }));
    await hybridError('E_DATA', openPacked(join(tempFolder(), 'none'), { memoryBudget: 1 }));
  });

  test('a file cut while images are read from it is named', async () => {
    const path = await pack();
    const { train } = await openPacked(path, { memoryBudget: 0 });
    truncateSync(path, 500);
    expect(() => all(train)).toThrow(/set\.safetensors changed from \d+ to 500 bytes while it was in use/);
  });

  test('and so it is where workers read it, in the middle of an epoch', async () => {
    const path = await pack();
    const { train } = await openPacked(path, { memoryBudget: 0 });
    const feed = { dataset: train, batch: 1, seed: 0n, shuffle: false, prefetch: 0 };
    const pipeline = await DataPipeline.open({ train: feed }, { workers: 1 });
    try {
      const epoch = pipeline.loader('train').epoch(1);
      expect([...((await epoch.next()).value?.images ?? [])]).toEqual([...PIXELS.subarray(0, 6)]);
      truncateSync(path, 500);
      const rest = (async () => {
        for await (const _ of epoch);
      })();
      expect((await hybridError('E_DATA', rest)).message).toContain('set.safetensors changed');
    } finally {
      await pipeline.close();
    }
  });

  test('a full disk, missing images and an abort leave nothing', async () => {
    for (let failAt = 1; failAt <= 7; failAt++) {
      const files = faultyFiles(nodeFiles, { failAt, keepFailing: true });
      const folder = tempFolder();
      await hybridError('E_DISK', pack({ files, path: join(folder, 'x.safetensors') }));
      // With the disk full for good even the removal of the file aside fails: only the name must not be there.
      expect(await nodeFiles.stat(join(folder, 'x.safetensors'))).toBeNull();
    }
    const folder = tempFolder();
    const path = join(folder, 'x.safetensors');
    await expect(pack({ path, signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' });
    await expect(
      pack({
        path,
        async *images() {
          yield PIXELS.subarray(1);
        },
      }),
    ).rejects.toMatchObject({ code: 'E_INTERNAL' });
    expect(await nodeFiles.readdir(folder)).toEqual([]);
  });

  test('the hash is that of all bytes before it', async () => {
    const bytes = readFileSync(await pack());
    expect(createHash('sha256').update(bytes.subarray(0, -32)).digest().equals(bytes.subarray(-32))).toBe(true);
  });
});
