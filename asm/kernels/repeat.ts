// Every pixel several times, and the sums of its copies. A task is a row of the smaller image.

import { nextTask, RepeatArgs, RepeatGradArgs, rows, SCRATCH } from '../lib/abi';
import { addFloats, copyFloats, zeroFloats } from '../lib/simd';

/** x [h, w, C], y [h·timesRows, w·timesColumns, C·timesChannels]. */
export function repeat(args: RepeatArgs): void {
  const height = args.height;
  const width = args.width;
  const channels = args.channels;
  const times = args.timesChannels;
  const pixel = (<usize>channels) << 2;
  const copy = pixel * <usize>times;
  const line = <usize>(width * args.timesColumns) * copy;
  const tasks = rows() * height;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    let from = args.x + <usize>(task * width) * pixel;
    const first = args.y + <usize>(task * args.timesRows) * line;
    let to = first;
    for (let column = 0; column < width; column++, from += pixel) {
      const made = to;
      if (times == 1) {
        copyFloats(to, from, channels);
      } else {
        let at = to;
        for (let c: usize = 0; c < pixel; c += 4) for (let i = 0; i < times; i++, at += 4) store<f32>(at, load<f32>(from + c));
      }
      to += copy;
      for (let i = 1; i < args.timesColumns; i++, to += copy) copyFloats(to, made, channels * times);
    }
    for (let i = 1; i < args.timesRows; i++) memory.copy(first + <usize>i * line, first, line);
  }
}

/** dy of the size of y, dx of that of x. A row of copies is summed for itself, then the rows. */
export function repeatGrad(args: RepeatGradArgs): void {
  const height = args.height;
  const width = args.width;
  const channels = args.channels;
  const times = args.timesChannels;
  const deep = channels * times;
  const pixel = (<usize>channels) << 2;
  const copy = pixel * <usize>times;
  const line = <usize>(width * args.timesColumns) * copy;
  const part = SCRATCH;
  const sum = SCRATCH + copy;
  const tasks = rows() * height;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const first = args.dy + <usize>(task * args.timesRows) * line;
    let to = args.dx + <usize>(task * width) * pixel;
    for (let column = 0; column < width; column++, to += pixel) {
      zeroFloats(sum, deep);
      for (let row = 0; row < args.timesRows; row++) {
        let from = first + <usize>row * line + <usize>(column * args.timesColumns) * copy;
        copyFloats(part, from, deep);
        for (let i = 1; i < args.timesColumns; i++) {
          from += copy;
          addFloats(part, from, deep);
        }
        addFloats(sum, part, deep);
      }
      if (times == 1) {
        copyFloats(to, sum, channels);
        continue;
      }
      let at = sum;
      for (let c: usize = 0; c < pixel; c += 4) {
        let total: f32 = 0;
        for (let i = 0; i < times; i++, at += 4) total += load<f32>(at);
        store<f32>(to + c, total);
      }
    }
  }
}
