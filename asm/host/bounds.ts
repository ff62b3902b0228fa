// Measures the machine's own bounds on a gang of their own: the kernels are asm/kernels/bounds.ts.

import type { Bounds } from '../../runtime/device.ts';
import { type Call, call } from '../lowering/lowering.ts';
import { ARENA, align } from './abi.ts';
import { type Equipment, Gang, type GangOptions, type Program } from './gang.ts';
import { PAGE_BYTES } from './program.ts';

const TASKS = 64;
/** Some tenths of a millisecond a task. */
const ROUNDS = 50_000;
/** Two vectors of a chain: a multiplication and an addition on four lanes each, in twelve chains. */
const FLOPS = TASKS * ROUNDS * 12 * 8;
/** Larger than the caches, as activations are. */
const COPY_BYTES = 96 << 20;
const BLOCKS = 256;
/** The best of so many runs: the bound is what the machine can do, not what it does when it is disturbed. */
const RUNS = 5;

export async function measureBounds(options: GangOptions & Omit<Equipment, 'memory' | 'scratch'>): Promise<Bounds> {
  const from = align(ARENA + 64 * 16 + 16 * TASKS);
  const pages = Math.ceil((from + 2 * COPY_BYTES) / PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const words = new Int32Array(memory.buffer);
  const program = (address: number, { kernel, args }: Call): Program => {
    words.set([options.kernels.indexOf(kernel), address + 8, ...(args as number[])], address / 4);
    return { address, calls: 1, commit: 1, describe: () => kernel };
  };
  const multiplyAdd = program(ARENA, call('boundsMultiplyAdd', { tasks: TASKS, rounds: ROUNDS, result: ARENA + 1024 }));
  const copied = { blocks: BLOCKS, bytes: COPY_BYTES / BLOCKS, from, to: from + COPY_BYTES };
  const copy = program(ARENA + 512, call('boundsCopy', copied));
  const gang = await Gang.start({ ...options, memory, scratch: 0 });
  try {
    const best = async (what: Program): Promise<number> => {
      let seconds = Number.POSITIVE_INFINITY;
      for (let run = 0; run <= RUNS; run++) {
        const begin = performance.now();
        await gang.run(what);
        // The first run touches the memory for the first time.
        if (run > 0) seconds = Math.min(seconds, (performance.now() - begin) / 1000);
      }
      return seconds;
    };
    return { flopsPerSecond: FLOPS / (await best(multiplyAdd)), bytesPerSecond: (2 * COPY_BYTES) / (await best(copy)) };
  } finally {
    await gang.close();
  }
}
