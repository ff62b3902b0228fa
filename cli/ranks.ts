// A command as one of several ranks. Rank 0 talks and keeps the run folder; the others are silent unless they alone have
// something to say. `body` gets what it needs of the group, and does not otherwise know.

import { availableParallelism, cpus } from 'node:os';
import { type Communicator, openMpi, singleRank as solo } from '../runtime/entries/distributed.ts';
import { HybridError } from '../runtime/index.ts';
import type { CliIo } from './io.ts';

export interface RankFlags {
  readonly distributed?: string;
  readonly rankTimeout?: string;
}

const RANK_TIMEOUT_SECONDS = 300;
const nobody = { write: () => true };

/** Runs `body` in the group that `--distributed` names, or alone. */
export async function inGroup(flags: RankFlags, io: CliIo, body: (group: Communicator, io: CliIo) => Promise<number>): Promise<number> {
  if (flags.distributed === undefined) {
    if (flags.rankTimeout !== undefined) throw new HybridError('E_USAGE', '--rank-timeout needs --distributed', 'Add --distributed mpi.');
    return body(solo, io);
  }
  if (flags.distributed !== 'mpi') {
    throw new HybridError('E_USAGE', `--distributed is ${JSON.stringify(flags.distributed)}, but must be mpi`, 'Give mpi.');
  }
  const group = await openMpi({ timeoutSeconds: seconds(flags.rankTimeout), env: io.env });
  const own = group.rank === 0 ? io : { ...io, stdout: nobody, stderr: nobody };
  try {
    const status = await body(group, own);
    await group.close();
    return status;
  } catch (error) {
    if (error instanceof HybridError && error.onAllRanks) {
      // All ranks have come to the same error: they end in order, and one of them says it.
      await group.close();
      if (group.rank === 0) throw error;
      return error.exitStatus;
    }
    // The others wait for this rank, and would until their time is up. They end with it, after it has been said why.
    io.ended = (status) => group.abort(status);
    throw error instanceof HybridError ? error.withMessage(`rank ${group.rank}: ${error.message}`) : error;
  }
}

/** Threads that a rank should use where nobody says: its part of the cores that it shares with others. Undefined: all. */
export function threadsOfRank({ size }: Communicator, { env }: CliIo): number | undefined {
  // Slurm counts by node, such as `4(x2),3`: the first counts for all.
  const here = Number.parseInt(env.MPI_LOCALNRANKS ?? env.OMPI_COMM_WORLD_LOCAL_SIZE ?? env.SLURM_STEP_TASKS_PER_NODE ?? '1', 10);
  const usable = availableParallelism();
  // A launcher that binds ranks to cores has shared them out already.
  const bound = usable < cpus().length;
  return size > 1 && here > 1 && !bound ? Math.max(1, Math.floor(usable / here)) : undefined;
}

function seconds(text: string | undefined): number {
  if (text === undefined) return RANK_TIMEOUT_SECONDS;
  if (/^\d{1,5}$/.test(text) && Number(text) >= 1) return Number(text);
  throw new HybridError(
    'E_USAGE',
    `--rank-timeout is ${JSON.stringify(text)}, but must be a whole number of seconds from 1 on`,
    'Give seconds, such as 60.',
  );
}
