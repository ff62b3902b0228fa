// Pooling: the mean over the pixels of a sample, the maximum of 2×2 windows, and both over any windows. A task is a sample or a row of windows.

import {
  AvgPoolArgs,
  AvgPoolGradArgs,
  GlobalAvgPoolArgs,
  GlobalAvgPoolGradArgs,
  MaxPoolArgs,
  MaxPoolGradArgs,
  MaxPoolWindowsArgs,
  MaxPoolWindowsGradArgs,
  nextTask,
  rows,
} from '../lib/abi';
import { sumColumns } from '../lib/columns';

/** x [pixels, C], y [C]. */
export function globalAvgPool(args: GlobalAvgPoolArgs): void {
  const x = args.x;
  const y = args.y;
  const pixels = args.pixels;
  const width = (<usize>args.channels) << 2;
  const count = <f32>pixels;
  const tasks = rows();
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const sum = y + <usize>task * width;
    sumColumns(sum, x + <usize>(task * pixels) * width, pixels, width);
    for (let c: usize = 0; c < width; c += 4) store<f32>(sum + c, load<f32>(sum + c) / count);
  }
}

/** dy [C], dx [pixels, C]. Each pixel gets dy / pixels. */
export function globalAvgPoolGrad(args: GlobalAvgPoolGradArgs): void {
  const dy = args.dy;
  const dx = args.dx;
  const pixels = args.pixels;
  const width = (<usize>args.channels) << 2;
  const count = <f32>pixels;
  const tasks = rows();
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const from = dy + <usize>task * width;
    const first = dx + <usize>(task * pixels) * width;
    for (let c: usize = 0; c < width; c += 4) store<f32>(first + c, load<f32>(from + c) / count);
    for (let pixel = 1; pixel < pixels; pixel++) memory.copy(first + <usize>pixel * width, first, width);
  }
}

/** x [h, w, C], y [h/2, w/2, C]. An odd last row or column is in no window. NaN wins over numbers. */
export function maxPool(args: MaxPoolArgs): void {
  const x = args.x;
  const y = args.y;
  const height = args.height;
  const columns = args.width;
  const width = (<usize>args.channels) << 2;
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

/** dy [h/2, w/2, C], x and dx [h, w, C]. dy goes to the first maximum of its window in row-major order. */
export function maxPoolGrad(args: MaxPoolGradArgs): void {
  const dy = args.dy;
  const x = args.x;
  const dx = args.dx;
  const height = args.height;
  const columns = args.width;
  const width = (<usize>args.channels) << 2;
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

/** x [h, w, C], y [oh, ow, C]: the mean of the pixels of each window that are in the image. */
export function avgPool(args: AvgPoolArgs): void {
  const g = args.window;
  const x = args.x;
  const width = (<usize>g.channels) << 2;
  const tasks = rows() * g.outHeight;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const sample = task / g.outHeight;
    const top = (task - sample * g.outHeight) * g.strideRows - g.padTop;
    const bottom = min(top + g.sizeRows, g.height);
    for (let column = 0; column < g.outWidth; column++) {
      const left = column * g.strideColumns - g.padLeft;
      const right = min(left + g.sizeColumns, g.width);
      const to = args.y + <usize>(task * g.outWidth + column) * width;
      memory.fill(to, 0, width);
      for (let row = max(top, 0); row < bottom; row++) {
        for (let pixel = max(left, 0); pixel < right; pixel++) {
          const from = x + <usize>((sample * g.height + row) * g.width + pixel) * width;
          for (let c: usize = 0; c < width; c += 4) store<f32>(to + c, load<f32>(to + c) + load<f32>(from + c));
        }
      }
      const count = <f32>((bottom - max(top, 0)) * (right - max(left, 0)));
      for (let c: usize = 0; c < width; c += 4) store<f32>(to + c, load<f32>(to + c) / count);
    }
  }
}

/** dy [oh, ow, C], dx [h, w, C]: each pixel gets its share of the windows that it is in. A task is a sample. */
export function avgPoolGrad(args: AvgPoolGradArgs): void {
  const g = args.window;
  const width = (<usize>g.channels) << 2;
  const tasks = rows();
  for (let sample = nextTask(); sample < tasks; sample = nextTask()) {
    const dx = args.dx + <usize>(sample * g.height * g.width) * width;
    memory.fill(dx, 0, <usize>(g.height * g.width) * width);
    for (let line = 0; line < g.outHeight; line++) {
      const top = line * g.strideRows - g.padTop;
      const bottom = min(top + g.sizeRows, g.height);
      for (let column = 0; column < g.outWidth; column++) {
        const left = column * g.strideColumns - g.padLeft;
        const right = min(left + g.sizeColumns, g.width);
        const from = args.dy + <usize>((sample * g.outHeight + line) * g.outWidth + column) * width;
        const count = <f32>((bottom - max(top, 0)) * (right - max(left, 0)));
        for (let row = max(top, 0); row < bottom; row++) {
          for (let pixel = max(left, 0); pixel < right; pixel++) {
            const to = dx + <usize>(row * g.width + pixel) * width;
            for (let c: usize = 0; c < width; c += 4) store<f32>(to + c, load<f32>(to + c) + load<f32>(from + c) / count);
          }
        }
      }
    }
  }
}

/** x [h, w, C], y [oh, ow, C]: the maximum of the pixels of each window that are in the image. NaN wins over numbers. */
export function maxPoolWindows(args: MaxPoolWindowsArgs): void {
  const g = args.window;
  const x = args.x;
  const width = (<usize>g.channels) << 2;
  const tasks = rows() * g.outHeight;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const sample = task / g.outHeight;
    const top = (task - sample * g.outHeight) * g.strideRows - g.padTop;
    const bottom = min(top + g.sizeRows, g.height);
    for (let column = 0; column < g.outWidth; column++) {
      const left = column * g.strideColumns - g.padLeft;
      const right = min(left + g.sizeColumns, g.width);
      const to = args.y + <usize>(task * g.outWidth + column) * width;
      memory.copy(to, x + <usize>((sample * g.height + max(top, 0)) * g.width + max(left, 0)) * width, width);
      for (let row = max(top, 0); row < bottom; row++) {
        for (let pixel = max(left, 0); pixel < right; pixel++) {
          const from = x + <usize>((sample * g.height + row) * g.width + pixel) * width;
          for (let c: usize = 0; c < width; c += 4) store<f32>(to + c, max<f32>(load<f32>(to + c), load<f32>(from + c)));
        }
      }
    }
  }
}

/** dy [oh, ow, C], x and dx [h, w, C]. dy goes to the first maximum of its window in row-major order. A task is a sample. */
export function maxPoolWindowsGrad(args: MaxPoolWindowsGradArgs): void {
  const g = args.window;
  const width = (<usize>g.channels) << 2;
  const tasks = rows();
  for (let sample = nextTask(); sample < tasks; sample = nextTask()) {
    const image = <usize>(sample * g.height * g.width) * width;
    const x = args.x + image;
    const dx = args.dx + image;
    memory.fill(dx, 0, <usize>(g.height * g.width) * width);
    for (let line = 0; line < g.outHeight; line++) {
      const top = line * g.strideRows - g.padTop;
      const bottom = min(top + g.sizeRows, g.height);
      for (let column = 0; column < g.outWidth; column++) {
        const left = column * g.strideColumns - g.padLeft;
        const right = min(left + g.sizeColumns, g.width);
        const from = args.dy + <usize>((sample * g.outHeight + line) * g.outWidth + column) * width;
        for (let c: usize = 0; c < width; c += 4) {
          let most = <usize>(max(top, 0) * g.width + max(left, 0)) * width + c;
          for (let row = max(top, 0); row < bottom; row++) {
            for (let pixel = max(left, 0); pixel < right; pixel++) {
              const at = <usize>(row * g.width + pixel) * width + c;
              if (load<f32>(x + at) > load<f32>(x + most)) most = at;
            }
          }
          store<f32>(dx + most, load<f32>(dx + most) + load<f32>(from + c));
        }
      }
    }
  }
}
