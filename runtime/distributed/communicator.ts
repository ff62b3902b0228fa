// What data-parallel training asks of a group of processes. The one implementation is over MPI (mpi.ts); a group of one is
// `solo`, so that nothing above has to ask whether it is alone.

/**
 * Ranks 0 to size − 1 run the same program on shares of every batch. All ranks make the same calls in the same order, one at
 * a time. Every call has a time limit: where a rank does not come, all others reject with E_RANK, which names it.
 */
export interface Communicator extends AsyncDisposable {
  readonly rank: number;
  /** Number of ranks. */
  readonly size: number;
  /** One line for people: which library, how many ranks. */
  readonly description: string;
  /** Adds up `data` element by element over all ranks, in place; all get the same bits. */
  sum(data: Float32Array | Float64Array): Promise<void>;
  /** Bytes of every rank, by rank. */
  gather(bytes: Uint8Array): Promise<Uint8Array[]>;
  /** The bytes of rank 0, on every rank. */
  broadcast(bytes: Uint8Array | null): Promise<Uint8Array>;
  /** Leaves the group. All ranks must come, or it gives up after the time limit. */
  close(): Promise<void>;
  /** Ends the processes of all ranks, this one included, with an exit status: what is left to do where a rank is lost. */
  abort(status: number): void;
}

/** A group of one. */
export const solo: Communicator = {
  rank: 0,
  size: 1,
  description: 'one process',
  sum: async () => {},
  gather: async (bytes) => [bytes],
  broadcast: async (bytes) => bytes ?? new Uint8Array(0),
  close: async () => {},
  [Symbol.asyncDispose]: async () => {},
  abort: () => {},
};
