// The order in which an epoch visits the samples.

import { PURPOSE, philox4x32, philoxKey } from '../base/philox.ts';

export interface OrderOptions {
  readonly seed: bigint;
  readonly epoch: number;
  /** False: stored order. */
  readonly shuffle: boolean;
}

/**
 * Positions 0 to size − 1 in the order of the epoch. A full Fisher–Yates permutation: for i = size − 1 down to 1, entries
 * i and j change places, with j = ⌊w · (i + 1) / 2³²⌋ and w the first word of the Philox block at counter
 * (i, epoch, purpose 1, 0). (The original script draws from a window of 2,560 samples, which leaves neighbours of the file
 * near each other; a full permutation mixes better and costs the same.)
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
