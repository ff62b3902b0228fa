// Pooling: the mean over the pixels of a sample, and the maximum of 2×2 windows. A task is a sample (means) or a row of
// windows (maxima).

import { int, nextTask, ptr, rows } from '../lib/abi';
import { addColumns } from '../lib/columns';

/** args: x [pixels, C], y [C], pixels, C. */
export function globalAvgPool(args: usize): void {
  const x = ptr(args, 0);
  const y = ptr(args, 1);
  const pixels = int(args, 2);
  const width = (<usize>int(args, 3)) << 2;
  const count = <f32>pixels;
  const tasks = rows();
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const sum = y + <usize>task * width;
    memory.fill(sum, 0, width);
    addColumns(sum, x + <usize>(task * pixels) * width, pixels, width);
    for (let c: usize = 0; c < width; c += 4) store<f32>(sum + c, load<f32>(sum + c) / count);
  }
}

/** args: dy [C], dx [pixels, C], pixels, C. Each pixel gets dy / pixels. */
export function globalAvgPoolGrad(args: usize): void {
  const dy = ptr(args, 0);
  const dx = ptr(args, 1);
  const pixels = int(args, 2);
  const width = (<usize>int(args, 3)) << 2;
  const count = <f32>pixels;
  const tasks = rows();
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const from = dy + <usize>task * width;
    const first = dx + <usize>(task * pixels) * width;
    for (let c: usize = 0; c < width; c += 4) store<f32>(first + c, load<f32>(from + c) / count);
    for (let pixel = 1; pixel < pixels; pixel++) memory.copy(first + <usize>pixel * width, first, width);
  }
}

/** args: x [h, w, C], y [h/2, w/2, C], h, w, C. An odd last row or column is in no window. NaN wins over numbers. */
export function maxPool(args: usize): void {
  const x = ptr(args, 0);
  const y = ptr(args, 1);
  const height = int(args, 2);
  const columns = int(args, 3);
  const width = (<usize>int(args, 4)) << 2;
  const vectors = width & ~15;
  const outHeight = height >> 1;
  const outColumns = columns >> 1;
  const tasks = rows() * outHeight;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const sample = task / outHeight;
    const row = task - sample * outHeight;
    let a = x + <usize>((sample * height + 2 * row) * columns) * width;
    let to = y + <usize>(task * outColumns) * width;
    for (let column = 0; column < outColumns; column++, a += 2 * width, to += width) {
      const b = a + width;
      const c = a + <usize>columns * width;
      const d = c + width;
      let i: usize = 0;
      for (; i < vectors; i += 16) {
        const top = f32x4.max(v128.load(a + i), v128.load(b + i));
        v128.store(to + i, f32x4.max(top, f32x4.max(v128.load(c + i), v128.load(d + i))));
      }
      for (; i < width; i += 4) {
        const top = max<f32>(load<f32>(a + i), load<f32>(b + i));
        store<f32>(to + i, max<f32>(top, max<f32>(load<f32>(c + i), load<f32>(d + i))));
      }
    }
  }
}

/** args: dy [h/2, w/2, C], x [h, w, C], dx [h, w, C], h, w, C. dy goes to the first maximum of its window in row-major order. */
export function maxPoolGrad(args: usize): void {
  const dy = ptr(args, 0);
  const x = ptr(args, 1);
  const dx = ptr(args, 2);
  const height = int(args, 3);
  const columns = int(args, 4);
  const width = (<usize>int(args, 5)) << 2;
  const vectors = width & ~15;
  const outHeight = height >> 1;
  const outColumns = columns >> 1;
  const line = <usize>columns * width;
  // A task is a pair of rows, or the odd last row, which no window covers.
  const pairs = (height + 1) >> 1;
  const tasks = rows() * pairs;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const sample = task / pairs;
    const row = task - sample * pairs;
    const top = <usize>((sample * height + 2 * row) * columns) * width;
    if (row == outHeight) {
      memory.fill(dx + top, 0, line);
      continue;
    }
    let from = dy + <usize>((sample * outHeight + row) * outColumns) * width;
    let a = top;
    for (let column = 0; column < outColumns; column++, a += 2 * width, from += width) {
      const b = a + width;
      const c = a + line;
      const d = c + width;
      let i: usize = 0;
      for (; i < vectors; i += 16) {
        const xa = v128.load(x + a + i);
        const xb = v128.load(x + b + i);
        const xc = v128.load(x + c + i);
        const most = f32x4.max(f32x4.max(xa, xb), f32x4.max(xc, v128.load(x + d + i)));
        const g = v128.load(from + i);
        // `left` is the gradient that no earlier element of the window has taken.
        const isA = f32x4.eq(xa, most);
        v128.store(dx + a + i, v128.and(g, isA));
        let left = v128.andnot(g, isA);
        const isB = f32x4.eq(xb, most);
        v128.store(dx + b + i, v128.and(left, isB));
        left = v128.andnot(left, isB);
        const isC = f32x4.eq(xc, most);
        v128.store(dx + c + i, v128.and(left, isC));
        v128.store(dx + d + i, v128.andnot(left, isC));
      }
      for (; i < width; i += 4) {
        const xa = load<f32>(x + a + i);
        const xb = load<f32>(x + b + i);
        const xc = load<f32>(x + c + i);
        const most = max<f32>(max<f32>(xa, xb), max<f32>(xc, load<f32>(x + d + i)));
        const g = load<f32>(from + i);
        store<f32>(dx + a + i, 0);
        store<f32>(dx + b + i, 0);
        store<f32>(dx + c + i, 0);
        store<f32>(dx + d + i, 0);
        store<f32>(dx + (xa == most ? a : xb == most ? b : xc == most ? c : d) + i, g);
      }
    }
    if (columns & 1) {
      memory.fill(dx + a, 0, width);
      memory.fill(dx + a + line, 0, width);
    }
  }
}
