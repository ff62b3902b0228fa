// Files of a folder that was chosen in a page: labels and parts of a set follow from the folders' names, as for a folder in Node.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type LabelledFilesOptions, labelledFiles } from '../../app/sources/decoded-files.ts';
import { scanFolder } from '../../app/sources/folder-scan.ts';
import { tempFolder } from '../support/temp-folder.ts';

const filesOf = (paths: readonly string[]) =>
  paths.map((path) =>
    Object.assign(new Blob([]), { name: path.split('/').at(-1) as string, webkitRelativePath: path.includes('/') ? path : '' }),
  );

/** `label: name` of what a page makes of these. */
const inPage = (paths: readonly string[], options?: LabelledFilesOptions): string[] =>
  labelledFiles(filesOf(paths), options).map(({ label, name }) => `${label}: ${name}`);

/** The same of Node, which looks at the folder that was chosen; by part. */
async function inNode(paths: readonly string[]) {
  const folder = tempFolder();
  for (const path of paths) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), '');
  }
  const { classes, parts } = await scanFolder(folder);
  return new Map([...parts].map(([part, images]) => [part, images.map(({ label, path }) => `${classes[label]}: ${path}`).sort()]));
}

const both = ['cat', 'dog'];
const under = (folder: string, names: readonly string[] = both): string[] => names.map((name) => `set/${folder}${name}/1.png`);

describe('labels and parts are those of Node', () => {
  it.each([
    ['classes alone', under('')],
    ['train and test', [...under('train/'), ...under('test/')]],
    ['other names of the three', [...under('seg_train/'), ...under('Validation/'), ...under('test_set/')]],
    ['a test folder without some classes', [...under('train/'), ...under('test/', ['dog'])]],
    ['classes with test beside them', [...under(''), ...under('test/')]],
    ['train beside something else', [...under('train/'), 'set/extra/1.png']],
  ])('%s', async (_, paths) => {
    const parts = await inNode(paths);
    for (const part of ['train', 'validation', 'test'] as const) {
      expect(inPage(paths, { part }).sort()).toEqual(parts.get(part) ?? []);
    }
    if (parts.size > 1) expect(() => labelledFiles(filesOf(paths))).toThrow(/holds parts of a set \(.*\), which are not to be mixed/);
    else expect(inPage(paths).sort()).toEqual(parts.get('train'));
  });

  it.each([
    ['pictures right in train and test', ['set/train/1.png', 'set/test/1.png']],
    ['no part for training', [...under('val/'), ...under('test/')]],
  ])('%s: refused', async (_, paths) => {
    await expect(inNode(paths)).rejects.toMatchObject({ code: 'E_DATA', message: expect.stringContaining('names of parts of a set') });
    for (const options of [{}, { part: 'train' }] as const)
      expect(() => labelledFiles(filesOf(paths), options)).toThrow(
        expect.objectContaining({ code: 'E_DATA', message: expect.stringContaining('names of parts of a set') }),
      );
  });
});

it('a folder of pictures that is called like a part is a class where it is alone, or among others', () => {
  expect(inPage(['test/1.png'])).toEqual(['test: test/1.png']);
  expect(inPage(['set/cat/1.png', 'set/test/1.png'])).toEqual(['cat: set/cat/1.png', 'test: set/test/1.png']);
});

it('loose files, and what systems leave, are of no class', () => {
  expect(inPage(['1.png', 'set/cat/.1.png', 'set/@eaDir/1.png', 'set/cat/1.png', 'set/dog/1.png'])).toHaveLength(2);
});

it('options that there are not are refused', () => {
  expect(() => labelledFiles([], { part: 'training' as never })).toThrow(expect.objectContaining({ code: 'E_USAGE' }));
  expect(() => labelledFiles([], { parts: 'train' } as never)).toThrow(/part/);
});
