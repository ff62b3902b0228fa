// Checkpoints in a page's private file system, driven there: what is written, found again, left half written, damaged and cleared.

import type { PageWindow } from './page.ts';
import type { PageEvaluator } from './page-device.ts';

export const keptInPage = (page: PageEvaluator) =>
  page.evaluate(async () => {
    const { root, data } = (globalThis as unknown as PageWindow).hybrid;
    const codeOf = (promise: Promise<unknown>) =>
      promise.then(
        () => 'none',
        (error: { code: string; message: string }) => `${error.code}: ${error.message}`,
      );
    const device = await root.openDevice('wasm', { threads: 1 });
    const { train: set } = data.syntheticSource({ train: 32, test: 0 });
    const store = await root.originStore('a run of mine');
    const nothing = await store.load('last');
    const model = root.buildModel('convmixer', { input: [32, 32, 3], classes: 10, dim: 8, depth: 1, patch: 4 });
    await root.train({ device, model, train: set, epochs: 1, batch: 16, store }).result;
    await device.close();
    // Another instance sees what the first has written.
    const best = await (await root.originStore('a run of mine')).load('best');
    type Folder = {
      getDirectoryHandle(name: string): Promise<Folder>;
      getFileHandle(name: string): Promise<{
        createWritable(options: object): Promise<{ write(what: object): Promise<void>; close(): Promise<void>; abort(): Promise<void> }>;
      }>;
    };
    const origin = await (
      globalThis as unknown as { navigator: { storage: { getDirectory(): Promise<Folder> } } }
    ).navigator.storage.getDirectory();
    const file = await (await (await origin.getDirectoryHandle('hybrid')).getDirectoryHandle('a run of mine')).getFileHandle('last.zip');
    // Begun and never closed, as by a page that was left: what was there stays.
    const left = await file.createWritable({ keepExistingData: false });
    await left.write({ type: 'write', position: 0, data: new Uint8Array(10) });
    const kept = (await store.load('last')) !== null;
    await left.abort();
    const damage = await file.createWritable({ keepExistingData: true });
    await damage.write({ type: 'write', position: 3000, data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) });
    await damage.close();
    const damaged = await codeOf(store.load('last'));
    await store.clear();
    return {
      nothing,
      weights: best?.weights.size,
      kept,
      damaged,
      cleared: await store.load('best'),
      name: await codeOf(root.originStore('../up')),
    };
  }, undefined);
