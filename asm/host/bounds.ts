// Measures the machine's own bounds on a gang of their own: the kernels are asm/kernels/bounds.ts.

import type { Bounds } from '../../runtime/device.ts';
import { boundsCall as call } from '../lowering/bounds.ts';
import type { Call } from '../lowering/lowering.ts';
import { ARENA, align } from './abi.ts';
import { newGang } from './calling-thread.ts';
import type { Equipment, GangOptions, Program } from './gang.ts';
import { PAGE_BYTES } from './program.ts';

const TASKS = 64;
/** Some tenths of a millisecond a task. */
const ROUNDS = 50_000;
/** A multiplication and an addition on the four lanes of each chain. */
const FLOPS_PER_CHAIN = TASKS * ROUNDS * 8;
/** Chains of the two loops, and bytes of those of a task that lie in memory: asm/kernels/bounds.ts. */
const CHAINS = 12;
const PAIRED_CHAINS = 24;
const PAIRED_BYTES = PAIRED_CHAINS * 16;
/** Larger than the caches, as activations are. */
const COPY_BYTES = 96 << 20;
const BLOCKS = 256;
/** So many runs without a gain: the bound is what the machine can do, not what it does when it is disturbed. */
const RUNS = 5;
const MOST_RUNS = 1000;
/** Milliseconds, at least: optimised code is compiled beside the first runs, on cores that these keep busy. Without it a loop is half as fast or less. */
const LEAST = 300;

/** Seconds of the fastest of many runs, of which the first touch memory for the first time and have code that is not optimised yet. `now`: milliseconds. */
export async function fastest(run: () => Promise<unknown>, now: () => number = () => performance.now()): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  const start = now();
  for (let runs = 0, gained = 0; runs < MOST_RUNS && (runs - gained < RUNS || now() - start < LEAST); runs++) {
    const begin = now();
    await run();
    const taken = (now() - begin) / 1000;
    if (taken < 0.98 * best) gained = runs;
    best = Math.min(best, taken);
  }
  return best;
}

/** `revectorized`: the kernels are joined to 256 bits, and so the bound is that of 256 bits. */
export async function measureBounds({
  revectorized,
  ...options
}: GangOptions & Omit<Equipment, 'memory' | 'scratch'> & { readonly revectorized: boolean }): Promise<Bounds> {
  const chains = align(ARENA + 64 * 16 + 16 * TASKS);
  const from = align(chains + PAIRED_BYTES * TASKS);
  const pages = Math.ceil((from + 2 * COPY_BYTES) / PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const words = new Int32Array(memory.buffer);
  const program = (address: number, { kernel, args }: Call): Program => {
    words.set([options.kernels.indexOf(kernel), address + 8, ...(args as number[])], address / 4);
    return { address, calls: 1, commit: 1, describe: () => kernel };
  };
  const operands = ARENA + 896;
  new Float32Array(memory.buffer).set([0.999, 0.001], operands / 4);
  const multiplyAdd = program(ARENA, call('boundsMultiplyAdd', { tasks: TASKS, rounds: ROUNDS, operands, result: ARENA + 1024 }));
  const pairs = program(ARENA + 256, call('boundsMultiplyAddPairs', { tasks: TASKS, rounds: ROUNDS, operands, chains }));
  const copied = { blocks: BLOCKS, bytes: COPY_BYTES / BLOCKS, from, to: from + COPY_BYTES };
  const copy = program(ARENA + 512, call('boundsCopy', copied));
  const gang = newGang(options);
  try {
    await gang.equip({ ...options, memory, scratch: 0 });
    const best = (what: Program): Promise<number> => fastest(() => gang.run(what));
    const narrow = { flopsPerSecond: (CHAINS * FLOPS_PER_CHAIN) / (await best(multiplyAdd)), width: '128-bit' };
    const wide = { flopsPerSecond: revectorized ? (PAIRED_CHAINS * FLOPS_PER_CHAIN) / (await best(pairs)) : 0, width: '256-bit' };
    const bytesPerSecond = (2 * COPY_BYTES) / (await best(copy));
    return revectorized ? { ...wide, narrower: narrow, bytesPerSecond } : { ...narrow, bytesPerSecond };
  } finally {
    await gang.close();
  }
}
