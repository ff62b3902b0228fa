// The larger or the smaller of two tensors, and where it came from.

import { ExtremeArgs, ExtremeGradArgs, nextTask, rows } from '../lib/abi';
import { CHUNK, chunkEnd, chunks } from '../lib/chunks';
import { loadLanes, storeLanes } from '../lib/simd';

/** NaN wins over numbers. */
export function extreme(args: ExtremeArgs): void {
  const elements = rows() * args.elements;
  const tasks = chunks(elements);
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const end = chunkEnd(task * CHUNK, elements);
    for (let i = task * CHUNK; i < end; i += 4) {
      const at = (<usize>i) << 2;
      const lanes = min(4, end - i);
      const a = loadLanes(args.a + at, lanes);
      const b = loadLanes(args.b + at, lanes);
      storeLanes(args.y + at, args.minimum ? f32x4.min(a, b) : f32x4.max(a, b), lanes);
    }
  }
}

/** dy where a was taken, or where it was not. */
export function extremeGrad(args: ExtremeGradArgs): void {
  const elements = rows() * args.elements;
  const tasks = chunks(elements);
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const end = chunkEnd(task * CHUNK, elements);
    for (let i = task * CHUNK; i < end; i += 4) {
      const at = (<usize>i) << 2;
      const lanes = min(4, end - i);
      const a = loadLanes(args.a + at, lanes);
      const b = loadLanes(args.b + at, lanes);
      const isA = args.minimum ? f32x4.le(a, b) : f32x4.ge(a, b);
      const dy = loadLanes(args.dy + at, lanes);
      storeLanes(args.dx + at, args.ofB ? v128.andnot(dy, isA) : v128.and(dy, isA), lanes);
    }
  }
}
