// A group of communicators in one process: what MPI does between processes, with the same rules and without a library.

import { HybridError } from '../../runtime/base/errors.ts';
import type { Communicator } from '../../runtime/distributed/communicator.ts';

/** Collects one contribution of every rank, then gives all of them to everybody. */
class Meeting {
  readonly #size: number;
  #present: unknown[] = [];
  #count = 0;
  #everybody = resolvers<unknown[]>();

  constructor(size: number) {
    this.#size = size;
  }

  join<T>(rank: number, what: T): Promise<T[]> {
    this.#present[rank] = what;
    const { promise, resolve } = this.#everybody;
    if (++this.#count === this.#size) {
      resolve(this.#present);
      this.#present = [];
      this.#count = 0;
      this.#everybody = resolvers();
    }
    return promise as Promise<T[]>;
  }
}

/** `size` communicators that know one another; a rank that does not come within the time is lost. */
export function localGroup(size: number, { timeoutMs = 10_000 } = {}): Communicator[] {
  const meeting = new Meeting(size);
  const inTime = async <T>(meeting: Promise<T>): Promise<T> => {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new HybridError('E_RANK', 'a rank did not come')), timeoutMs);
    });
    return Promise.race([meeting, late]).finally(() => clearTimeout(timer));
  };
  return Array.from({ length: size }, (_, rank) => ({
    rank,
    size,
    description: `rank ${rank} of ${size} in this process`,
    async sum(data) {
      const all = await inTime(meeting.join(rank, data.slice()));
      data.fill(0);
      for (const one of all) for (let i = 0; i < data.length; i++) data[i] += one[i];
    },
    gather: (bytes) => inTime(meeting.join(rank, bytes.slice())),
    async broadcast(bytes) {
      const [first] = await inTime(meeting.join(rank, bytes));
      return first ?? new Uint8Array(0);
    },
    [Symbol.asyncDispose]: async () => {},
    close: async () => {},
    abort: () => {},
  }));
}

/** `Promise.withResolvers`, which Node 20 lacks. */
function resolvers<T>() {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
