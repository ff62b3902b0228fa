// Runs of a group within this process: what ranks decide together.

import { expect, it } from 'vitest';
import { HybridError } from '../../runtime/base/errors.ts';
import type { TrainOptions } from '../../runtime/train/events.ts';
import { trainInGroup } from '../../runtime/train/group.ts';
import { localGroup } from '../support/local-group.ts';
import { MemoryStore, runPart, smallOptions } from '../support/runs.ts';

type Run = Awaited<ReturnType<typeof trainInGroup>>;

/** How the ranks end, after all events of each were heard. */
async function ends(options: (rank: number) => Partial<TrainOptions>, onStep: (rank: number, run: Run) => void = () => {}) {
  const group = localGroup(2, { timeoutMs: 5000 });
  const outcomes = await Promise.allSettled(
    group.map(async (communicator, rank) => {
      const run = await trainInGroup({ ...smallOptions({ test: null, ...options(rank) }), communicator });
      for await (const event of run) if (event.type === 'step') onStep(rank, run);
      return (await run.result).reason;
    }),
  );
  return outcomes.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value : outcome.reason.code));
}

it('stop() on one rank stops all', async () => {
  const stop = (rank: number, run: Run) => rank === 0 && void run.stop();
  expect(await ends(() => ({ epochs: 50 }), stop)).toEqual(['aborted', 'aborted']);
});

it('ranks that differ in --on-nan refuse', async () => {
  expect(await ends((rank) => ({ onNan: rank === 0 ? 'stop' : 'skip' }))).toEqual(['E_RANK', 'E_RANK']);
});

it('the best weights that rank 0 cannot read hold nobody up: all resume', async () => {
  const store = new MemoryStore();
  await runPart(smallOptions({ store, epochs: 1, test: null }));
  const resume = (await store.load('last')) ?? undefined;
  store.load = async () => {
    throw new HybridError('E_CHECKPOINT', 'best is damaged', 'none');
  };
  const options = (rank: number) => ({ resume, store: rank === 0 ? store : undefined, allowChanged: ['arithmetic'] });
  expect(await ends(options)).toEqual(['completed', 'completed']);
});
