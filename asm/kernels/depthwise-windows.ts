// Depthwise convolution over any windows, and its gradients. Channels lie side by side, and a vector holds four of them. A result is one chain
// of multiply-adds over the taps of its window that are inside the image, so that neither tasks nor groups of channels decide bits.

import {
  DEPTHWISE_GROUP,
  DepthwiseWindow,
  DepthwiseWindowsArgs,
  DepthwiseWindowsGradInputArgs,
  DepthwiseWindowsGradWeightArgs,
  Epilogue,
  madd,
  nextTask,
  rows,
  SCRATCH,
} from '../lib/abi';
import { finish, finishTile } from '../lib/epilogue';
import { ceilDiv } from '../lib/gemm';
import { copyFloats, loadLanes, storeLanes } from '../lib/simd';
import { addToTotals, beginTile, joinTile, placeTileSums, SUM_PIXELS, storeTile, storeTotals, TileSums, tileSumsBytes } from '../lib/totals';

// The thread's scratch: a `TileSums` of a group, then the taps of a window, or the sums of a weight gradient.
const TILE_SUMS = SCRATCH;
const TAPS = TILE_SUMS + ((tileSumsBytes(DEPTHWISE_GROUP) + 63) & ~63);
/** Bytes of a tap: where it reads, and where its weight is. */
const TAP: usize = 8;

/** Bytes from pixel to pixel. */
// @ts-ignore: decorator
@inline
function pixelBytes(g: DepthwiseWindow): usize {
  return (<usize>g.channels) << 2;
}

/** y = epilogue(depthwise convolution of x). */
export function depthwiseWindows(call: DepthwiseWindowsArgs): void {
  const g = call.window;
  const epilogue = call.epilogue;
  const samples = rows();
  const channels = g.channels;
  const groups = ceilDiv(channels, g.group);
  const tasks = ceilDiv(samples, g.taskSamples) * groups;
  const tile = placeTileSums(TILE_SUMS, DEPTHWISE_GROUP);
  const stride = pixelBytes(g);
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const first = (task / groups) * g.taskSamples;
    const end = min(samples, first + g.taskSamples);
    const channel = (task % groups) * g.group;
    const count = min(g.group, channels - channel);
    if (epilogue.partials) beginTile(tile, 0, count);
    for (let sample = first; sample < end; sample++) convolve(g, call.x, call.weights, call.output, epilogue, sample, channel, count, tile, sample - first);
    if (epilogue.partials) {
      const mean = epilogue.partials + ((<usize>((first / g.taskSamples) * 2 * channels + channel)) << 2);
      storeTile(tile, 0, count, mean, mean + stride);
    }
  }
}

/** One sample's `count` channels from `channel` on. `place`: which of its statistics tile it is. */
function convolve(
  g: DepthwiseWindow,
  x: usize,
  weights: usize,
  output: usize,
  epilogue: Epilogue,
  sample: i32,
  channel: i32,
  count: i32,
  tile: TileSums,
  place: i32,
): void {
  const stride = pixelBytes(g);
  const at = (<usize>channel) << 2;
  const image = x + <usize>(sample * g.height * g.width) * stride + at;
  const width = g.outWidth;
  const plain = !epilogue.bias && !epilogue.activation.code && !epilogue.partials;
  const bias = epilogue.bias ? epilogue.bias + at : 0;
  /** Rows that are summed in f32. */
  const sumRows = max(1, SUM_PIXELS / width);
  for (let row = 0; row < g.outHeight; row++) {
    const offset = <usize>((sample * g.outHeight + row) * width) * stride + at;
    const to = output + offset;
    const top = row * g.strideRows - g.padTop;
    for (let column = 0; column < width; column++) {
      const left = column * g.strideColumns - g.padLeft;
      let end = TAPS;
      for (let ky = 0; ky < g.kernelRows; ky++) {
        const y = top + ky * g.dilationRows;
        if (y < 0 || y >= g.height) continue;
        for (let kx = 0; kx < g.kernelColumns; kx++) {
          const px = left + kx * g.dilationColumns;
          if (px < 0 || px >= g.width) continue;
          store<usize>(end, <usize>(y * g.width + px) * stride);
          store<usize>(end, <usize>(ky * g.kernelColumns + kx) * stride, 4);
          end += TAP;
        }
      }
      sumTaps(end, image, weights + at, to + <usize>column * stride, count);
    }
    if (plain) continue;
    const derivative = epilogue.derivative ? epilogue.derivative + offset : 0;
    if (!epilogue.partials) {
      finish(to, stride, to, derivative, stride, width, count, bias, epilogue.activation, 0, 0, 0);
      continue;
    }
    const begins = place == 0 && row == 0;
    finishTile(to, stride, to, derivative, stride, width, count, bias, epilogue.activation, tile, 0, begins);
    // The part that is summed in f32: some rows, but the very first for itself.
    let part = row - (row % sumRows);
    const partEnd = min(begins ? 1 : part + sumRows, g.outHeight);
    if (part == 0 && place == 0 && !begins) part = 1;
    if (row + 1 == partEnd) joinTile(tile, 0, count, (place * g.outHeight + part) * width, (row + 1 - part) * width);
  }
}

/** to[c] = Σ of x[c]·w[c] over the taps from TAPS to `end`, for `count` channels. */
function sumTaps(end: usize, x: usize, w: usize, to: usize, count: i32): void {
  let left = count;
  for (; left >= 32; left -= 32) {
    let c0 = f32x4.splat(0);
    let c1 = c0;
    let c2 = c0;
    let c3 = c0;
    let c4 = c0;
    let c5 = c0;
    let c6 = c0;
    let c7 = c0;
    for (let tap = TAPS; tap < end; tap += TAP) {
      const a = x + load<usize>(tap);
      const b = w + load<usize>(tap, 4);
      c0 = madd(v128.load(a), v128.load(b), c0);
      c1 = madd(v128.load(a, 16), v128.load(b, 16), c1);
      c2 = madd(v128.load(a, 32), v128.load(b, 32), c2);
      c3 = madd(v128.load(a, 48), v128.load(b, 48), c3);
      c4 = madd(v128.load(a, 64), v128.load(b, 64), c4);
      c5 = madd(v128.load(a, 80), v128.load(b, 80), c5);
      c6 = madd(v128.load(a, 96), v128.load(b, 96), c6);
      c7 = madd(v128.load(a, 112), v128.load(b, 112), c7);
    }
    v128.store(to, c0);
    v128.store(to, c1, 16);
    v128.store(to, c2, 32);
    v128.store(to, c3, 48);
    v128.store(to, c4, 64);
    v128.store(to, c5, 80);
    v128.store(to, c6, 96);
    v128.store(to, c7, 112);
    x += 128;
    w += 128;
    to += 128;
  }
  for (; left >= 8; left -= 8) {
    let c0 = f32x4.splat(0);
    let c1 = c0;
    for (let tap = TAPS; tap < end; tap += TAP) {
      const a = x + load<usize>(tap);
      const b = w + load<usize>(tap, 4);
      c0 = madd(v128.load(a), v128.load(b), c0);
      c1 = madd(v128.load(a, 16), v128.load(b, 16), c1);
    }
    v128.store(to, c0);
    v128.store(to, c1, 16);
    x += 32;
    w += 32;
    to += 32;
  }
  for (; left > 0; left -= 4) {
    const lanes = min(left, 4);
    let c0 = f32x4.splat(0);
    for (let tap = TAPS; tap < end; tap += TAP) c0 = madd(loadLanes(x + load<usize>(tap), lanes), loadLanes(w + load<usize>(tap, 4), lanes), c0);
    storeLanes(to, c0, lanes);
    x += 16;
    w += 16;
    to += 16;
  }
}

/** dx: each pixel gets, of every window that it is in, dy times its weight there. */
export function depthwiseWindowsGradInput(call: DepthwiseWindowsGradInputArgs): void {
  const g = call.window;
  const channels = g.channels;
  const groups = ceilDiv(channels, g.group);
  const tasks = rows() * groups;
  const stride = pixelBytes(g);
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const sample = task / groups;
    const channel = (task % groups) * g.group;
    const count = min(g.group, channels - channel);
    const at = (<usize>channel) << 2;
    const dy = call.dy + <usize>(sample * g.outHeight * g.outWidth) * stride + at;
    const dx = call.dx + <usize>(sample * g.height * g.width) * stride + at;
    for (let y = 0; y < g.height; y++) {
      for (let x = 0; x < g.width; x++) {
        let end = TAPS;
        for (let ky = 0; ky < g.kernelRows; ky++) {
          const below = y + g.padTop - ky * g.dilationRows;
          const row = below / g.strideRows;
          if (below < 0 || row * g.strideRows != below || row >= g.outHeight) continue;
          for (let kx = 0; kx < g.kernelColumns; kx++) {
            const beside = x + g.padLeft - kx * g.dilationColumns;
            const column = beside / g.strideColumns;
            if (beside < 0 || column * g.strideColumns != beside || column >= g.outWidth) continue;
            store<usize>(end, <usize>(row * g.outWidth + column) * stride);
            store<usize>(end, <usize>(ky * g.kernelColumns + kx) * stride, 4);
            end += TAP;
          }
        }
        sumTaps(end, dy, call.weights + at, dx + <usize>(y * g.width + x) * stride, count);
      }
    }
  }
}

/** dw of each chunk of `taskSamples` samples, which the shape decides. */
export function depthwiseWindowsGradWeight(call: DepthwiseWindowsGradWeightArgs): void {
  const g = call.window;
  const channels = g.channels;
  const samples = rows();
  const groups = ceilDiv(channels, g.group);
  const tasks = ceilDiv(samples, g.taskSamples) * groups;
  const stride = pixelBytes(g);
  const taps = g.kernelRows * g.kernelColumns;
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const chunk = task / groups;
    const first = chunk * g.taskSamples;
    const end = min(samples, first + g.taskSamples);
    const channel = (task % groups) * g.group;
    const count = min(g.group, channels - channel);
    const at = (<usize>channel) << 2;
    // A row of sums for each tap, of whole vectors: in f32, then in doubles.
    const width = (count + 3) & ~3;
    const length = taps * width;
    const sums = TAPS;
    const totals = sums + ((<usize>length) << 2);
    memory.fill(sums, 0, (<usize>length) * 12);
    let held = 0;
    for (let sample = first; sample < end; sample++) {
      const x = call.x + <usize>(sample * g.height * g.width) * stride + at;
      const dy = call.dy + <usize>(sample * g.outHeight * g.outWidth) * stride + at;
      for (let row = 0; row < g.outHeight; row++) {
        for (let ky = 0; ky < g.kernelRows; ky++) {
          const y = row * g.strideRows - g.padTop + ky * g.dilationRows;
          if (y < 0 || y >= g.height) continue;
          for (let kx = 0; kx < g.kernelColumns; kx++) {
            // Column x of the image is column·stride + before of the windows.
            const before = kx * g.dilationColumns - g.padLeft;
            const from = before < 0 ? ceilDiv(-before, g.strideColumns) : 0;
            const to = before < g.width ? min(g.outWidth, (g.width - 1 - before) / g.strideColumns + 1) : 0;
            if (from >= to) continue;
            correlate(
              x + <usize>(y * g.width + from * g.strideColumns + before) * stride,
              <usize>g.strideColumns * stride,
              dy + <usize>(row * g.outWidth + from) * stride,
              stride,
              to - from,
              sums + ((<usize>((ky * g.kernelColumns + kx) * width)) << 2),
              count,
            );
          }
        }
        held += g.outWidth;
        if (held >= SUM_PIXELS || (sample + 1 == end && row + 1 == g.outHeight)) {
          addToTotals(totals, sums, length);
          memory.fill(sums, 0, (<usize>length) << 2);
          held = 0;
        }
      }
    }
    storeTotals(sums, totals, length);
    const dw = call.dw + ((<usize>(chunk * taps * channels)) << 2) + at;
    for (let tap = 0; tap < taps; tap++) copyFloats(dw + <usize>tap * stride, sums + ((<usize>(tap * width)) << 2), count);
  }
}

/** to[c] += Σ of x[c]·dy[c] over `n` pixels. */
function correlate(x: usize, xStride: usize, dy: usize, stride: usize, n: i32, to: usize, count: i32): void {
  let left = count;
  for (; left >= 16; left -= 16) {
    let a = x;
    let b = dy;
    let c0 = v128.load(to);
    let c1 = v128.load(to, 16);
    let c2 = v128.load(to, 32);
    let c3 = v128.load(to, 48);
    for (let i = 0; i < n; i++) {
      c0 = madd(v128.load(a), v128.load(b), c0);
      c1 = madd(v128.load(a, 16), v128.load(b, 16), c1);
      c2 = madd(v128.load(a, 32), v128.load(b, 32), c2);
      c3 = madd(v128.load(a, 48), v128.load(b, 48), c3);
      a += xStride;
      b += stride;
    }
    v128.store(to, c0);
    v128.store(to, c1, 16);
    v128.store(to, c2, 32);
    v128.store(to, c3, 48);
    x += 64;
    dy += 64;
    to += 64;
  }
  for (; left > 0; left -= 4) {
    const lanes = min(left, 4);
    let a = x;
    let b = dy;
    let c0 = v128.load(to);
    for (let i = 0; i < n; i++) {
      c0 = madd(loadLanes(a, lanes), loadLanes(b, lanes), c0);
      a += xStride;
      b += stride;
    }
    v128.store(to, c0);
    x += 16;
    dy += 16;
    to += 16;
  }
}
