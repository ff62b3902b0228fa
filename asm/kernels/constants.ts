// x·scale + offset with given numbers, and tensors of one number.

import { AffineArgs, FillArgs, madd, nextTask, rows } from '../lib/abi';
import { CHUNK, chunkEnd, chunks } from '../lib/chunks';

/** One pair of coefficients for all elements, or one for each channel: rows are whole pixels then. */
export function affine(args: AffineArgs): void {
  const x = args.x;
  const y = args.y;
  const elements = rows() * args.elements;
  const count = args.coefficients;
  const tasks = chunks(elements);
  const scale = args.at(0).scale;
  const offset = args.at(0).offset;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const begin = task * CHUNK;
    const last = chunkEnd(begin, elements);
    if (count == 1) {
      const scales = f32x4.splat(scale);
      const offsets = f32x4.splat(offset);
      let i = (<usize>begin) << 2;
      const end = (<usize>last) << 2;
      for (; i + 16 <= end; i += 16) v128.store(y + i, madd(v128.load(x + i), scales, offsets));
      // The same operation as in vectors, which may be fused.
      for (; i < end; i += 4) store<f32>(y + i, f32x4.extract_lane(madd(v128.load32_zero(x + i), scales, offsets), 0));
      continue;
    }
    for (let i = begin; i < last; i++) {
      const pair = args.at(i % count);
      const at = (<usize>i) << 2;
      const v = madd(v128.load32_zero(x + at), f32x4.splat(pair.scale), f32x4.splat(pair.offset));
      store<f32>(y + at, f32x4.extract_lane(v, 0));
    }
  }
}

/** `perSample`: as many elements for each row of the run. */
export function fill(args: FillArgs): void {
  const elements = args.perSample ? rows() * args.elements : args.elements;
  const tasks = chunks(elements);
  const value = f32x4.splat(args.value);
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    let at = args.y + ((<usize>(task * CHUNK)) << 2);
    const end = args.y + ((<usize>chunkEnd(task * CHUNK, elements)) << 2);
    for (; at + 16 <= end; at += 16) v128.store(at, value);
    for (; at < end; at += 4) store<f32>(at, args.value);
  }
}
