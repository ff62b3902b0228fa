// Checkpoints are written while training goes on: of the state at the call, and never in silence where it fails.

import { describe, expect, it } from 'vitest';
import { HybridError } from '../../runtime/base/errors.ts';
import type { Checkpoint, CheckpointKind } from '../../runtime/train/checkpoint.ts';
import { CheckpointWriter } from '../../runtime/train/checkpoint-writer.ts';
import { train } from '../../runtime/train/run.ts';
import { markedCheckpoint, markOf } from '../support/checkpoints.ts';
import { hybridError } from '../support/expect-error.ts';
import { digestOf, MemoryStore, ofType, runPart, smallOptions } from '../support/runs.ts';

const full = () => new HybridError('E_DISK', 'the disk is full', 'Free some space.');

describe('case 7: a write in the background fails', () => {
  it('is told once, by whoever asks next, and nothing is written any more until then', async () => {
    const written: number[] = [];
    const told: string[] = [];
    const save = async (_: CheckpointKind, checkpoint: Checkpoint): Promise<string> => {
      if (markOf(checkpoint) === 2) throw full();
      written.push(markOf(checkpoint));
      return 'there';
    };
    const writer = new CheckpointWriter({ location: 'x', save, load: async () => null }, (kind, path, epoch) => {
      told.push(`${kind} ${epoch} ${path}`);
    });
    for (const mark of [1, 2, 3]) writer.save('last', mark, Promise.resolve(markedCheckpoint(mark)));
    expect(writer.busy).toBe(true);
    await hybridError('E_DISK', writer.settle());
    expect(writer.busy).toBe(false);
    await writer.settle();
    writer.save('last', 4, Promise.resolve(markedCheckpoint(4)));
    await writer.settle();
    expect(written).toEqual([1, 4]);
    expect(told).toEqual(['last 1 there', 'last 4 there']);
    writer.save('last', 5, Promise.reject(full()));
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(() => writer.check()).toThrow('the disk is full');
  });

  it.each([1, 2, 3, 4, 5])('ends the run with its error: save %i', async (failing) => {
    const store = new MemoryStore();
    let saves = 0;
    const failingStore = {
      location: 'memory',
      save: async (kind: CheckpointKind, checkpoint: Checkpoint) => {
        // Late, so that the loop has long gone on.
        await new Promise((resolve) => setTimeout(resolve, 20));
        if (++saves === failing) throw full();
        return store.save(kind, checkpoint);
      },
      load: (kind: CheckpointKind) => store.load(kind),
    };
    const options = smallOptions({ epochs: 3, learningRate: 0.01, store: failingStore, checkpointEvery: { steps: 3 } });
    await hybridError('E_DISK', train(options).result);
    // What was told to be there is there, and nothing that failed was told.
    expect(saves).toBe(failing);
    expect(store.saved).toHaveLength(failing - 1);
  });
});

describe('case 8: the state changes while it is written', () => {
  it('the file has the state at the call', async () => {
    const exact = new MemoryStore();
    await runPart(smallOptions({ store: exact, checkpointEvery: { steps: 1 } }));
    const slow = new MemoryStore();
    const save = slow.save.bind(slow);
    slow.save = async (kind, checkpoint) => {
      // Several steps pass between the call and the write.
      await new Promise((resolve) => setTimeout(resolve, 30));
      return save(kind, checkpoint);
    };
    const { events } = await runPart(smallOptions({ store: slow, checkpointEvery: { steps: 1 } }));
    const byPosition = new Map(exact.saved.map(({ checkpoint }) => [positionOf(checkpoint), digestOf(checkpoint)]));
    expect(slow.saved.length).toBeGreaterThanOrEqual(4);
    for (const { checkpoint } of slow.saved) {
      const known = byPosition.get(positionOf(checkpoint));
      if (known) expect(digestOf(checkpoint)).toBe(known);
    }
    expect(ofType(events, 'checkpoint').map(({ kind }) => kind)).toEqual(slow.saved.map(({ kind }) => kind));
    // Writes take turns, and those within an epoch give way: the run does not wait for them.
    expect(slow.saved.length).toBeLessThan(exact.saved.length);
  });
});

const positionOf = ({ progress, optimizer }: Checkpoint): string =>
  `${progress.epoch} ${progress.step} ${optimizer.get('optimizer/vars/0')?.data[0]}`;

it('the n-th epochs are kept for good', async () => {
  const store = new MemoryStore();
  await runPart(smallOptions({ epochs: 5, store, keepEvery: 2 }));
  const kept = store.saved.filter(({ kind }) => kind.startsWith('epoch'));
  expect(kept.map(({ kind, checkpoint }) => [kind, checkpoint.progress.epoch])).toEqual([
    ['epoch-0002', 2],
    ['epoch-0004', 4],
  ]);
});

it('also after some minutes, where that is asked', async () => {
  const store = new MemoryStore();
  await runPart(smallOptions({ epochs: 1, store, checkpointEvery: { minutes: 1e-9 } }));
  expect(store.saved.filter(({ kind }) => kind === 'last').length).toBeGreaterThan(2);
});
