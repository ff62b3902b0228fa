// Runs in a page: one that was begun in Node goes on there, in the page's own file system, and then in Node again, to the bits of one that never moved.

import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { openWasmDevice } from '../../asm/host/device.ts';
import { hasFma } from '../../asm/host/modules.ts';
import { sha256 } from '../../runtime/base/sha256.ts';
import { augmentOptions } from '../../runtime/data/augment/names.ts';
import { syntheticSource } from '../../runtime/data/synthetic.ts';
import { buildModel } from '../../runtime/model/architectures.ts';
import type { Checkpoint, CheckpointStore } from '../../runtime/train/checkpoint.ts';
import { packCheckpoint, unpackCheckpoint } from '../../runtime/train/checkpoint-files.ts';
import { train } from '../../runtime/train/run.ts';
import { type PageWindow, startPages } from '../support/page.ts';
import { keptInPage } from '../support/page-store.ts';

const { canOpen, open } = await startPages();

const IMAGES = 64;
const MODEL = { classes: 10, dim: 16, depth: 2, patch: 4, kernel: 3, dropout: 0.1 } as const;
const AUGMENT = 'crop,flip';
const RUN = { epochs: 3, batch: 16, seed: 9n } as const;

/** Keeps bytes, as a store on a disk would. */
class BytesStore implements CheckpointStore {
  readonly location = 'memory';
  readonly saved = new Map<string, Uint8Array>();
  async save(kind: string, checkpoint: Checkpoint) {
    this.saved.set(kind, packCheckpoint(checkpoint));
    return kind;
  }
  async load(kind: string) {
    const bytes = this.saved.get(kind);
    return bytes ? unpackCheckpoint(bytes) : null;
  }
}

/** Trains in Node, from a checkpoint or the beginning, until the end of an epoch; the state there. */
async function inNode(until: number, from?: Uint8Array): Promise<Uint8Array> {
  const device = await openWasmDevice({ threads: 2, v8Flags: true, fma: true });
  const { train: images } = syntheticSource({ train: IMAGES, test: 0 });
  const store = new BytesStore();
  const run = train({
    ...{ ...RUN, device, store, train: images, augment: augmentOptions(AUGMENT), workers: 1 },
    model: buildModel('convmixer', { ...MODEL, input: [32, 32, 3] }),
    resume: from && unpackCheckpoint(from),
  });
  for await (const event of run) if (event.type === 'step' && event.epoch === until + 1) await run.stop();
  await run.result;
  await device.close();
  return store.saved.get('last') as Uint8Array;
}

/** The same in a page, whose store is in its own file system. */
const inPage = (page: Page, from: Uint8Array, until: number): Promise<Uint8Array> =>
  page.evaluate(
    async ([checkpoint, last, options, model, augment, images]) => {
      const { root, data, formats } = (globalThis as unknown as PageWindow).hybrid;
      const device = await root.openDevice('wasm', { threads: 3 });
      const { train: set } = data.syntheticSource({ train: images, test: 0 });
      const store = await root.originStore('carried');
      const run = root.train({
        ...{ ...options, device, store, train: set, augment: root.augmentOptions(augment), workers: 2 },
        model: root.buildModel('convmixer', { ...model, input: [32, 32, 3] }),
        resume: formats.unpackCheckpoint(checkpoint),
      });
      for await (const event of run) if (event.type === 'step' && event.epoch === last + 1) await run.stop();
      await run.result;
      await device.close();
      const saved = await store.load('last');
      if (!saved) throw new Error('nothing was saved');
      return formats.packCheckpoint(saved);
    },
    [from, until, RUN, MODEL, AUGMENT, IMAGES] as const,
  );

/** Of weights, optimizer and where the run is, but for times. */
function digest(bytes: Uint8Array): string {
  const { weights, optimizer, graph } = unpackCheckpoint(bytes);
  expect(weights.size).toBeGreaterThan(15);
  return sha256(
    graph.digest,
    ...[...weights, ...optimizer].flatMap(([name, { data }]) => [name, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)]),
  );
}

describe.skipIf(!canOpen)('in Chromium', () => {
  it.skipIf(!hasFma({ v8Flags: true }))('a run goes from Node to a page and back, to the same bits', async () => {
    const begun = await inNode(1);
    const { page, said } = await open(true);
    const carried = await inPage(page, begun, 2);
    expect(digest(carried)).not.toBe(digest(begun));
    const back = await inNode(3, carried);
    expect(digest(back)).toBe(digest(await inNode(3)));
    expect(said).toEqual([]);
  });

  it('checkpoints in the private file system: whole or not at all, gone when they are cleared, and refused when they are damaged', async () => {
    const { page } = await open(false);
    const outcome = await keptInPage(page);
    expect(outcome).toMatchObject({ nothing: null, kept: true, cleared: null });
    expect(outcome.weights).toBeGreaterThan(5);
    expect(outcome.damaged).toMatch(/^E_CHECKPOINT: the checkpoint the private file system \(a run of mine\)\/last cannot be used: /);
    expect(outcome.name).toMatch(/^E_USAGE/);
  });
});
