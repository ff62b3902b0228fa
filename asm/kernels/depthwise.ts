// asc: -O1
// Depthwise convolution of stride 1 with `same` padding, and its gradients. Every channel is an image of its own; a vector
// holds four of them.
//
// Work goes by sample, group of channels and band of rows. The group's part of the image is gathered into the thread's
// scratch, in a plane for each eight channels and with its border of zeros, so that the loops know neither padding nor the
// channel stride. What would otherwise be a pass of its own, normalising x or taking a gradient through batch normalisation
// and GELU, happens while gathering. Output rows are computed eight columns at a time; columns that do not exist are computed
// from zeros and not stored.
//
// A group has all channels where scratch has room for them: then memory is read from one end of a sample to the other, at
// 30 GB/s instead of the 10 that runs of 64 to 512 bytes a pixel get. The planes lie in the second-level cache; one at a
// time comes into the first.

import { DEPTHWISE_GROUP, DepthwiseArgs, DepthwiseGradArgs, Epilogue, madd, nextTask, rows, SCRATCH, Source } from '../lib/abi';
import { finish, finishTile } from '../lib/epilogue';
import { ceilDiv } from '../lib/gemm';
import { COLUMNS, gather, Geometry, half, packWeights, PIXEL, PLANE } from '../lib/plane';
import { copyFloats, storeLanes } from '../lib/simd';
import { convolve5, correlate5 } from '../lib/stencil';
import { addToTotals, beginTile, joinTile, placeTileSums, SUM_PIXELS, storeTile, storeTotals, TileSums, tileSumsBytes } from '../lib/totals';

// The thread's scratch: a `TileSums` of a group, then the gathered images, weights, results and sums: as long as they are.
const TILE_SUMS = SCRATCH;
const IMAGES = TILE_SUMS + ((tileSumsBytes(DEPTHWISE_GROUP) + 63) & ~63);

/** y = epilogue(depthwise convolution of x). */
export function depthwise(call: DepthwiseArgs): void {
  const g = changetype<Geometry>(call.geometry);
  const x = call.x;
  const epilogue = call.epilogue;
  const samples = rows();
  const channels = g.channels;
  const groups = ceilDiv(channels, g.group);
  const tasks = ceilDiv(samples, g.taskSamples) * groups;
  memory.fill(IMAGES, 0, g.imageBytes);
  const tile = placeTileSums(TILE_SUMS, DEPTHWISE_GROUP);
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const first = (task / groups) * g.taskSamples;
    const end = min(samples, first + g.taskSamples);
    const channel = (task % groups) * g.group;
    const count = min(g.group, channels - channel);
    packWeights(g, call.weights, call.reversed, channel, count, IMAGES + g.imageBytes);
    if (epilogue.partials) beginTile(tile, 0, count);
    for (let sample = first; sample < end; sample++) convolve(g, x, call, epilogue, sample, channel, count, tile, sample - first);
    if (epilogue.partials) {
      const mean = epilogue.partials + ((<usize>((first / g.taskSamples) * 2 * channels + channel)) << 2);
      storeTile(tile, 0, count, mean, mean + g.stride);
    }
  }
}

/** One sample's `count` channels from `channel` on. `place`: which of its statistics tile it is. */
function convolve(
  g: Geometry,
  x: Source,
  call: DepthwiseArgs,
  epilogue: Epilogue,
  sample: i32,
  channel: i32,
  count: i32,
  tile: TileSums,
  place: i32,
): void {
  const weights = IMAGES + g.imageBytes;
  const results = weights + g.weightBytes;
  const resultStride = (<usize>g.group) << 2;
  const bias = epilogue.bias ? epilogue.bias + ((<usize>channel) << 2) : 0;
  /** Rows that are summed in f32. */
  const sumRows = max(1, SUM_PIXELS / g.width);
  for (let top = 0; top < g.height; top += g.bandRows) {
    const band = min(g.bandRows, g.height - top);
    gather(g, x, sample, channel, count, top - g.pad, band + g.size - 1, g.pad, IMAGES);
    convolveBand(g, IMAGES, band, count, weights, results);
    for (let y = 0; y < band; y++) {
      const from = results + <usize>y * g.resultBytes;
      const offset = g.at(sample, top + y, channel);
      const to = call.output + offset;
      const derivative = epilogue.derivative ? epilogue.derivative + offset : 0;
      if (!epilogue.partials) {
        finish(from, resultStride, to, derivative, g.stride, g.width, count, bias, epilogue.activation, 0, 0, 0);
        continue;
      }
      const row = top + y;
      const begins = place == 0 && row == 0;
      finishTile(from, resultStride, to, derivative, g.stride, g.width, count, bias, epilogue.activation, tile, 0, begins);
      // The part that is summed in f32: some rows, but the very first for itself.
      let part = row - (row % sumRows);
      const partEnd = min(begins ? 1 : part + sumRows, g.height);
      if (part == 0 && place == 0 && !begins) part = 1;
      if (row + 1 == partEnd) {
        joinTile(tile, 0, count, (place * g.height + part) * g.width, (row + 1 - part) * g.width);
      }
    }
  }
}

/** The results of a band of `count` channels, row by row, from their planes at `x`. */
function convolveBand(g: Geometry, x: usize, band: i32, count: i32, weights: usize, results: usize): void {
  const size = g.size;
  const rowBytes = g.rowBytes;
  const planeBytes = g.planeBytes;
  const weightBytes = <usize>(size * size) * PIXEL;
  const stride = (<usize>g.group) << 2;
  const columns = <usize>g.columns;
  for (let at = 0; at < count; at += PLANE) {
    const w = weights + half(at, weightBytes);
    let row = x + half(at, planeBytes);
    let to = results + ((<usize>at) << 2);
    for (let y = 0; y < band; y++) {
      for (let column: usize = 0; column < columns; column += COLUMNS) {
        const from = row + column * PIXEL;
        const target = to + column * stride;
        if (size == 5) {
          convolve5(from, rowBytes, w, target, stride);
        } else {
          convolveAny(from, rowBytes, w, size, target, stride);
          convolveAny(from + 16, rowBytes, w + 16, size, target + 16, stride);
        }
      }
      row += rowBytes;
      to += g.resultBytes;
    }
  }
}

/** Eight columns of results of four channels, `stride` bytes apart, for a kernel of any size. */
function convolveAny(x: usize, rowBytes: usize, w: usize, size: i32, to: usize, stride: usize): void {
  let c0 = f32x4.splat(0);
  let c1 = c0;
  let c2 = c0;
  let c3 = c0;
  let c4 = c0;
  let c5 = c0;
  let c6 = c0;
  let c7 = c0;
  for (let y = 0; y < size; y++) {
    const end = x + <usize>size * PIXEL;
    for (let p = x; p < end; p += PIXEL) {
      const v = v128.load(w);
      c0 = madd(v128.load(p), v, c0);
      c1 = madd(v128.load(p, 32), v, c1);
      c2 = madd(v128.load(p, 64), v, c2);
      c3 = madd(v128.load(p, 96), v, c3);
      c4 = madd(v128.load(p, 128), v, c4);
      c5 = madd(v128.load(p, 160), v, c5);
      c6 = madd(v128.load(p, 192), v, c6);
      c7 = madd(v128.load(p, 224), v, c7);
      w += PIXEL;
    }
    x += rowBytes;
  }
  v128.store(to, c0);
  v128.store(to + stride, c1);
  v128.store(to + 2 * stride, c2);
  v128.store(to + 3 * stride, c3);
  v128.store(to + 4 * stride, c4);
  v128.store(to + 5 * stride, c5);
  v128.store(to + 6 * stride, c6);
  v128.store(to + 7 * stride, c7);
}

/** dw and Σdy of each chunk of samples (taskSamples, fixed by the shape because it decides bits), and dx. */
export function depthwiseGrad(call: DepthwiseGradArgs): void {
  const g = changetype<Geometry>(call.geometry);
  const x = call.x;
  const dy = call.dy;
  const samples = rows();
  const channels = g.channels;
  const taps = g.size * g.size;
  const groups = ceilDiv(channels, g.group);
  const tasks = ceilDiv(samples, g.taskSamples) * groups;
  // The images of x and dy, weights, results, then the sums, plane by plane: dw, then Σdy. If an image has several blocks, the totals in doubles
  // and the sums of a block of one plane follow.
  const weights = IMAGES + 2 * g.imageBytes;
  const sums = weights + g.weightBytes + <usize>g.bandRows * g.resultBytes;
  const sumBytes = <usize>(taps + 1) * PIXEL;
  const planes = <usize>ceilDiv(g.group, PLANE);
  const totals = g.blockRows < g.height ? sums + planes * sumBytes : 0;
  memory.fill(IMAGES, 0, 2 * g.imageBytes);
  for (let task = nextTask(); task < tasks; task = nextTask()) {
    const chunk = task / groups;
    const first = chunk * g.taskSamples;
    const end = min(samples, first + g.taskSamples);
    const channel = (task % groups) * g.group;
    const count = min(g.group, channels - channel);
    if (call.dx) packWeights(g, call.weights, 1, channel, count, weights);
    memory.fill(sums, 0, planes * sumBytes);
    if (totals) memory.fill(totals, 0, 2 * planes * sumBytes);
    for (let sample = first; sample < end; sample++) differentiate(g, x, dy, call, sample, channel, count, weights, sums, totals);
    if (totals) storeTotals(sums, totals, <i32>((planes * sumBytes) >> 2));
    const dw = call.dw + ((<usize>(chunk * taps * channels + channel)) << 2);
    const dbias = call.dbias + ((<usize>(chunk * channels + channel)) << 2);
    for (let at = 0; at < count; at += 4) {
      const lanes = min(4, count - at);
      const offset = (<usize>at) << 2;
      const from = sums + half(at, sumBytes);
      for (let tap: usize = 0; tap < <usize>taps; tap++) storeLanes(dw + tap * g.stride + offset, v128.load(from + tap * PIXEL), lanes);
      if (call.dbias) storeLanes(dbias + offset, v128.load(from + <usize>taps * PIXEL), lanes);
    }
  }
}

/** One sample's `count` channels from `channel` on: adds to their `sums` or `totals` and writes their dx. */
function differentiate(
  g: Geometry,
  x: Source,
  dy: Source,
  call: DepthwiseGradArgs,
  sample: i32,
  channel: i32,
  count: i32,
  weights: usize,
  sums: usize,
  totals: usize,
): void {
  const size = g.size;
  const rowBytes = g.rowBytes;
  const planeBytes = g.planeBytes;
  const sumBytes = <usize>(size * size + 1) * PIXEL;
  const gradients = IMAGES + g.imageBytes;
  const results = weights + g.weightBytes;
  // Where dx sees dy through the reversed kernel, the border before the image is what was behind it.
  const pad = size - 1 - g.pad;
  const image = gradients + <usize>pad * (rowBytes + PIXEL);
  for (let top = 0; top < g.height; top += g.bandRows) {
    const band = min(g.bandRows, g.height - top);
    gather(g, x, sample, channel, count, top - g.pad, band + size - 1, g.pad, IMAGES);
    gather(g, dy, sample, channel, count, top - pad, band + size - 1, pad, gradients);
    for (let at = 0; at < count; at += PLANE) {
      const plane = half(at, planeBytes);
      if (!totals) {
        correlate(g, IMAGES + plane, image + plane, band, sums + half(at, sumBytes));
        continue;
      }
      const block = totals + 2 * <usize>ceilDiv(g.group, PLANE) * sumBytes;
      for (let y = 0; y < band; y += g.blockRows) {
        const line = <usize>y * rowBytes;
        memory.fill(block, 0, sumBytes);
        correlate(g, IMAGES + plane + line, image + plane + line, min(g.blockRows, band - y), block);
        addToTotals(totals + 2 * half(at, sumBytes), block, <i32>(sumBytes >> 2));
      }
    }
    if (!call.dx) continue;
    convolveBand(g, gradients, band, count, weights, results);
    for (let y = 0; y < band; y++) {
      const offset = g.at(sample, top + y, channel);
      const from = results + <usize>y * g.resultBytes;
      storeRow(from, (<usize>g.group) << 2, call.residual ? call.residual + offset : 0, call.dx + offset, g.stride, g.width, count);
    }
  }
}

/** Stores `width` pixels of `count` channels of results (+ residual). */
function storeRow(results: usize, resultStride: usize, residual: usize, to: usize, stride: usize, width: i32, count: i32): void {
  const bytes = (<usize>count) << 2;
  for (let x = 0; x < width; x++) {
    let at: usize = 0;
    if (residual) {
      for (; at + 32 <= bytes; at += 32) {
        const low = f32x4.add(v128.load(results + at), v128.load(residual + at));
        const high = f32x4.add(v128.load(results + at, 16), v128.load(residual + at, 16));
        v128.store(to + at, low);
        v128.store(to + at, high, 16);
      }
      for (; at < bytes; at += 4) store<f32>(to + at, load<f32>(results + at) + load<f32>(residual + at));
      residual += stride;
    } else {
      copyFloats(to, results, count);
    }
    results += resultStride;
    to += stride;
  }
}

/** Adds to the dw and Σdy of a plane. `x` is the plane with its border, `dy` where the image begins in that of dy. */
function correlate(g: Geometry, x: usize, dy: usize, band: i32, to: usize): void {
  const size = g.size;
  const rowBytes = g.rowBytes;
  for (let y = 0; y < size; y++) {
    if (size == 5) {
      correlate5(x, dy, rowBytes, band, g.width, to);
      to += 5 * PIXEL;
    } else {
      for (let tap = 0; tap < size; tap++) {
        const from = x + <usize>tap * PIXEL;
        correlateTap(from, dy, rowBytes, band, g.width, to);
        correlateTap(from + 16, dy + 16, rowBytes, band, g.width, to + 16);
        to += PIXEL;
      }
    }
    x += rowBytes;
  }
  for (let y = 0; y < band; y++) {
    let low = v128.load(dy);
    let high = v128.load(dy, 16);
    for (let at: usize = PIXEL; at < <usize>g.width * PIXEL; at += PIXEL) {
      low = f32x4.add(low, v128.load(dy + at));
      high = f32x4.add(high, v128.load(dy + at, 16));
    }
    low = f32x4.add(v128.load(to), low);
    high = f32x4.add(v128.load(to, 16), high);
    v128.store(to, low);
    v128.store(to, high, 16);
    dy += rowBytes;
  }
}

/** Adds to one tap of the dw of four channels, four columns apart. */
function correlateTap(x: usize, dy: usize, rowBytes: usize, band: i32, width: i32, to: usize): void {
  const runBytes = <usize>ceilDiv(width, 4) * 4 * PIXEL;
  let c0 = v128.load(to);
  let c1 = f32x4.splat(0);
  let c2 = c1;
  let c3 = c1;
  for (let y = 0; y < band; y++) {
    for (let at: usize = 0; at < runBytes; at += 4 * PIXEL) {
      c0 = madd(v128.load(x + at), v128.load(dy + at), c0);
      c1 = madd(v128.load(x + at, 32), v128.load(dy + at, 32), c1);
      c2 = madd(v128.load(x + at, 64), v128.load(dy + at, 64), c2);
      c3 = madd(v128.load(x + at, 96), v128.load(dy + at, 96), c3);
    }
    x += rowBytes;
    dy += rowBytes;
  }
  v128.store(to, f32x4.add(f32x4.add(c0, c1), f32x4.add(c2, c3)));
}
