// An image in a frame of another size. A task is a row of a frame.

import { FrameArgs, nextTask, rows } from '../lib/abi';

/** x [height, width, channels], y [outHeight, outWidth, outChannels]: x at [top, left, first], zeros around it. */
export function frame(args: FrameArgs): void {
  const x = args.x;
  const y = args.y;
  const height = args.height;
  const width = args.width;
  const outHeight = args.outHeight;
  const outWidth = args.outWidth;
  const pixel = (<usize>args.channels) << 2;
  const outPixel = (<usize>args.outChannels) << 2;
  const line = <usize>outWidth * outPixel;
  // The part of x that is in the frame, in columns and channels.
  const from = max(0, -args.left);
  const columns = min(width, outWidth - args.left) - from;
  const skip = (<usize>max(0, -args.first)) << 2;
  const bytes = (<usize>min(args.channels, args.outChannels - args.first) << 2) - skip;
  const at = <usize>max(0, args.left) * outPixel + ((<usize>max(0, args.first)) << 2);
  const whole = pixel == outPixel && bytes == pixel;
  const isFilled = whole && columns == outWidth;
  const tasks = rows() * outHeight;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const sample = task / outHeight;
    const row = task - sample * outHeight - args.top;
    const to = y + <usize>task * line;
    const inside = row >= 0 && row < height;
    if (!inside || !isFilled) memory.fill(to, 0, line);
    if (!inside) continue;
    let a = x + <usize>((sample * height + row) * width + from) * pixel + skip;
    let b = to + at;
    if (whole) {
      memory.copy(b, a, <usize>columns * pixel);
      continue;
    }
    for (let column = 0; column < columns; column++, a += pixel, b += outPixel) memory.copy(b, a, bytes);
  }
}
