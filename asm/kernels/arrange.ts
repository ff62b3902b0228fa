// Images beside each other by channels, and axes in another order.

import { ConcatArgs, nextTask, PermuteArgs, rows } from '../lib/abi';
import { copyFloats } from '../lib/simd';

/** Pixels that a task copies. */
const PIXELS: i32 = 64;

/** y [pixels, Σ elements] of parts [pixels, elements]; pixels are those of all rows. */
export function concat(args: ConcatArgs): void {
  const pixels = rows() * args.pixels;
  const stride = (<usize>args.channels) << 2;
  const parts = args.parts;
  const tasks = (pixels + PIXELS - 1) / PIXELS;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const first = task * PIXELS;
    const end = min(first + PIXELS, pixels);
    let to = args.y + <usize>first * stride;
    for (let k = 0; k < parts; k++) {
      const part = args.at(k);
      const count = part.elements;
      const bytes = (<usize>count) << 2;
      let from = part.address + <usize>first * bytes;
      let at = to;
      for (let pixel = first; pixel < end; pixel++, from += bytes, at += stride) copyFloats(at, from, count);
      to += bytes;
    }
  }
}

/** y [size0, …, size3] of each sample; strides are floats from element to element of x along the axes of y. A task is a row of the first two axes. */
export function permute(args: PermuteArgs): void {
  const lines = args.size0 * args.size1;
  const tasks = rows() * lines;
  const size2 = args.size2;
  const size3 = args.size3;
  const elements = lines * size2 * size3;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const sample = task / lines;
    const line = task - sample * lines;
    const first = sample * elements + (line / args.size1) * args.stride0 + (line % args.size1) * args.stride1;
    let to = args.y + ((<usize>(task * size2 * size3)) << 2);
    for (let i = 0; i < size2; i++) {
      let from = args.x + ((<usize>(first + i * args.stride2)) << 2);
      if (args.stride3 == 1) {
        copyFloats(to, from, size3);
        to += (<usize>size3) << 2;
        continue;
      }
      const step = (<usize>args.stride3) << 2;
      for (let j = 0; j < size3; j++, from += step, to += 4) store<f32>(to, load<f32>(from));
    }
  }
}
