// A Communicator over MPI.
//
// Collectives are started without blocking and asked about from the event loop, so that the process stays responsive, works on
// meanwhile, and can give up. Buffers that MPI reads or writes live in memory that does not move, and are held until it is done.
//
// Who is missing: a rank that has waited half its time limit tells rank 0, once, which call it waits in. When rank 0's own time is up it
// knows who waits with it; the others are lost, dead or hanging. If rank 0 is the lost one, the others find that it has not
// ended them after one and a half time limits.

import { fstatSync } from 'node:fs';
import { HybridError, invariant } from '../base/errors.ts';
import { refuseUnknownOptions } from '../base/kinds.ts';
import type { Communicator } from './communicator.ts';
import { loadMpi, type MpiLibrary, ranksStarted, stable, startedByMpi } from './mpi-library.ts';

/** How the group is found, and how long ranks wait for each other. */
export interface MpiOptions {
  /** Seconds to wait for a rank before it is considered lost. */
  readonly timeoutSeconds: number;
  /** File of the MPI library; by default it is looked for. */
  readonly library?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** Threads of koffi are not used: all calls come from one thread. */
const THREAD_FUNNELED = 1;
const WAITING_TAG = 0x4859; // of the messages to rank 0
/** How long a rank asks again at once before it sleeps in between: most waits are for ranks that are nearly there. */
const EAGER_MS = 3;
/** How often it asks between two sleeps: data moves only while MPI is asked, a piece at a time. */
const LOOKS = 16;

/** Joins the group that mpiexec started. Throws E_ENVIRONMENT where there is no MPI that understands it, E_USAGE where no launcher started this process. */
export async function openMpi(options: MpiOptions): Promise<Communicator> {
  refuseUnknownOptions<MpiOptions>(options, { timeoutSeconds: true, library: true, env: true }, 'openMpi');
  const { timeoutSeconds, library, env = process.env } = options;
  if (!startedByMpi(env)) {
    throw new HybridError(
      'E_USAGE',
      'no MPI launcher has started this process',
      'Start it as `mpiexec -n 4 node PATH/dist/cli/main.js train … --distributed mpi`, or leave `distributed` out.',
    );
  }
  checkLauncher(env);
  calmUcx();
  const group = new MpiCommunicator(await loadMpi(env, library), timeoutSeconds * 1000);
  const started = ranksStarted(env) ?? group.size;
  if (group.size === started) return group;
  // A library that does not understand the launcher makes a group of one of every rank.
  await group.close();
  throw new HybridError(
    'E_ENVIRONMENT',
    `the launcher started ${started} ranks, but ${group.description.split(',')[0]} finds ${group.size}: launcher and library do not match`,
    'Use the mpiexec of that library; under Slurm `srun --mpi=pmi2` for MPICH and `srun --mpi=pmix` for Open MPI.',
  );
}

/**
 * UCX, the transport of many MPI libraries, patches the memory functions of the process and takes over its fault signals. Both are V8's
 * own ground: with them, a rank was seen to end in a fault during a garbage collection, now and then. Whoever sets them means it.
 */
function calmUcx(): void {
  process.env.UCX_MEM_EVENTS ??= 'no';
  process.env.UCX_ERROR_SIGNALS ??= '';
}

/** MPICH's launcher passes an open connection on to its processes. Where it was lost on the way, MPI would crash. */
function checkLauncher({ PMI_FD }: NodeJS.ProcessEnv): void {
  if (PMI_FD === undefined) return;
  try {
    if (fstatSync(Number(PMI_FD)).isSocket()) return;
  } catch {
    // not open
  }
  throw new HybridError(
    'E_ENVIRONMENT',
    'the connection to the MPI launcher was lost on the way to this process: npx does not pass it through',
    'Use `mpiexec -pmi-port -n 4 npx hybrid …`, or start the program itself: `mpiexec -n 4 node PATH/dist/cli/main.js …`.',
  );
}

class MpiCommunicator implements Communicator {
  readonly rank: number;
  readonly size: number;
  readonly description: string;
  readonly #mpi: MpiLibrary;
  readonly #timeoutMs: number;
  readonly #request = stable(8);
  readonly #flag = new Int32Array(stable(4).buffer, 0, 1);
  readonly #status = stable(128);
  /** Number of collective calls so far, the same on all ranks. */
  #calls = 0;
  #busy = false;
  #staging = stable(0);
  /** Of rank 0, by rank: the latest call that a rank has said it waits in. */
  readonly #reports: { readonly call: Int32Array; readonly request: Uint8Array; waitsIn: number }[] = [];
  /** Of other ranks: a message to rank 0 that may be on its way. */
  readonly #report = { call: new Int32Array(stable(4).buffer, 0, 1), request: stable(8) };

  constructor(mpi: MpiLibrary, timeoutMs: number) {
    this.#mpi = mpi;
    this.#timeoutMs = timeoutMs;
    mpi.call('MPI_Init_thread', null, null, THREAD_FUNNELED, stable(4));
    mpi.call('MPI_Comm_set_errhandler', mpi.world, mpi.errorsReturn);
    this.rank = this.#ask('MPI_Comm_rank');
    this.size = this.#ask('MPI_Comm_size');
    this.description = `${mpi.version}, rank ${this.rank} of ${this.size}`;
    for (let rank = 1; this.rank === 0 && rank < this.size; rank++) {
      const report = { call: new Int32Array(stable(4).buffer, 0, 1), request: stable(8), waitsIn: 0 };
      this.#reports.push(report);
      this.#listen(rank, report);
    }
  }

  async sum(data: Float32Array | Float64Array): Promise<void> {
    const { inPlace, float, double, sum, world } = this.#mpi;
    const type = data instanceof Float32Array ? float : double;
    const bytes = this.#stage(data.byteLength);
    const staged =
      data instanceof Float32Array ? new Float32Array(bytes.buffer, 0, data.length) : new Float64Array(bytes.buffer, 0, data.length);
    staged.set(data);
    await this.#collective(() => this.#mpi.call('MPI_Iallreduce', inPlace, staged, data.length, type, sum, world, this.#request));
    data.set(staged);
  }

  async gather(bytes: Uint8Array): Promise<Uint8Array[]> {
    const lengths = new Float64Array(this.size);
    lengths[this.rank] = bytes.length;
    await this.sum(lengths);
    const longest = lengths.reduce((most, length) => Math.max(most, length));
    const own = stable(longest);
    own.set(bytes);
    const all = stable(longest * this.size);
    const { byte, world } = this.#mpi;
    await this.#collective(() => this.#mpi.call('MPI_Iallgather', own, longest, byte, all, longest, byte, world, this.#request));
    return Array.from(lengths, (length, rank) => all.slice(rank * longest, rank * longest + length));
  }

  async broadcast(bytes: Uint8Array | null): Promise<Uint8Array> {
    const length = Float64Array.of(this.rank === 0 ? (bytes?.length ?? 0) : 0);
    await this.sum(length);
    const buffer = stable(length[0]);
    if (this.rank === 0 && bytes) buffer.set(bytes);
    const { byte, world } = this.#mpi;
    await this.#collective(() => this.#mpi.call('MPI_Ibcast', buffer, length[0], byte, 0, world, this.#request));
    return buffer;
  }

  async close(): Promise<void> {
    // Not before all are here: the others may still ask rank 0 for a report, and finalising waits without a time limit.
    await this.#collective(() => this.#mpi.call('MPI_Ibarrier', this.#mpi.world, this.#request));
    for (const { request } of this.#reports) {
      this.#mpi.call('MPI_Cancel', request);
      this.#mpi.call('MPI_Request_free', request);
    }
    this.#mpi.call('MPI_Finalize');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  abort(status: number): void {
    this.#mpi.call('MPI_Abort', this.#mpi.world, status);
  }

  /** Runs a collective call to its end. Throws E_RANK where a rank does not come in time. */
  async #collective(start: () => void): Promise<void> {
    invariant(!this.#busy, 'two collective calls at a time');
    this.#busy = true;
    this.#calls++;
    start();
    const begin = performance.now();
    let told = false;
    for (let looks = 1; !this.#done(this.#request); looks++) {
      const waited = performance.now() - begin;
      if (waited < EAGER_MS || looks % LOOKS > 0) await new Promise((resolve) => setImmediate(resolve));
      else await new Promise((resolve) => setTimeout(resolve, 1));
      if (this.rank === 0) {
        if (waited > this.#timeoutMs) throw this.#lost(this.#missing());
      } else {
        if (waited > this.#timeoutMs / 2 && !told) {
          told = true;
          this.#tell();
        }
        if (waited > this.#timeoutMs * 1.5) throw this.#lost([0]);
      }
    }
    this.#busy = false;
  }

  #lost(ranks: readonly number[]): HybridError {
    const who = ranks.length === 0 ? 'a rank' : `rank${ranks.length === 1 ? '' : 's'} ${ranks.join(', ')}`;
    return new HybridError(
      'E_RANK',
      `${who} of ${this.size} did not reach a common step within ${this.#timeoutMs / 1000} s: it has ended, hangs, or is disconnected from rank ${this.rank}`,
      'See the messages of that rank, and resume from the last checkpoint.',
    );
  }

  /** Rank 0: who does not wait in this call. */
  #missing(): number[] {
    return this.#reports.flatMap((report, i) => {
      while (this.#done(report.request)) {
        report.waitsIn = report.call[0];
        this.#listen(i + 1, report);
      }
      return report.waitsIn === this.#calls ? [] : [i + 1];
    });
  }

  #listen(rank: number, { call, request }: { readonly call: Int32Array; readonly request: Uint8Array }): void {
    this.#mpi.call('MPI_Irecv', call, 4, this.#mpi.byte, rank, WAITING_TAG, this.#mpi.world, request);
  }

  #tell(): void {
    this.#report.call[0] = this.#calls;
    this.#mpi.call('MPI_Isend', this.#report.call, 4, this.#mpi.byte, 0, WAITING_TAG, this.#mpi.world, this.#report.request);
  }

  #done(request: Uint8Array): boolean {
    this.#mpi.call('MPI_Test', request, this.#flag, this.#status);
    return this.#flag[0] !== 0;
  }

  #ask(name: 'MPI_Comm_rank' | 'MPI_Comm_size'): number {
    this.#mpi.call(name, this.#mpi.world, this.#flag);
    return this.#flag[0];
  }

  /** Memory for at least so many bytes, used again from call to call. */
  #stage(bytes: number): Uint8Array {
    if (this.#staging.buffer.byteLength < bytes) this.#staging = stable(bytes);
    return this.#staging;
  }
}
