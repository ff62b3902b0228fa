import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { findShards, partOfShard } from '../../app/sources/shards.ts';
import { isTar } from '../../app/sources/webdataset.ts';
import { tempFolder } from '../support/temp-folder.ts';

it.each([
  ['cifar10.test.tar', 'test'],
  ['imagenet.val.0001.tar', 'validation'],
  ['v1.0-test-000.parquet', 'test'],
  ['test.parquet', 'test'],
  ['train-00000-of-00002.parquet', 'train'],
  ['test/0000.parquet', 'test'],
  ['latest-0.tar', 'train'],
  ['contest.tar', 'train'],
])('%s is of the %s images', (path, part) => {
  expect(partOfShard(path)).toBe(part);
});

it('an archive beside its unpacked folder of very many classes hides none of them', async () => {
  const folder = tempFolder();
  writeFileSync(join(folder, '256_ObjectCategories.tar'), '');
  for (let i = 1; i <= 120; i++) {
    const inside = join(folder, '256_ObjectCategories', `${i}`.padStart(3, '0'));
    mkdirSync(inside, { recursive: true });
    writeFileSync(join(inside, 'a.jpg'), '');
  }
  expect(await findShards(folder, isTar)).toBe(null);
});
