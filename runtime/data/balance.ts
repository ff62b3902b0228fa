// Orders in which every class comes as often as any other: images of small classes come several times an epoch, and of large ones each epoch has
// others.

import { PURPOSE, philox4x32, philoxKey } from '../base/philox.ts';

/**
 * Positions of an epoch of a set of `size` samples, as many as it has, class by class. Class k of the c that have images has ⌊(n·e + k)/c⌋ of the
 * places of the first e epochs of n, and takes its samples in turn, pass by pass, each pass in an order of its own: a Fisher–Yates permutation with
 * the words of Philox at counter (i, pass, purpose 12, class). All of it follows from seed and epoch, which counts from 1.
 */
export function balancedPositions(labels: ArrayLike<number>, size: number, { seed, epoch }: { seed: bigint; epoch: number }): Int32Array {
  const members = new Map<number, number[]>();
  for (let i = 0; i < size; i++) {
    const list = members.get(labels[i]);
    if (list) list.push(i);
    else members.set(labels[i], [i]);
  }
  const classes = [...members].sort(([a], [b]) => a - b);
  const positions = new Int32Array(size);
  let filled = 0;
  for (const [k, [label, list]] of classes.entries()) {
    const upTo = (epochs: number): number => Math.floor((size * epochs + k) / classes.length);
    let order: readonly number[] | undefined;
    for (let place = upTo(epoch - 1); place < upTo(epoch); place++) {
      const within = place % list.length;
      if (!order || within === 0) order = permuted(list, { seed, label, pass: Math.floor(place / list.length) });
      positions[filled++] = order[within];
    }
  }
  return positions;
}

function permuted(list: readonly number[], { seed, label, pass }: { seed: bigint; label: number; pass: number }): number[] {
  const order = [...list];
  const key = philoxKey(seed);
  const words = new Uint32Array(4);
  for (let i = order.length - 1; i > 0; i--) {
    philox4x32(key, [i, pass, PURPOSE.balance, label], words);
    const j = Math.floor((words[0] * (i + 1)) / 2 ** 32);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** How often the sample at each place of an order has been there before. */
export function repeatsIn(order: Int32Array, size: number): Int32Array {
  const seen = new Int32Array(size);
  return order.map((position) => seen[position]++);
}

/** Numbers of samples are 31 bits. */
const NUMBERS = 2 ** 31 - 1;

/** The number that keys the draws of a sample that was there before in its epoch: another one, of no sample of a set whose numbers are below `count`. */
export const sampleAgain = (sample: number, repeat: number, count: number): number =>
  sample + count * (repeat % Math.max(1, Math.floor(NUMBERS / count)));
