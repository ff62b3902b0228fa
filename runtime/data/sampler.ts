// The order in which an epoch visits the samples.

import { invariant } from '../base/errors.ts';
import { PURPOSE, philox4x32, philoxKey } from '../base/philox.ts';
import type { KernelModule } from './kernels.ts';

export interface SamplerOptions {
  readonly seed: bigint;
  /** False: stored order. */
  readonly shuffle: boolean;
}

const PAGE_BYTES = 65_536;

type Shuffle = (order: number, size: number, keyLow: number, keyHigh: number, epoch: number) => void;

/** The orders of a set's epochs, as `epochOrder` has them, by a data kernel: workers wait while the consumer's thread draws them. */
export class Sampler {
  /** Positions in the order of an epoch; the array is the caller's. */
  readonly order: (epoch: number) => Int32Array;

  /** `kernels`: the module of `loadDataKernels`. */
  constructor(kernels: KernelModule, size: number, { seed, shuffle }: SamplerOptions) {
    this.order = shuffle ? shuffler(kernels, size, seed) : (epoch) => epochOrder(size, { seed, epoch, shuffle });
  }
}

function shuffler(kernels: KernelModule, size: number, seed: bigint): Sampler['order'] {
  const pages = Math.max(1, Math.ceil((4 * size) / PAGE_BYTES));
  const memory = new WebAssembly.Memory<ArrayBuffer>({ initial: pages, maximum: pages, shared: false });
  const { shuffle } = new WebAssembly.Instance(kernels as WebAssembly.Module, { env: { memory } }).exports;
  invariant(typeof shuffle === 'function', 'there is no data kernel shuffle');
  const order = new Int32Array(memory.buffer, 0, size);
  return (epoch) => {
    (shuffle as Shuffle)(order.byteOffset, size, ...philoxKey(seed), epoch);
    return order.slice();
  };
}

export interface OrderOptions extends SamplerOptions {
  readonly epoch: number;
}

/**
 * Positions 0 to size − 1 in the order of the epoch. A full Fisher–Yates permutation: for i = size − 1 down to 1, entries
 * i and j change places, with j = ⌊w · (i + 1) / 2³²⌋ and w the first word of the Philox block at counter
 * (i, epoch, purpose 1, 0). (The original script draws from a window of 2,560 samples, which leaves neighbours of the file
 * near each other; a full permutation mixes better and costs the same.) asm/data/shuffle.ts does the same.
 *
 * The product has at most 63 bits; doubles round it to 53, which is the same everywhere and never yields j = i + 1.
 */
export function epochOrder(size: number, { seed, epoch, shuffle }: OrderOptions): Int32Array {
  const order = new Int32Array(size);
  for (let i = 0; i < size; i++) order[i] = i;
  if (!shuffle) return order;
  const key = philoxKey(seed);
  const counter = [0, epoch, PURPOSE.shuffle, 0];
  const words = new Uint32Array(4);
  for (let i = size - 1; i > 0; i--) {
    counter[0] = i;
    philox4x32(key, counter, words);
    const j = Math.floor((words[0] * (i + 1)) / 2 ** 32);
    const other = order[j];
    order[j] = order[i];
    order[i] = other;
  }
  return order;
}
