import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HybridError } from '../runtime/base/errors.ts';
import { type Files, nodeFiles, writeAll, writeAtomically } from '../runtime/base/files.ts';
import { faultyFiles } from './support/faulty-files.ts';
import { tempFolder } from './support/temp-folder.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

async function failure(promise: Promise<unknown>): Promise<HybridError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(HybridError);
  return error as HybridError;
}

describe('nodeFiles', () => {
  test('stat tells files, folders and nothing apart', async () => {
    const folder = tempFolder();
    writeFileSync(join(folder, 'a'), 'abc');
    expect(await nodeFiles.stat(join(folder, 'a'))).toEqual({ kind: 'file', size: 3, modified: expect.closeTo(Date.now(), -5) });
    expect(await nodeFiles.stat(folder)).toMatchObject({ kind: 'folder' });
    expect(await nodeFiles.stat(join(folder, 'b'))).toBeNull();
    expect(await nodeFiles.stat(join(folder, 'a', 'below a file'))).toBeNull();
  });

  test('creates parents, sorts names, appends, refuses to replace with wx, removes', async () => {
    const folder = tempFolder();
    const deep = join(folder, 'x', 'y');
    await nodeFiles.mkdir(deep);
    await nodeFiles.mkdir(deep);
    for (const name of ['b', 'B', 'a']) writeFileSync(join(deep, name), '1');
    expect(await nodeFiles.readdir(deep)).toEqual(['B', 'a', 'b']);
    for (const text of ['2', '3']) {
      const file = await nodeFiles.open(join(deep, 'a'), 'a');
      await writeAll(file, bytes(text));
      await file.close();
    }
    expect(readFileSync(join(deep, 'a'), 'utf8')).toBe('123');
    await expect(nodeFiles.open(join(deep, 'a'), 'wx')).rejects.toMatchObject({
      code: 'EEXIST',
    });
    await nodeFiles.unlink(join(deep, 'b'));
    await nodeFiles.remove(join(folder, 'x'));
    await nodeFiles.remove(join(folder, 'x'));
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('writeAtomically', () => {
  test('replaces a file and leaves nothing aside', async () => {
    const folder = tempFolder();
    const path = join(folder, 'file');
    await writeAtomically(nodeFiles, path, [bytes('old')]);
    await writeAtomically(nodeFiles, path, [bytes('ne'), new Uint8Array(0), bytes('w')]);
    expect(readFileSync(path, 'utf8')).toBe('new');
    expect(readdirSync(folder)).toEqual(['file']);
  });

  test('syncs the contents before and the folder after the rename', async () => {
    const files = faultyFiles(nodeFiles, {});
    await writeAtomically(files, join(tempFolder(), 'file'), [bytes('a'), bytes('b')]);
    expect(files.calls).toEqual(['open', 'write', 'write', 'sync', 'close', 'rename', 'syncFolder']);
  });

  // Once without and once with a disk that stays broken.
  test.each([
    false,
    true,
  ])('a failure of any call leaves the old file or the new, and nothing else (keepFailing %s)', async (keepFailing) => {
    for (let failAt = 1; failAt <= 7; failAt++) {
      const folder = tempFolder();
      const path = join(folder, 'file');
      writeFileSync(path, 'old');
      const files = faultyFiles(nodeFiles, { failAt, keepFailing });
      const error = await failure(writeAtomically(files, path, [bytes('new '), bytes('text')]));
      expect(error.code).toBe('E_DISK');
      expect(error.message).toBe(`cannot write ${path}: the disk is full (ENOSPC); 8 bytes are needed`);
      expect(error.remedy).not.toBe('');
      expect(readdirSync(folder)).toEqual(['file']);
      // Only the sync of the folder comes after the rename.
      expect(readFileSync(path, 'utf8')).toBe(failAt === 7 ? 'new text' : 'old');
    }
  });

  test('short writes are continued', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 4 }),
        fc.integer({ min: 1, max: 7 }),
        async (chunks, maxWrite) => {
          const written: Uint8Array[] = [];
          await writeAtomically(faultyFiles(memoryFiles(written), { maxWrite }), 'file', chunks);
          expect(Buffer.concat(written)).toEqual(Buffer.concat(chunks));
        },
      ),
    );
  });

  test('a write of nothing is an error, not an endless loop', async () => {
    const path = join(tempFolder(), 'file');
    const error = await failure(writeAtomically(faultyFiles(nodeFiles, { maxWrite: 0 }), path, [bytes('abc')]));
    expect(error).toMatchObject({ code: 'E_DISK' });
    expect(error.message).toContain('wrote nothing');
  });

  test('a missing folder and a folder in the way are named', async () => {
    const folder = tempFolder();
    expect((await failure(writeAtomically(nodeFiles, join(folder, 'no', 'file'), [bytes('a')]))).message).toContain(
      'the folder does not exist',
    );
    mkdirSync(join(folder, 'taken'));
    expect((await failure(writeAtomically(nodeFiles, join(folder, 'taken'), [bytes('a')]))).code).toBe('E_DISK');
    expect(readdirSync(folder)).toEqual(['taken']);
  });
});

/** Keeps what is written; knows no folders. */
function memoryFiles(written: Uint8Array[]): Files {
  const nothing = async (): Promise<void> => {};
  return {
    ...nodeFiles,
    open: async (path) => ({
      path,
      async write(part) {
        written.push(part.slice());
        return part.length;
      },
      sync: nothing,
      close: nothing,
    }),
    rename: nothing,
    remove: nothing,
    syncFolder: nothing,
  };
}
